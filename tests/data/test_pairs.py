"""Pairs in each form that people have them in give the same prompt and the same two answers."""

import json
from typing import Any

import pytest

from autotrain.data.report import RowsReport
from autotrain.data.samples import open_split
from autotrain.errors import DataError
from autotrain.trainers.clm.params import LLMTrainingParams

USER = {"role": "user", "content": "two plus two?"}
GOOD = {"role": "assistant", "content": "four"}
BAD = {"role": "assistant", "content": "five"}
SYSTEM = {"role": "system", "content": "be brief"}
DIFFERENT = "dialogues that differ before the last turn"
FIRST = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]


def sharegpt(*turns: dict[str, str]) -> list[dict[str, str]]:
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    return [{"from": names[turn["role"]], "value": turn["content"]} for turn in turns]


def hh(*turns: dict[str, str]) -> str:
    return "".join(f"\n\n{'Human' if turn['role'] == 'user' else 'Assistant'}: {turn['content']}" for turn in turns)


@pytest.fixture
def read(write):
    """read(rows, **params): the samples of these rows, the report and the source."""

    def read_rows(rows: Any, *, kind: str = "pair", file: str = "a.jsonl", **fields: Any) -> Any:
        path = write(file, rows)
        params = LLMTrainingParams(data_path=str(path), **{"trainer": "dpo", **fields})
        source = open_split(params, "train", kind)
        report = RowsReport()
        return list(source.samples(report)), report, source

    return read_rows


def only(samples):
    (sample,) = samples
    return sample


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"prompt": "two plus two?", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"prompt": "something else", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"prompt": [USER], "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": [USER], "chosen": GOOD, "rejected": BAD},
        {"prompt": [USER], "chosen": "four", "rejected": "five"},
        {"prompt": "two plus two?", "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": "two plus two?", "chosen": GOOD, "rejected": BAD},
        {"conversations": sharegpt(USER), "chosen": sharegpt(GOOD)[0], "rejected": sharegpt(BAD)[0]},
        {"conversations": sharegpt(USER), "chosen": sharegpt(GOOD), "rejected": sharegpt(BAD)},
        {"conversations": sharegpt(USER), "chosen": "four", "rejected": "five"},
        {"messages": [USER], "chosen": GOOD, "rejected": BAD},
        {"chosen": sharegpt(USER, GOOD), "rejected": sharegpt(USER, BAD)},
        {"chosen": json.dumps([USER, GOOD]), "rejected": json.dumps([USER, BAD])},
        {"chosen": str([USER, GOOD]), "rejected": str([USER, BAD])},
        {"prompt": json.dumps([USER]), "chosen": json.dumps(GOOD), "rejected": str(BAD)},
        {"text": "in the way", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"chosen": [{**USER, "score": 1}, GOOD], "rejected": [{**USER, "score": 2}, BAD]},
    ],
)
@pytest.mark.parametrize("trainer", ["dpo", "orpo", "reward"])
def test_messages_in_every_form(read, row, trainer):
    sample = only(read([row], trainer=trainer)[0])
    assert [(turn["role"], turn["content"]) for turn in sample.prompt] == [("user", "two plus two?")]
    assert (sample.chosen, sample.rejected) == ((GOOD,), (BAD,))


@pytest.mark.parametrize("template", ["tokenizer", "chatml"])
def test_plain_prompts_and_answers_become_turns_where_a_template_is_set(read, template):
    row = {"prompt": "two plus two?", "chosen": "four", "rejected": "five"}
    sample = only(read([row], chat_template=template)[0])
    assert (sample.prompt, sample.chosen, sample.rejected) == ((USER,), (GOOD,), (BAD,))


@pytest.mark.parametrize("fields", [{}, {"chat_template": None}])
def test_plain_prompts_and_answers_stay_text_otherwise(read, fields):
    row = {"prompt": "two plus two?", "chosen": "four", "rejected": "five"}
    sample = only(read([row], **fields)[0])
    assert (sample.prompt, sample.chosen, sample.rejected) == ("two plus two?", "four", "five")


def test_hh_dialogues_are_cut_before_the_last_answer(read):
    row = {"chosen": hh(*FIRST, USER, GOOD), "rejected": hh(*FIRST, USER, BAD)}
    sample = only(read([row])[0])
    assert sample.prompt == "\n\nHuman: hello\n\nAssistant: hi\n\nHuman: two plus two?\n\nAssistant:"
    assert (sample.chosen, sample.rejected) == (" four", " five")


@pytest.mark.parametrize("prompt", [None, "left aside"])
def test_hh_dialogues_become_conversations_where_a_template_is_set(read, prompt):
    row = {"prompt": prompt, "chosen": hh(*FIRST, USER, GOOD), "rejected": hh(*FIRST, USER, BAD)}
    sample = only(read([row], chat_template="chatml")[0])
    assert (list(sample.prompt), sample.chosen, sample.rejected) == ([*FIRST, USER], (GOOD,), (BAD,))


def test_hh_prompts_in_a_column_of_their_own(read):
    row = {"prompt": hh(*FIRST, USER) + "\n\nAssistant:", "chosen": "four", "rejected": "five"}
    assert list(only(read([row], chat_template="chatml")[0]).prompt) == [*FIRST, USER]
    assert only(read([row])[0]).prompt == row["prompt"]


@pytest.mark.parametrize(
    ("shared", "ends"),
    [
        ("<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n", ("four<|im_end|>\n", "five<|im_end|>\n")),
        ("<|user|>\nq</s>\n<|assistant|>\n", ("four</s>\n", "five</s>\n")),
        ("<s>[INST] q [/INST]", (" four</s>", " five</s>")),
        ("<|start_header_id|>assistant<|end_header_id|>\n\n", ("four", "fight")),
        ("<start_of_turn>user\nq<end_of_turn>\n<start_of_turn>model\n", ("four", "five")),
        ("### Instruction:\nq\n\n### Response:\n", ("four", "five")),
        ("USER: q ASSISTANT:", (" four", " five")),
    ],
)
def test_rendered_dialogues_are_cut_after_the_last_header(read, shared, ends):
    sample = only(read([{"chosen": shared + ends[0], "rejected": shared + ends[1]}])[0])
    assert (sample.prompt, (sample.chosen, sample.rejected)) == (shared, ends)


def test_texts_that_repeat_the_prompt_column_are_cut_after_it(read):
    rows = [{"prompt": f"q{n}: ", "chosen": f"q{n}: four", "rejected": f"q{n}: five"} for n in range(3)]
    assert [(s.prompt, s.chosen, s.rejected) for s in read(rows)[0]] == [(f"q{n}: ", "four", "five") for n in range(3)]


def test_columns_are_mapped_by_autotrains_names(read):
    row = {"q": "two plus two?", "better": "four", "worse": "five", "chosen": "x", "rejected": "y", "prompt": "z"}
    names = {"text_column": "better", "rejected_text_column": "worse", "prompt_text_column": "q"}
    sample = only(read([row], **names)[0])
    assert (sample.prompt, sample.chosen, sample.rejected) == ("two plus two?", "four", "five")


@pytest.mark.parametrize("trainer", ["orpo", "dpo"])
def test_the_orpo_config_of_autotrains_docs_needs_no_prompt_column(read, trainer):
    row = {"chosen": [USER, GOOD], "rejected": [USER, BAD]}
    names = {"text_column": "chosen", "rejected_text_column": "rejected", "chat_template": "chatml"}
    assert only(read([row], trainer=trainer, **names)[0]).prompt == (USER,)


@pytest.mark.parametrize("fields", [{}, {"prompt_text_column": "prompt"}])
def test_defect_1_reward_needs_no_prompt_column_and_takes_texts_of_any_kind(read, fields):
    sample = only(read([{"chosen": "a good text", "rejected": "a bad text"}], trainer="reward", **fields)[0])
    assert (sample.prompt, sample.chosen, sample.rejected) == ("", "a good text", "a bad text")


@pytest.mark.parametrize("column", ["prompt", "elsewhere"])
def test_a_mapped_prompt_that_isnt_needed_is_announced(read, caplog, column):
    row = {"prompt": "other", "chosen": [USER, GOOD], "rejected": [USER, BAD]}
    assert only(read([row], prompt_text_column=column)[0]).prompt == (USER,)
    assert f"prompt_text_column '{column}' isn't used: 'chosen' and 'rejected' hold whole dialogues" in caplog.text


def test_dpo_without_prompts_says_what_to_map(read):
    with pytest.raises(DataError, match=r"no prompts.*columns: question, chosen, rejected.*prompt_text_column"):
        read([{"question": "q", "chosen": "a good text", "rejected": "a bad text"}])
    with pytest.raises(DataError, match=r"prompt_text_column"):
        read([{"chosen": [GOOD], "rejected": [BAD]}])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text_column": "text"}, r"no column 'text'; columns: prompt, chosen, rejecteds.*column_mapping.text_column"),
        ({}, r"no column 'rejected'.*did you mean 'rejecteds'.*column_mapping.rejected_text_column"),
        ({"rejected_text_column": "rejecteds", "prompt_text_column": "promt"}, r"no column 'promt'.*did you mean 'prompt'"),
        ({"rejected_text_column": "chosen"}, r"both name 'chosen'"),
    ],
)
def test_missing_columns_are_named_with_those_that_exist(read, fields, message):
    with pytest.raises(DataError, match=message):
        read([{"prompt": "q", "chosen": "a", "rejecteds": "b"}], **fields)


def test_written_out_turns_and_a_template_contradict_each_other(read):
    row = {"prompt": "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n", "chosen": "four", "rejected": "five"}
    with pytest.raises(DataError, match=r"a.jsonl:1: .*'prompt'.*written out already; set data.chat_template: none"):
        read([row], chat_template="chatml")
    with pytest.raises(DataError, match=r"set data.chat_template: none"):
        read([{"chosen": "good", "rejected": "bad"}], trainer="reward", chat_template="chatml")
    with pytest.raises(DataError, match=r"hold messages, but data.chat_template is none"):
        read([{"chosen": [USER, GOOD], "rejected": [USER, BAD]}], chat_template="none")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"chosen": [USER, GOOD], "rejected": [USER, GOOD]}, "identical answers"),
        ({"chosen": [USER, GOOD], "rejected": [USER, {**BAD, "content": " "}]}, "empty answer"),
        ({"chosen": [USER, GOOD], "rejected": None}, "empty answer"),
        ({"chosen": [USER, GOOD], "rejected": [{**USER, "content": "other"}, BAD]}, DIFFERENT),
        ({"chosen": [USER, GOOD], "rejected": [*FIRST, USER, BAD]}, DIFFERENT),
        ({"chosen": [USER, GOOD, USER, GOOD], "rejected": [USER, BAD, USER, BAD]}, DIFFERENT),
        ({"chosen": [*FIRST, USER], "rejected": [*FIRST, USER]}, "no assistant turn"),
        ({"chosen": [GOOD], "rejected": [BAD]}, "no prompt"),
        ({"chosen": "text", "rejected": [USER, BAD]}, DIFFERENT),
        ({"chosen": [{"content": "no role"}], "rejected": [USER, BAD]}, "malformed"),
    ],
)
def test_what_cant_be_compared_is_left_out_with_its_reason(read, row, reason, tmp_path):
    fine = {"chosen": [USER, GOOD], "rejected": [USER, BAD]}
    samples, report, _ = read([fine, row, fine])
    assert len(samples) == 2
    assert report.counts()["train"]["left_out"] == {reason: 1}
    report.write(tmp_path / "left_out.jsonl")
    (entry,) = map(json.loads, (tmp_path / "left_out.jsonl").read_text().splitlines())
    assert (entry["line"], entry["reason"]) == (2, reason)


@pytest.mark.parametrize(
    ("row", "of_text", "of_turns"),
    [
        ({"chosen": hh(USER, GOOD), "rejected": hh(USER, GOOD)}, "identical answers", "identical answers"),
        ({"chosen": hh(USER, GOOD), "rejected": hh(USER) + "\n\nAssistant:"}, "empty answer", "empty answer"),
        ({"chosen": hh(USER, GOOD), "rejected": hh(*FIRST, USER, BAD)}, DIFFERENT, DIFFERENT),
        ({"chosen": hh(USER, GOOD, USER), "rejected": hh(USER, BAD, USER)}, "no assistant turn", DIFFERENT),
        ({"chosen": hh(*FIRST, USER), "rejected": hh(*FIRST, {**USER, "content": "x"})}, *["no assistant turn"] * 2),
    ],
)
def test_hh_dialogues_that_cant_be_compared_are_left_out(read, row, of_text, of_turns):
    rows = [{"chosen": hh(USER, GOOD), "rejected": hh(USER, BAD)}, row]
    for template, reason in ((None, of_text), ("chatml", of_turns)):
        samples, report, _ = read(rows, chat_template=template)
        assert (len(samples), report.counts()["train"]["left_out"]) == (1, {reason: 1})


def test_margins_are_read_for_reward_models_only(read):
    rows = [{"chosen": "a", "rejected": "b", "margin": margin} for margin in (1.5, "2", None)]
    assert [sample.margin for sample in read(rows, trainer="reward")[0]] == [1.5, 2.0, 0.0]
    _, report, _ = read([*rows, {"chosen": "a", "rejected": "b", "margin": "wide"}], trainer="reward")
    assert report.first_rows("train", "malformed")[0].endswith("a.jsonl:4: column 'margin' must be a number, not 'wide'")
    assert only(read([{"prompt": "q", "chosen": "a", "rejected": "b", "margin": "wide"}])[0]).margin == 0.0


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (True, True),
        (False, False),
        (1, True),
        (0, False),
        ("true", True),
        ("False", False),
        ("1", True),
        ("yes", True),
        ("Bad", False),
        ("好", True),
    ],
)
def test_labels_of_kto_in_every_spelling(read, label, expected):
    row = {"prompt": "q", "completion": "a", "label": label}
    sample = only(read([row], kind="labelled", trainer="kto")[0])
    assert (sample.prompt, sample.completion, sample.label) == ("q", "a", expected)


def test_a_label_that_is_none_is_malformed(read):
    rows = [{"prompt": "q", "completion": "a", "label": label} for label in (True, "maybe", None, 2)]
    samples, report, _ = read(rows, kind="labelled", trainer="kto")
    assert (len(samples), report.counts()["train"]["left_out"]) == (1, {"malformed": 3})


@pytest.mark.parametrize("completion", [GOOD, [GOOD], "four", [USER, GOOD]])
def test_labelled_answers_may_be_messages(read, completion):
    row = {"prompt": [USER], "completion": completion, "thumb": 1}
    sample = only(read([row], kind="labelled", trainer="kto", label_column="thumb")[0])
    assert (sample.prompt, sample.completion) == ((USER,), (GOOD,))


def test_kto_needs_its_label(read):
    with pytest.raises(DataError, match=r"no column 'label'.*column_mapping.label_column"):
        read([{"prompt": "q", "completion": "a"}], kind="labelled", trainer="kto")


def test_zephyr_gives_dialogues_without_a_system_turn_an_empty_one(read):
    """Contract item 31."""
    plain, with_system = read(
        [{"chosen": [*start, USER, GOOD], "rejected": [*start, USER, BAD]} for start in ([], [SYSTEM])],
        chat_template="zephyr",
    )[0]
    assert plain.prompt == ({"role": "system", "content": ""}, USER)
    assert with_system.prompt == (SYSTEM, USER)


def test_half_a_surrogate_pair_is_refused(read):
    row = {"prompt": "q", "chosen": "\ud83d", "rejected": "b"}
    assert read([row])[1].counts()["train"]["left_out"] == {"malformed": 1}


def test_one_line_says_what_was_recognised(read):
    def line(row: Any, **fields: Any) -> str:
        return read([row], **fields)[2].form.describe()

    whole = {"chosen": [USER, GOOD], "rejected": [USER, BAD]}
    assert line(whole) == "pairs of dialogues in 'chosen' and 'rejected' (OpenAI form), the prompt is what they share"
    plain = {"prompt": "q", "chosen": "a", "rejected": "b", "margin": 1}
    assert line(plain) == "prompts in column 'prompt', pairs of answers in 'chosen' and 'rejected'"
    assert line(plain, trainer="reward").endswith("answers in 'chosen' and 'rejected', margins in column 'margin'")
    labelled = {"prompt": "q", "completion": "a", "label": 1}
    assert line(labelled, kind="labelled", trainer="kto") == (
        "prompts in column 'prompt', labelled answers in 'completion', labels in column 'label'"
    )


def test_csv_cells_with_literals_are_pairs(read):
    text = 'chosen,rejected\n"' + str([USER, GOOD]).replace('"', '""') + '","' + str([USER, BAD]).replace('"', '""') + '"\n'
    assert only(read(text, file="a.csv")[0]).prompt == (USER,)
