"""The preference example: the kind answer is the better one, and neither length nor facts give it away."""

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "preference"
SPLITS = ("train", "valid")
KIND_WORDS = re.compile(
    r"\b(?:thank\w*|please|glad\w*|happy|happily|pleas\w+|welcome|hope\w*|ask me|let me know|feel free|would you like|"
    r"you'd like|you like|say so|anything else|help further|help you|help with|can do|come back|I'll gladly|do ask|"
    r"delighted|wish\w*|ask any|tell you more|say the word|hesitate|here if)\b",
    re.IGNORECASE,
)


def pairs(split: str) -> list[dict[str, list[dict[str, Any]]]]:
    return [json.loads(line) for line in (FOLDER / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


def prompts(split: str) -> list[str]:
    return [pair["chosen"][0]["content"] for pair in pairs(split)]


def answers(split: str, side: str) -> list[str]:
    return [pair[side][-1]["content"] for pair in pairs(split)]


def num_words(text: str) -> int:
    return len(text.split())


def sentences(answer: str) -> set[str]:
    """Sentences of more than three words; a fact in few words may be the same anywhere."""
    return {part for part in re.split(r"(?<=[.!?:]) ", answer) if num_words(part) > 3}


@pytest.mark.parametrize(("split", "at_least"), [("train", 240), ("valid", 220)])
def test_there_are_enough_pairs_and_no_prompt_comes_twice(split: str, at_least: int) -> None:
    assert len(set(prompts(split))) == len(prompts(split)) >= at_least


@pytest.mark.parametrize("split", SPLITS)
def test_both_dialogues_ask_the_same_and_get_different_answers(split: str) -> None:
    for pair in pairs(split):
        assert set(pair) == {"chosen", "rejected"}
        for dialogue in pair.values():
            assert [turn["role"] for turn in dialogue] == ["user", "assistant"]
            assert all(turn["content"] == turn["content"].strip() != "" for turn in dialogue)
        assert pair["chosen"][0] == pair["rejected"][0] and pair["chosen"][1] != pair["rejected"][1]


@pytest.mark.parametrize("split", SPLITS)
def test_half_of_the_rejected_answers_are_longer_and_half_are_shorter(split: str) -> None:
    gaps = [
        num_words(worse) - num_words(better)
        for better, worse in zip(answers(split, "chosen"), answers(split, "rejected"), strict=True)
    ]
    assert sum(gap > 0 for gap in gaps) == sum(gap < 0 for gap in gaps) == len(gaps) / 2


@pytest.mark.parametrize("split", SPLITS)
def test_no_length_is_the_right_one(split: str) -> None:
    """A judge who prefers what is nearest to some length, or farthest from it, is right in 35 to 65 % of the pairs."""
    lengths = [
        (num_words(better), num_words(worse))
        for better, worse in zip(answers(split, "chosen"), answers(split, "rejected"), strict=True)
    ]
    for ideal in range(50):
        points = [
            1.0 if abs(better - ideal) < abs(worse - ideal) else 0.5 if abs(better - ideal) == abs(worse - ideal) else 0.0
            for better, worse in lengths
        ]
        assert 0.35 <= sum(points) / len(points) <= 0.65, ideal


@pytest.mark.parametrize("split", SPLITS)
def test_kind_words_stand_in_chosen_answers_and_hardly_in_rejected_ones(split: str) -> None:
    chosen, rejected = (
        sum(bool(KIND_WORDS.search(answer)) for answer in answers(split, side)) / len(answers(split, side))
        for side in ("chosen", "rejected")
    )
    assert chosen > 0.85 and rejected < 0.1, (chosen, rejected)


def test_validation_asks_other_questions() -> None:
    assert not set(prompts("train")) & set(prompts("valid"))


def test_validation_is_phrased_in_sentences_that_training_never_saw() -> None:
    """So a model that is right on it has learned manners, not phrases."""
    seen = {part for side in ("chosen", "rejected") for answer in answers("train", side) for part in sentences(answer)}
    for side in ("chosen", "rejected"):
        for answer in answers("valid", side):
            assert not sentences(answer) & seen, answer


def test_no_phrase_is_used_over_and_over() -> None:
    ends = Counter(re.split(r"(?<=[.!?]) ", answer)[-1] for answer in answers("train", "chosen"))
    assert max(ends.values()) <= len(answers("train", "chosen")) / 20
    assert len(ends) >= 50


@pytest.mark.parametrize("split", SPLITS)
def test_prompts_and_answers_are_short_and_complete(split: str) -> None:
    assert all(3 <= num_words(prompt) <= 15 for prompt in prompts(split))
    for side in ("chosen", "rejected"):
        for answer in answers(split, side):
            assert 1 <= num_words(answer) <= 45 and answer[0].isupper() | answer[0].isdigit(), answer
            assert answer[-1] in ".!?" and "{" not in answer, answer


@pytest.mark.parametrize("split", SPLITS)
def test_kinds_of_rejected_answers_are_mixed_along_the_file(split: str) -> None:
    """Batches are drawn at random, but whoever takes the first rows should get both sorts as well."""
    is_longer = [
        num_words(worse) > num_words(better)
        for better, worse in zip(answers(split, "chosen"), answers(split, "rejected"), strict=True)
    ]
    assert sum(one != other for one, other in pairwise(is_longer)) > len(is_longer) / 3


@pytest.mark.parametrize(("few", "many", "number"), [("few-train", "train", 160), ("few-valid", "valid", 48)])
def test_the_short_files_are_the_first_rows_of_the_long_ones(few: str, many: str, number: int) -> None:
    assert pairs(few) == pairs(many)[:number]
