"""What became of each row: how many came in, which were left out or cut, and why."""

import json
import shutil
import tempfile
import weakref
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from autotrain.types import Origin

EMPTY = "empty"
MALFORMED = "malformed"
NO_ASSISTANT_TURN = "no assistant turn"
NOTHING_TO_TRAIN = "nothing to train on"
CUT_AWAY = "nothing to train on after the cut"
# Of pairs and labelled answers
NO_PROMPT = "no prompt"
EMPTY_ANSWER = "empty answer"
IDENTICAL_ANSWERS = "identical answers"
DIFFERENT_DIALOGUES = "dialogues that differ before the last turn"
ANSWER_CUT_AWAY = "answer cut to nothing"
TOO_LONG = "longer than block_size"

NUM_FIRST_ROWS = 5
NUM_HELD_ENTRIES = 4096


class RowsReport:
    """Counts rows and lists those left out or cut; the list moves to a temporary file when it grows."""

    def __init__(self) -> None:
        self._rows_in: Counter[str] = Counter()
        self._left_out: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._rows_cut: Counter[str] = Counter()
        self._tokens_cut: Counter[str] = Counter()
        self._first: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self._held: list[str] = []
        self._spool: IO[str] | None = None

    def seen(self, split: str) -> None:
        """One row was read."""
        self._rows_in[split] += 1

    def left_out(self, split: str, origin: Origin, reason: str, detail: str = "") -> None:
        """One row that was read is not trained on."""
        self._left_out[split][reason] += 1
        first = self._first[split, reason]
        if len(first) < NUM_FIRST_ROWS:
            first.append(f"{origin}: {detail or reason}")
        entry: dict[str, Any] = {
            "split": split,
            "file": origin.file,
            "line": origin.line,
            "what": "left out",
            "reason": reason,
        }
        self._note({**entry, "detail": detail} if detail else entry)

    def cut(self, split: str, origin: Origin, tokens_kept: int, tokens_cut: int) -> None:
        """One row was longer than a limit and lost that many tokens."""
        self._rows_cut[split] += 1
        self._tokens_cut[split] += tokens_cut
        where = {"split": split, "file": origin.file, "line": origin.line}
        self._note({**where, "what": "cut", "tokens_kept": tokens_kept, "tokens_cut": tokens_cut})

    def num_left_out(self, split: str, reason: str) -> int:
        """How many rows were left out for this reason."""
        return self._left_out[split][reason]

    def first_rows(self, split: str, reason: str) -> tuple[str, ...]:
        """`file:line: detail` of the first rows left out for this reason."""
        return tuple(self._first[split, reason])

    def counts(self) -> dict[str, dict[str, Any]]:
        """Per split: rows_in, rows_out, left_out by reason, rows_cut, tokens_cut."""
        return {
            split: {
                "rows_in": rows_in,
                "rows_out": rows_in - sum(self._left_out[split].values()),
                "left_out": dict(self._left_out[split]),
                "rows_cut": self._rows_cut[split],
                "tokens_cut": self._tokens_cut[split],
            }
            for split, rows_in in self._rows_in.items()
        }

    def write(self, path: str | Path) -> None:
        """Write one JSON object a line for each row left out or cut."""
        with Path(path).open("w", encoding="utf-8") as file:
            if self._spool is not None:
                self._spool.seek(0)
                shutil.copyfileobj(self._spool, file)
            file.writelines(self._held)

    def state(self) -> dict[str, Any]:
        """All that `write` doesn't write, for `restore`."""
        return {
            "rows_in": self._rows_in,
            "left_out": self._left_out,
            "rows_cut": self._rows_cut,
            "tokens_cut": self._tokens_cut,
            "first": [[split, reason, rows] for (split, reason), rows in self._first.items()],
        }

    def restore(self, state: Mapping[str, Any], rows: Path) -> None:
        """Add what another report counted, which gave `state` and wrote `rows`."""
        self._rows_in.update(state["rows_in"])
        self._rows_cut.update(state["rows_cut"])
        self._tokens_cut.update(state["tokens_cut"])
        for split, left_out in state["left_out"].items():
            self._left_out[split].update(left_out)
        for split, reason, first in state["first"]:
            held = self._first[split, reason]
            held += first[: NUM_FIRST_ROWS - len(held)]
        with rows.open(encoding="utf-8") as file:
            for line in file:
                self._hold(line)

    def add(self, other: "RowsReport") -> None:
        """Add what another report counted and listed."""
        with tempfile.NamedTemporaryFile() as rows:
            other.write(rows.name)
            self.restore(other.state(), Path(rows.name))

    def close(self) -> None:
        """Delete the temporary file, if there is one."""
        if self._spool is not None:
            self._spool.close()

    def _note(self, entry: dict[str, Any]) -> None:
        self._hold(json.dumps(entry, ensure_ascii=False) + "\n")

    def _hold(self, line: str) -> None:
        self._held.append(line)
        if len(self._held) == NUM_HELD_ENTRIES:
            if self._spool is None:
                self._spool = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 (lives as long as the report)
                weakref.finalize(self, self._spool.close)
            self._spool.seek(0, 2)
            self._spool.writelines(self._held)
            self._held.clear()
