# ruff: noqa: E501 (a template line is easier to read whole)
"""Prompt plus answer are the ids of the whole dialogue; the prompt is there once; what is cut is counted."""

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autotrain.data.batches import collate, count
from autotrain.data.inspection import inspect_rows
from autotrain.data.templates import BOS, CHATML, ZEPHYR
from autotrain.errors import ConfigError, DataError

# Small templates of our own that behave as the known ones do; the first one has a system turn that it adds by itself.
WITH_DEFAULT_SYSTEM = (
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nYou are kind<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim "
    "+ '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
ALTERNATING = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content | trim + ' [/INST]' }}"
    "{% elif m.role == 'assistant' %}{{ ' ' + m.content | trim + ' ' + eos_token }}{% endif %}{% endfor %}"
)
# Earlier turns lose their thoughts; the last one always has a block of them.
QWEN3 = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% set said = m.content.split('</think>')[-1].lstrip('\n') %}"
    "{% if loop.last %}{% set thought = m.content.split('</think>')[0].split('<think>')[-1].strip('\n') if '</think>' in m.content else '' %}"
    "{{ '<|im_start|>assistant\n<think>\n' + thought + '\n</think>\n\n' + said }}{% else %}{{ '<|im_start|>assistant\n' + said }}{% endif %}"
    "{{ '<|im_end|>\n' }}{% else %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# The generation prompt opens a thought; an answer keeps its own, and has none if it brings none.
OPENS_THOUGHT = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '<|User|>' + m.content }}{% else %}"
    "{{ '<|Assistant|>' + m.content + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|Assistant|><think>\n' }}{% endif %}"
)
TEMPLATES = {
    "chatml": CHATML,
    "bos and chatml": BOS + CHATML,
    "default system": WITH_DEFAULT_SYSTEM,
    "llama3": LLAMA3,
    "alternating": ALTERNATING,
    "qwen3": QWEN3,
    "zephyr": ZEPHYR,
    "opens a thought": OPENS_THOUGHT,
}
SPECIAL = (
    "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>",
    "<|user|>", "<|assistant|>", "<|system|>", "<|User|>", "<|Assistant|>",
)  # fmt: skip


def talk(*says: str) -> list[dict[str, str]]:
    return [{"role": "assistant" if n % 2 else "user", "content": text} for n, text in enumerate(says)]


@pytest.fixture(params=TEMPLATES)
def with_template(request, make_tokenizer, around):
    tokenizer = make_tokenizer(SPECIAL, bos="<s>")
    tokenizer.chat_template = TEMPLATES[request.param]
    return around(tokenizer, "tokenizer")


def parts(example) -> list[list[int]]:
    return [segment.ids.tolist() for segment in example.segments]


def decoded(tokenizer: Any, example: Any) -> list[str]:
    return [tokenizer.decode(segment.ids) for segment in example.segments]


def whole_ids(tokenizer: Any, messages: list[dict[str, str]]) -> list[int]:
    return tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)


words = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(lambda text: text.strip())


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shared=st.lists(words, min_size=1, max_size=5).filter(lambda says: len(says) % 2), answers=st.tuples(words, words))
def test_prompt_plus_answer_are_the_ids_of_the_whole_dialogue(with_template, load_pairs, write, shared, answers):
    if answers[0].strip() == answers[1].strip():
        return
    dialogues = [talk(*shared, answer) for answer in answers]
    store, _ = load_pairs(
        write("a.jsonl", [dict(zip(("chosen", "rejected"), dialogues, strict=True))]),
        loaded=with_template, max_prompt_length=1000,
    )  # fmt: skip
    prompt, *branches = parts(store[0])
    tokenizer = with_template.tokenizer
    for branch, dialogue in zip(branches, dialogues, strict=True):
        assert prompt + branch == whole_ids(tokenizer, dialogue)
    assert tokenizer.decode(prompt).startswith(tokenizer.apply_chat_template(dialogues[0][:-1], tokenize=False))


@pytest.mark.parametrize("trainer", ["dpo", "orpo", "reward"])
def test_fault_6_the_system_turn_and_bos_arent_repeated_in_the_answers(with_template, load_pairs, write, trainer):
    row = {"chosen": talk("q", "a", "two plus two?", "four"), "rejected": talk("q", "a", "two plus two?", "five")}
    store, _ = load_pairs(write("a.jsonl", [row]), loaded=with_template, trainer=trainer)
    prompt, chosen, rejected = decoded(with_template.tokenizer, store[0])
    for answer, said in ((chosen, "four"), (rejected, "five")):
        assert not re.search(r"<s>|system|You are kind|user|assistant|Assistant|INST", answer)
        assert said in answer and said not in prompt


def test_a_pair_is_one_prompt_and_two_branches(load_pairs, write, tokenizer):
    store, _ = load_pairs(write("a.jsonl", [{"chosen": talk("q", "four"), "rejected": talk("q", "it is five")}]))
    example = store[0]
    assert decoded(tokenizer, example) == [
        "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n", "four<|im_end|>\n", "it is five<|im_end|>\n",
    ]  # fmt: skip
    assert [(s.parent, s.sequence) for s in example.segments] == [(None, 0), (0, 0), (0, 1)]
    assert [s.trained.tolist() for s in example.segments] == [[bool(n)] * len(s.ids) for n, s in enumerate(example.segments)]
    assert example.num_sequences == 2
    batch = collate([example, example])
    assert (batch.num_sequences, count([example]).sequences) == (4, 2)
    lengths = [len(segment.ids) for segment in example.segments]
    assert batch.sequence_end.tolist()[:2] == [lengths[0] + lengths[1] - 1, sum(lengths) - 1]
    first_targets = [batch.source[int((batch.sequence == n).nonzero()[0])].item() for n in (0, 1)]
    assert first_targets == [lengths[0] - 1] * 2  # both are predicted by the prompt's last token


def test_with_trains_prompt_the_prompt_is_a_third_sequence(load_pairs, write):
    path = write("a.jsonl", [{"prompt": "two plus two? ", "chosen": "four", "rejected": "five"}])
    store, _ = load_pairs(path, trainer="orpo", trains_prompt=True)
    example = store[0]
    assert [(s.parent, s.sequence) for s in example.segments] == [(None, 2), (0, 0), (0, 1)]
    assert all(segment.trained.all() for segment in example.segments)
    assert example.num_sequences == 3
    counts = count([example])
    assert counts.tokens_by_sequence == tuple(len(example.segments[n].ids) - (n == 0) for n in (1, 2, 0))


def test_plain_text_has_bos_once_at_the_start_and_eos_once_at_the_end(load_pairs, write, make_tokenizer, around):
    tokenizer = make_tokenizer(bos="<s>")
    rows = [
        {"prompt": f"{bos}two plus two? ", "chosen": f"four{eos}", "rejected": f"five{eos}"}
        for bos in ("", "<s>")
        for eos in ("", "</s>", "</s>\n", "</s></s>")
    ]
    store, _ = load_pairs(write("a.jsonl", rows), loaded=around(tokenizer))
    for index, row in enumerate(rows):
        end = "</s>\n" if row["chosen"].endswith("\n") else "</s>"
        assert decoded(tokenizer, store[index]) == ["<s>two plus two? ", f"four{end}", f"five{end}"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=words, answers=st.tuples(words, words))
def test_no_token_is_in_prompt_and_answer_whatever_they_say(load_pairs, write, tokenizer, prompt, answers):
    row = {"prompt": prompt, "chosen": answers[0], "rejected": answers[1]}
    if answers[0] == answers[1] or all(answer.startswith(prompt) for answer in answers):
        return
    store, _ = load_pairs(write("a.jsonl", [row]))
    assert decoded(tokenizer, store[0]) == [prompt, *(f"{answer}</s>" for answer in answers)]


def test_answers_that_the_tokenizer_would_join_differently_to_the_prompt_share_its_ids(load_pairs, write, tokenizer):
    """ " the" is one token, so that the space would go to one answer and not to the other."""
    store, _ = load_pairs(write("a.jsonl", [{"prompt": "answer: ", "chosen": "the fox", "rejected": "!"}]))
    assert decoded(tokenizer, store[0]) == ["answer: ", "the fox</s>", "!</s>"]


def test_a_template_that_opens_a_thought_for_one_answer_only_has_one_prompt(load_pairs, write, make_tokenizer, around):
    tokenizer = make_tokenizer(SPECIAL, bos="<s>")
    tokenizer.chat_template = OPENS_THOUGHT
    row = {"chosen": talk("q", "<think>\nhm\n</think>four"), "rejected": talk("q", "five")}
    store, _ = load_pairs(write("a.jsonl", [row]), loaded=around(tokenizer))
    assert decoded(tokenizer, store[0]) == ["<s><|User|>q<|Assistant|>", "<think>\nhm\n</think>four</s>", "five</s>"]


@pytest.mark.parametrize("bos", [None, "<s>"])
def test_a_reward_model_shares_what_texts_begin_with_alike(load_pairs, write, make_tokenizer, around, bos):
    tokenizer = make_tokenizer(bos=bos)
    rows = [
        {"chosen": "what is two? four", "rejected": "what is two? five"},
        {"chosen": "four", "rejected": "give up"},
        {"chosen": "the fox", "rejected": "the fox jumps"},
    ]
    store, _ = load_pairs(write("a.jsonl", rows), loaded=around(tokenizer), trainer="reward")
    for index, row in enumerate(rows):
        segments = store[index].segments
        prompt = segments[0].ids.tolist() if len(segments) == 3 else []
        for segment, text in zip(segments[-2:], row.values(), strict=True):
            assert prompt + segment.ids.tolist() == [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
            assert segment.parent == (0 if prompt else None)
    assert [len(store[index].segments) for index in range(3)] == [3, 3 if bos else 2, 3]
    assert [segment.sequence for segment in store[1].segments][-2:] == [0, 1]


def test_margins_and_labels_reach_the_batch(load, load_pairs, write):
    rows = [{"chosen": "a", "rejected": "b", "margin": margin} for margin in (0.5, 2)]
    store, _ = load_pairs(write("a.jsonl", rows), trainer="reward")
    assert collate([store[0], store[1]]).facts.margin.tolist() == [0.5, 2.0]
    rows = [{"prompt": "q ", "completion": "a", "label": label} for label in (True, False)]
    store, _ = load(write("b.jsonl", rows), kind="labelled", trainer="kto")
    assert collate([store[0], store[1]]).facts.label.tolist() == [1.0, 0.0]


def test_a_labelled_answer_is_one_segment_and_its_answer_is_trained_on(load, write, tokenizer):
    row = {"prompt": talk("q"), "completion": talk("q", "four")[1:], "label": True}
    store, _ = load(write("a.jsonl", [row]), kind="labelled", trainer="kto")
    (segment,) = store[0].segments
    assert tokenizer.decode(segment.ids) == "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\nfour<|im_end|>\n"
    assert tokenizer.decode(segment.ids[segment.trained]) == "four<|im_end|>\n"


LONG = {"prompt": "a b c d e f g h i j", "chosen": " 1 2 3 4 5 6 7 8", "rejected": " 9 8 7"}


@pytest.mark.parametrize("trainer", ["dpo", "orpo", "simpo", "cpo", "ipo"])
def test_prompts_keep_their_end_and_answers_their_beginning(load_pairs, write, tokenizer, trainer):
    path = write("a.jsonl", [LONG, {"prompt": "q", "chosen": " a", "rejected": " b"}])
    store, report = load_pairs(path, trainer=trainer, max_prompt_length=6, max_completion_length=4)
    full, _ = load_pairs(path, trainer=trainer)
    for kept, whole in zip(parts(store[0]), parts(full[0]), strict=True):
        is_prompt = kept == parts(store[0])[0]
        assert kept == (whole[-6:] if is_prompt else whole[:4])
    counts = report.counts()["train"]
    assert (counts["rows_out"], counts["rows_cut"]) == (2, 1)  # a pair is one row, however many parts were cut
    assert counts["tokens_cut"] == full[0].num_tokens - store[0].num_tokens


def test_block_size_bounds_prompt_and_answer_together(load_pairs, write):
    path = write("a.jsonl", [LONG])
    (prompt, chosen, _), block_size = parts(load_pairs(path)[0][0]), 14
    store, _ = load_pairs(path, block_size=block_size, max_prompt_length=10)
    kept = parts(store[0])
    assert kept[0] == prompt[-10:]
    assert kept[1] == chosen[: block_size - 10]
    assert all(len(kept[0]) + len(answer) <= block_size for answer in kept[1:])


def test_a_cut_prompt_keeps_the_token_that_begins_every_text(load_pairs, write, make_tokenizer, around):
    tokenizer = make_tokenizer(bos="<s>")
    store, _ = load_pairs(write("a.jsonl", [LONG]), loaded=around(tokenizer), max_prompt_length=5)
    ids = parts(store[0])[0]
    assert len(ids) == 5
    assert ids == [tokenizer.bos_token_id, *tokenizer(LONG["prompt"])["input_ids"][-4:]]


def test_818_an_answer_cut_to_nothing_is_left_out_and_the_run_goes_on(load_pairs, write):
    path = write("a.jsonl", [LONG, {"prompt": "q", "chosen": " a", "rejected": " b"}])
    store, report = load_pairs(path, block_size=8, max_prompt_length=8)
    assert (len(store), report.counts()["train"]["left_out"]) == (1, {"answer cut to nothing": 1})
    assert store.origin(0).line == 2
    with pytest.raises(DataError, match=r"no row is left to train on, of 1 \(1 answer cut to nothing\).*a.jsonl:1"):
        load_pairs(write("a.jsonl", [LONG]), block_size=8, max_prompt_length=8)


def test_answers_that_are_the_same_after_the_cut_are_left_out(load_pairs, write):
    rows = [{"prompt": "q", "chosen": " 1 2 3 4", "rejected": " 1 2 3 5"}, {"prompt": "q", "chosen": " a", "rejected": " b"}]
    _, report = load_pairs(write("a.jsonl", rows), max_completion_length=3)
    assert report.first_rows("train", "identical answers")[0].endswith("a.jsonl:1: the same tokens are left after the cut")


def test_answers_that_the_template_makes_equal_are_left_out(load_pairs, write, make_tokenizer, around):
    tokenizer = make_tokenizer(SPECIAL, bos="<s>")
    tokenizer.chat_template = LLAMA3
    rows = [{"chosen": talk("q", "four"), "rejected": talk("q", said)} for said in ("four ", "five")]
    store, report = load_pairs(write("a.jsonl", rows), loaded=around(tokenizer))
    assert (len(store), report.counts()["train"]["left_out"]) == (1, {"identical answers": 1})


def test_reward_models_leave_long_pairs_out_and_cut_nothing(load_pairs, write):
    path = write("a.jsonl", [LONG, {"prompt": "q", "chosen": " a", "rejected": " b"}])
    prompt, chosen, _ = parts(load_pairs(path, trainer="reward")[0][0])
    for block_size, expected in (
        (len(prompt) + len(chosen), {}),
        (len(prompt) + len(chosen) - 1, {"longer than block_size": 1}),
    ):
        store, report = load_pairs(path, trainer="reward", block_size=block_size)
        counts = report.counts()["train"]
        assert (counts["left_out"], counts["rows_cut"], len(store)) == (expected, 0, 2 - len(expected))


def test_prompts_cut_by_the_default_are_announced(load_pairs, write, caplog):
    long = {**LONG, "prompt": "a b " * 100}
    load_pairs(write("a.jsonl", [long, LONG]))
    assert "train: 1 of 2 prompts are longer than max_prompt_length (128, its default)" in caplog.text
    caplog.clear()
    load_pairs(write("a.jsonl", [long, LONG]), max_prompt_length=128)
    assert "max_prompt_length" not in caplog.text


def test_a_default_that_leaves_no_room_for_answers_is_lowered(load_pairs, write, caplog):
    store, _ = load_pairs(write("a.jsonl", [{**LONG, "prompt": "a b " * 100}]), block_size=20)
    assert len(store[0].segments[0].ids) == 10
    assert "max_prompt_length is 10, half of block_size" in caplog.text


@pytest.mark.parametrize("name", ["max_prompt_length", "max_completion_length"])
def test_a_limit_above_block_size_is_refused(load_pairs, write, name):
    with pytest.raises(ConfigError, match=rf"{name} \(65\) must not be larger than block_size \(64\)"):
        load_pairs(write("a.jsonl", [LONG]), block_size=64, **{name: 65})


def test_malformed_pairs_are_refused_or_left_out_as_told(load_pairs, write):
    rows = [LONG, {**LONG, "chosen": 5}, LONG]
    with pytest.raises(DataError, match=r"1 row can't be used:\n.*a.jsonl:2: .*must be text, not int"):
        load_pairs(write("a.jsonl", rows))
    store, report = load_pairs(write("a.jsonl", rows), skip_bad_rows=True)
    assert (len(store), report.counts()["train"]["left_out"]) == (2, {"malformed": 1})


def test_templates_that_demand_alternating_roles_work_and_say_what_they_refuse(load_pairs, write, make_tokenizer, around):
    tokenizer = make_tokenizer(SPECIAL, bos="<s>")
    tokenizer.chat_template = ALTERNATING
    rows = [{"chosen": talk("q", "four"), "rejected": talk("q", "five")}]
    assert len(load_pairs(write("a.jsonl", rows), loaded=around(tokenizer))[0]) == 1
    system = {"role": "system", "content": "s"}
    rows = [{"chosen": [system, *row["chosen"]], "rejected": [system, *row["rejected"]]} for row in rows]
    with pytest.raises(DataError, match=r"the chat template refuses the conversation: roles must alternate"):
        load_pairs(write("a.jsonl", rows), loaded=around(tokenizer))


def test_zephyr_opens_a_dialogue_with_an_empty_system_turn(load_pairs, write, make_tokenizer, around):
    """Contract item 31."""
    tokenizer = make_tokenizer(SPECIAL)
    tokenizer.chat_template = ZEPHYR
    row = {"chosen": talk("q", "four"), "rejected": talk("q", "five")}
    store, _ = load_pairs(write("a.jsonl", [row]), loaded=around(tokenizer), chat_template="zephyr")
    assert decoded(tokenizer, store[0])[0] == "<|system|>\n</s>\n<|user|>\nq</s>\n<|assistant|>\n"


def test_inspection_shows_the_parts_of_a_pair_below_their_names(load, load_pairs, write, tokenizer):
    row = {"prompt": "two plus two? ", "chosen": "four", "rejected": "five"}
    store, _ = load_pairs(write("a.jsonl", [row]))
    (seen,) = inspect_rows(store, tokenizer, 3)
    assert "".join(text for text, _ in seen.pieces) == (
        "--- prompt\ntwo plus two? \n--- chosen\nfour</s>\n--- rejected\nfive</s>"
    )
    assert "".join(text for text, is_trained in seen.pieces if is_trained) == "four</s>five</s>"
    store, _ = load_pairs(write("a.jsonl", [{"chosen": "four", "rejected": "give up"}]), trainer="reward")
    (seen,) = inspect_rows(store, tokenizer, 3)
    assert "".join(text for text, _ in seen.pieces) == "--- chosen\nfour</s>\n--- rejected\ngive up</s>"
