"""The examples that this repository ships: sound data, and configs that parse."""

import csv
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from autotrain.config.load import load_config

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
CONFIGS = sorted(EXAMPLES.glob("*.yml"))
LABELS = ("Likely cause: ", "Try first: ", "If that fails: ", "Call a pro if: ")

Messages = list[dict[str, Any]]


def conversations(split: str) -> list[Messages]:
    lines = (EXAMPLES / "quickstart" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["messages"] for line in lines]


def contents(split: str, role: str) -> list[str]:
    return [turn["content"] for messages in conversations(split) for turn in messages if turn["role"] == role]


def words(text: str) -> set[str]:
    return {word for word in re.findall(r"[a-z']+", text.lower()) if len(word) > 3}


@pytest.mark.parametrize(("split", "at_least"), [("train", 220), ("valid", 24)])
def test_there_are_enough_conversations(split: str, at_least: int) -> None:
    assert len(conversations(split)) >= at_least


@pytest.mark.parametrize("split", ["train", "valid"])
def test_user_and_assistant_take_turns_and_the_assistant_has_the_last_word(split: str) -> None:
    for messages in conversations(split):
        roles = [turn["role"] for turn in messages]
        roles = roles[1:] if roles[0] == "system" else roles
        assert roles[0] == "user" and roles[-1] == "assistant" and len(roles) % 2 == 0
        assert all(one != other for one, other in pairwise(roles)), messages


@pytest.mark.parametrize("split", ["train", "valid"])
def test_every_answer_has_the_four_lines(split: str) -> None:
    for answer in contents(split, "assistant"):
        lines = answer.split("\n")
        assert len(lines) == len(LABELS), answer
        for line, label in zip(lines, LABELS, strict=True):
            assert line.startswith(label) and len(line) > len(label) + 5, answer
            assert line.endswith("."), line


@pytest.mark.parametrize("split", ["train", "valid"])
def test_questions_and_answers_are_short(split: str) -> None:
    assert all(4 <= len(question.split()) <= 25 for question in contents(split, "user"))
    assert all(25 <= len(answer.split()) <= 65 for answer in contents(split, "assistant"))


def test_nothing_is_written_twice() -> None:
    questions = contents("train", "user") + contents("valid", "user") + prompts()
    answers = contents("train", "assistant") + contents("valid", "assistant")
    assert len(set(questions)) == len(questions)
    assert len(set(answers)) == len(answers)


def test_causes_and_first_steps_are_not_repeated_over_and_over() -> None:
    """A filled-in form would repeat its lines; these were written one by one."""
    for number in (0, 1):
        lines = [answer.split("\n")[number] for answer in contents("train", "assistant")]
        assert len(set(lines)) > 0.97 * len(lines)


def test_validation_and_prompts_are_about_other_things_than_training() -> None:
    """No held-out question shares most of its words with a question that was trained on."""
    trained = [words(question) for question in contents("train", "user")]
    for question in [messages[0]["content"] for messages in conversations("valid")] + prompts():
        asked = words(question)
        closest = max(trained, key=lambda other: len(other & asked) / len(asked | other))
        assert len(closest & asked) / len(asked | closest) < 0.4, (question, closest)


def test_some_conversations_go_on_and_some_have_a_system_message() -> None:
    train = conversations("train")
    assert sum(len([turn for turn in messages if turn["role"] == "user"]) == 2 for messages in train) >= 20
    assert sum(messages[0]["role"] == "system" for messages in train) >= 5


def prompts() -> list[str]:
    return (EXAMPLES / "quickstart" / "prompts.txt").read_text(encoding="utf-8").splitlines()


def test_there_are_five_held_out_prompts() -> None:
    assert len(prompts()) == 5 and all(prompts())


@pytest.mark.parametrize("split", ["train", "valid"])
def test_csv_rows_have_a_prompt_and_another_completion(split: str) -> None:
    with (EXAMPLES / "csv" / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 8 and set(rows[0]) == {"prompt", "completion"}
    assert all(row["prompt"] and row["completion"] and row["prompt"] != row["completion"] for row in rows)
    assert len({row["prompt"] for row in rows}) == len(rows)


def test_texts_are_not_repeated() -> None:
    lines = [line for split in ("train", "valid") for line in (EXAMPLES / "text" / f"{split}.txt").read_text().splitlines()]
    assert len(lines) > 60 and len(set(lines)) == len(lines)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_an_example_parses_and_says_what_matters(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = load_config(str(path), dry_run=True)
    assert config.params.model == "smollm2-135m"
    for split in (config.params.train_split, config.params.valid_split):
        assert list(Path(config.params.data_path).glob(f"{split}.*")), split
    assert config.params.mixed_precision == "auto" and config.params.is_explicit("lr")
    assert not config.notes


def test_no_two_examples_write_to_the_same_folder() -> None:
    names = [load_config(str(path), dry_run=True).params.project_name for path in CONFIGS]
    assert len(names) == len(CONFIGS) == 8 and len(set(names)) == len(names)
