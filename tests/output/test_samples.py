"""Sample answers disturb nothing: not the random states, not the mode, not the attention; and never see the reference."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from autotrain.output.samples import answer_prompts, pick_prompts
from autotrain.types import Conversation, Origin, Text

ORIGIN = Origin("valid.jsonl", 1)


def turns(*pairs: tuple[str, str]) -> Conversation:
    return Conversation(tuple({"role": role, "content": content} for role, content in pairs), ORIGIN)


CHAT = turns(("system", "be brief"), ("user", "hello"), ("assistant", "SECRET"), ("user", "more"), ("assistant", "MORE"))


def test_the_prompt_ends_where_the_first_answer_begins() -> None:
    (prompt,) = pick_prompts([CHAT], 3)
    assert [turn["content"] for turn in prompt.messages] == ["be brief", "hello"]
    assert prompt.reference == "SECRET"


def test_repeated_prompts_and_rows_without_a_question_are_passed_over() -> None:
    other = turns(("user", "who?"), ("assistant", "me"))
    rows = [turns(("assistant", "first")), CHAT, CHAT, turns(("user", "no answer")), Text("  ", ORIGIN), other]
    assert [prompt.reference for prompt in pick_prompts(rows, 3)] == ["SECRET", "me"]


def test_only_as_many_rows_are_read_as_needed() -> None:
    def endless() -> Any:
        number = 0
        while True:
            number += 1
            yield turns(("user", str(number)), ("assistant", "a"))

    assert len(pick_prompts(endless(), 2)) == 2


def test_sampling_changes_no_random_state_no_mode_and_no_weight(base: Path, train: Callable[..., Any]) -> None:
    trained = train(base)
    policy = trained.policy.train()
    policy.pretrained.model.norm.eval()  # a module that is kept in eval mode stays there
    modes = [module.training for module in policy.modules()]
    state = torch.random.get_rng_state()
    attention = policy.pretrained.config._attn_implementation
    answers = answer_prompts(policy, trained.loaded, pick_prompts([CHAT], 1), max_new_tokens=5)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [module.training for module in policy.modules()] == modes
    assert policy.pretrained.config._attn_implementation == attention
    assert answer_prompts(policy, trained.loaded, pick_prompts([CHAT], 1), max_new_tokens=5) == answers  # no dropout
    assert answers[0]["prompt"] == "hello"
    assert answers[0]["reference"] == "SECRET"


def test_the_reference_has_no_influence_on_the_answer(base: Path, train: Callable[..., Any]) -> None:
    trained = train(base)
    other = turns(("system", "be brief"), ("user", "hello"), ("assistant", "something else"))
    first, second = (answer_prompts(trained.policy, trained.loaded, pick_prompts([row], 1), 6) for row in (CHAT, other))
    assert first[0]["answer"] == second[0]["answer"]


def test_plain_text_is_continued_from_its_beginning(base: Path, train: Callable[..., Any]) -> None:
    trained = train(base, needs_chat=False, chat_template=None)
    text = "the quick brown fox jumps over the lazy dog " * 8
    (row,) = answer_prompts(trained.policy, trained.loaded, pick_prompts([Text(text, ORIGIN)], 1), 4)
    assert len(trained.loaded.tokenizer(row["prompt"])["input_ids"]) == 32
    assert row["prompt"] + row["reference"] == text


def test_a_short_text_still_leaves_something_to_compare_with(base: Path, train: Callable[..., Any]) -> None:
    trained = train(base, needs_chat=False, chat_template=None)
    (row,) = answer_prompts(trained.policy, trained.loaded, pick_prompts([Text("hello, who are you?", ORIGIN)], 1), 4)
    assert row["prompt"]
    assert row["reference"]


def test_a_row_that_the_template_refuses_is_left_out(base: Path, train: Callable[..., Any]) -> None:
    trained = train(base)
    trained.loaded.tokenizer.chat_template = "{{ raise_exception('never') }}"
    assert answer_prompts(trained.policy, trained.loaded, pick_prompts([CHAT], 1)) == []
