"""Rows to train on: made up, always the same ones, or the first fitting ones of a folder."""

import json
import math
import random
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

Row = dict[str, Any]

WORDS = tuple(
    (
        "a about after again all also an and another any are around as at back be because been before began being below "
        "between both boy but by call came can change city close cold come could country cut day did different do does "
        "door down each early earth end enough even every example eye face far father few find first follow food for form "
        "found four from garden get give glass go good great green group grow had hand hard has have he head hear help "
        "her here high him his home horse hour house how however if important in into is it just keep kind know land "
        "large last late learn leave left less letter life light like line list little live long look made make man many "
        "may mean men might money morning most mother mountain move much must name near need never new next night no not "
        "now number of off often old on once one only open or order other our out over own page paper part people person "
        "picture place plant play point problem put question quite rain read really red rest right river road room round "
        "said same saw say school sea second see seem sentence set she ship short should show side simple since small so "
        "some song soon sound spell stand start state still stone stop story street study such sun sure table take talk "
        "tell than that the their them then there these they thing think this those though thought three through time to "
        "together too took town travel tree try turn two under until up upon us use very voice walk want warm was watch "
        "water way we week well went were what wheel when where which while white who whole why will wind window with "
        "without wood word work world would write year you young your"
    ).split()
)
_LONGEST_PAIR_CHARACTERS = 3000  # about 750 tokens: a reward model leaves out what is longer than a block
_SHORT_ANSWER_CHARACTERS = 200


def take_rows(kind: str, num_rows: int, data: Path | None, seed: int = 0) -> list[Row]:
    """Rows of a kind of data.  data: a folder with chat/, preference/ and text/, each with a train.jsonl.

    Of a folder, `multiturn` is its pairs of several turns, their answers cut short.  Raises SystemExit where too few fit.
    """
    if data is None:
        draw = random.Random(f"{kind} {seed}")
        return [GENERATED[kind](draw) for _ in range(num_rows)]
    folder = "preference" if kind == "multiturn" else kind
    read = _read(data / folder / "train.jsonl")
    fitting = (row for row in (map(_shortened, read) if kind == "multiturn" else read) if _fits(kind, row))
    rows = list(islice(fitting, num_rows))
    if len(rows) < num_rows:
        raise SystemExit(f"{data / folder}: {len(rows)} rows of the kind {kind}, {num_rows} are needed; ask for fewer steps")
    return rows


def repeat_rows(rows: list[Row], num_rows: int, mark: str) -> Iterator[Row]:
    """As many chat rows as asked for, no two alike: a number and `mark` are put before each question."""
    for number in range(num_rows):
        first, *rest = rows[number % len(rows)]["messages"]
        yield {"messages": [{**first, "content": f"{mark} {number}. {first['content']}"}, *rest]}


def write_rows(path: Path, rows: Iterator[Row] | list[Row]) -> None:
    """Write JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _read(path: Path) -> Iterator[Row]:
    if not path.is_file():
        raise SystemExit(f"--data: no file {path}")
    with path.open(encoding="utf-8") as file:
        yield from (json.loads(line) for line in file if line.strip())


def _fits(kind: str, row: Row) -> bool:
    if kind not in ("multiturn", "preference"):
        return True
    fits = max(_characters(row["chosen"]), _characters(row["rejected"])) <= _LONGEST_PAIR_CHARACTERS
    if kind == "preference":
        return fits
    return fits and row["chosen"] != row["rejected"] and sum(turn["role"] == "user" for turn in row["chosen"]) > 1


def _shortened(row: Row) -> Row:
    """A pair whose answers end early, with a whole word."""

    def cut(dialogue: list[dict[str, str]]) -> list[dict[str, str]]:
        *shared, answer = dialogue
        start = answer["content"][: _SHORT_ANSWER_CHARACTERS + 1]
        whole_words = start.rpartition(" ")[0] if len(start) > _SHORT_ANSWER_CHARACTERS else start
        return [*shared, {**answer, "content": whole_words or start}]

    return {"chosen": cut(row["chosen"]), "rejected": cut(row["rejected"])}


def _characters(messages: list[Mapping[str, str]]) -> int:
    return sum(len(message["content"]) for message in messages)


def _words(draw: random.Random, typical: int, spread: float, least: int, most: int) -> str:
    """Sentences; the number of words is log-normal around `typical`."""
    number = min(most, max(least, round(typical * math.exp(draw.gauss(0.0, spread)))))
    words = [draw.choice(WORDS) for _ in range(number)]
    starts = set(range(0, number, 12))
    return " ".join(word.capitalize() if place in starts else word for place, word in enumerate(words)) + "."


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _chat(draw: random.Random) -> Row:
    question, answer = _words(draw, 35, 0.6, 6, 150), _words(draw, 95, 0.7, 10, 500)
    return {"messages": [_turn("user", question), _turn("assistant", answer)]}


def _pair(shared: list[dict[str, str]], chosen: str, rejected: str) -> Row:
    return {"chosen": [*shared, _turn("assistant", chosen)], "rejected": [*shared, _turn("assistant", rejected)]}


def _preference(draw: random.Random) -> Row:
    shared = [_turn("user", _words(draw, 70, 0.6, 10, 250))]
    return _pair(shared, _words(draw, 200, 0.5, 30, 480), _words(draw, 200, 0.5, 30, 480))


def _multiturn(draw: random.Random) -> Row:
    shared: list[dict[str, str]] = []
    for _ in range(draw.randint(1, 3)):
        shared += [_turn("user", _words(draw, 40, 0.5, 6, 90)), _turn("assistant", _words(draw, 90, 0.5, 20, 200))]
    shared.append(_turn("user", _words(draw, 40, 0.5, 6, 90)))
    return _pair(shared, _words(draw, 25, 0.6, 4, 80), _words(draw, 25, 0.6, 4, 80))


def _text(draw: random.Random) -> Row:
    return {"text": _words(draw, 320, 0.2, 150, 600)}


GENERATED: Mapping[str, Callable[[random.Random], Row]] = MappingProxyType(
    {"chat": _chat, "preference": _preference, "multiturn": _multiturn, "text": _text}
)
