"""Prompts of preference data are answered during training, with the good answer beside them."""

from autotrain.output.samples import pick_prompts
from autotrain.types import Labelled, Origin, Preference

ORIGIN = Origin("valid.jsonl", 1)
USER = {"role": "user", "content": "hello"}
GOOD, BAD = {"role": "assistant", "content": "good"}, {"role": "assistant", "content": "bad"}


def test_the_reference_is_the_chosen_answer() -> None:
    (turns,) = pick_prompts([Preference((USER,), (GOOD,), (BAD,), ORIGIN)], 3)
    assert (turns.messages, turns.reference) == ((USER,), "good")
    (text,) = pick_prompts([Preference("q", "good", "bad", ORIGIN)], 3)
    assert (text.text, text.reference, text.is_whole) == ("q", "good", True)


def test_a_bad_answer_is_no_reference() -> None:
    prompts = pick_prompts([Labelled("q", "bad", False, ORIGIN), Labelled((USER,), (GOOD,), True, ORIGIN)], 3)
    assert [prompt.reference for prompt in prompts] == ["", "good"]


def test_pairs_without_a_prompt_have_nothing_to_answer() -> None:
    assert pick_prompts([Preference("", "good", "bad", ORIGIN), Preference((), (GOOD,), (BAD,), ORIGIN)], 3) == []
