"""Rows are recognised by their columns, mapped or not, and what is missing is explained."""

import json
import logging
import re
from typing import Any

import pytest

from autotrain.data.report import RowsReport
from autotrain.data.samples import Source, open_split
from autotrain.errors import DataError
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.types import Conversation, Text

OPENAI = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
SHAREGPT = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]


@pytest.fixture
def open_rows(write):
    """open_rows(rows, **params): the source of a JSONL file with these rows."""

    def open_file(rows: Any, name: str = "train.jsonl", **fields: Any) -> Source:
        return open_split(LLMTrainingParams(data_path=str(write(name, rows)), **{"trainer": "sft", **fields}), "train")

    return open_file


def messages_of(source: Source) -> list[list[tuple[str, str]]]:
    samples = list(source.samples(RowsReport()))
    assert all(isinstance(sample, Conversation) for sample in samples)
    return [[(m["role"], m["content"]) for m in sample.messages] for sample in samples if isinstance(sample, Conversation)]


def texts_of(source: Source) -> list[tuple[str, str]]:
    return [(s.prompt, s.text) for s in source.samples(RowsReport()) if isinstance(s, Text)]


def csv_of(cell: str) -> str:
    return 'text\n"' + cell.replace('"', '""') + '"\n'


@pytest.mark.parametrize("turns", [OPENAI, SHAREGPT])
@pytest.mark.parametrize("column", ["messages", "conversations"])
@pytest.mark.parametrize("written", [lambda turns: turns, json.dumps, repr])
def test_conversations_as_lists_json_text_or_python_text(open_rows, turns, column, written):
    source = open_rows([{column: written(turns), "id": 1}])
    assert (source.form.kind, source.form.text, source.is_conversation) == ("conversation", column, True)
    assert messages_of(source) == [[("user", "q"), ("assistant", "a")]]


@pytest.mark.parametrize("written", [json.dumps, repr])
def test_conversations_in_csv_cells(open_rows, written):
    assert messages_of(open_rows(csv_of(written(OPENAI)), "train.csv")) == [[("user", "q"), ("assistant", "a")]]


def test_json_text_may_say_true_and_null(open_rows):
    cell = '[{"role": "user", "content": "q", "seen": true, "name": null}, {"role": "assistant", "content": "a"}]'
    assert messages_of(open_rows([{"messages": cell}])) == [[("user", "q"), ("assistant", "a")]]


def test_defect_19_python_text_isnt_run(open_rows, tmp_path):
    cell = f"[{{'role': 'user', 'content': open({str(tmp_path / 'made')!r}, 'w')}}]"
    source = open_rows([{"messages": OPENAI}, {"messages": cell}])
    report = RowsReport()
    assert len(list(source.samples(report))) == 1
    assert report.num_left_out("train", "malformed") == 1
    assert not (tmp_path / "made").exists()


def test_bare_lists_as_the_guide_shows_them(open_rows):
    assert messages_of(open_rows([OPENAI, OPENAI])) == [[("user", "q"), ("assistant", "a")]] * 2
    assert texts_of(open_rows([[{"text": "one"}], [{"text": "two"}]], text_column="text")) == [("", "one"), ("", "two")]


def test_alpaca_becomes_a_conversation_or_with_none_a_prompt_and_an_answer(open_rows):
    rows = [{"instruction": "Add", "input": "2+2", "output": "4"}, {"instruction": "Hi", "input": "", "output": "Hello"}]
    assert messages_of(open_rows(rows)) == [
        [("user", "Add\n\n2+2"), ("assistant", "4")],
        [("user", "Hi"), ("assistant", "Hello")],
    ]
    assert texts_of(open_rows(rows, chat_template=None)) == [("Add\n\n2+2\n\n", "4"), ("Hi\n\n", "Hello")]


def test_prompt_and_completion(open_rows):
    rows = [{"prompt": "2+2=", "completion": "4"}]
    assert texts_of(open_rows(rows)) == [("2+2=", "4")]
    assert messages_of(open_rows(rows, chat_template="chatml")) == [[("user", "2+2="), ("assistant", "4")]]
    as_messages = [{"prompt": OPENAI[:1], "completion": OPENAI[1:]}]
    assert messages_of(open_rows(as_messages)) == [[("user", "q"), ("assistant", "a")]]


def test_prompt_and_completion_as_messages_in_csv(open_rows):
    cells = [json.dumps(OPENAI[:1]), json.dumps(OPENAI[1:])]
    text = "prompt,completion\n" + ",".join('"' + cell.replace('"', '""') + '"' for cell in cells) + "\n"
    assert messages_of(open_rows(text, "train.csv")) == [[("user", "q"), ("assistant", "a")]]


def test_mapped_prompt_column_is_honoured(open_rows):
    rows = [{"question": "2+2=", "answer": "4", "text": "other"}]
    assert texts_of(open_rows(rows, text_column="answer", prompt_text_column="question")) == [("2+2=", "4")]


def test_defect_13_text_column_is_honoured_beside_messages(open_rows):
    rows = [{"messages": OPENAI, "text": "plain", "story": "mine"}]
    assert texts_of(open_rows(rows, text_column="story")) == [("", "mine")]
    assert texts_of(open_rows(rows)) == [("", "plain")]


def test_issue_423_columns_for_pairs_never_break_sft(open_rows, caplog):
    fields = {"text_column": "text", "prompt_text_column": "prompt", "rejected_text_column": "rejected"}
    with caplog.at_level(logging.WARNING, "autotrain"):
        assert texts_of(open_rows([{"text": "a"}], **fields)) == [("", "a")]
    assert "no column 'prompt'" in caplog.text
    whole = [{"prompt": "q", "text": OPENAI, "rejected": OPENAI}]
    assert messages_of(open_rows(whole, **fields)) == [[("user", "q"), ("assistant", "a")]]


@pytest.mark.parametrize("column", ["text", "messages"])
def test_issues_425_441_424_226_291_482_908_missing_column_is_explained(open_rows, column):
    with pytest.raises(DataError) as refused:
        open_rows([{"mesages": OPENAI, "texts": "a"}], text_column=column)
    message = str(refused.value)
    assert "train.jsonl: no column '" + column in message
    assert "columns: mesages, texts" in message
    assert {"text": "did you mean 'texts'?", "messages": "did you mean 'mesages'?"}[column] in message
    assert "column_mapping.text_column" in message


def test_nothing_recognised_lists_columns_and_forms(open_rows):
    with pytest.raises(DataError, match=r"nothing to train on was recognised; columns: Txt, id\. Expected text, messages"):
        open_rows([{"Txt": "a", "id": 1}])


def test_cells_separated_by_semicolons_are_noticed(open_rows):
    with pytest.raises(DataError, match=r"separated by semicolons; a CSV file needs commas"):
        open_rows("text;label\na;b\n", "train.csv", text_column="text")


def test_what_was_recognised_is_one_line(open_rows, caplog):
    with caplog.at_level(logging.INFO, "autotrain"):
        open_rows([{"messages": OPENAI}])
    lines = [record.message for record in caplog.records if record.levelno == logging.INFO]
    assert len(lines) == 1
    assert lines[0].startswith("train: ")
    assert lines[0].endswith("train.jsonl, conversations in column 'messages' (OpenAI form)")
    assert "chat_template isn't set: conversations are rendered with the tokenizer's own template" in caplog.text


def test_issue_682_none_with_conversations_says_what_to_do(open_rows):
    with pytest.raises(
        DataError, match=r"holds conversations, but data\.chat_template is none; set it to tokenizer, chatml"
    ):
        open_rows([{"messages": OPENAI}], chat_template="none")


def test_issue_707_a_template_on_plain_text_says_what_to_do(open_rows):
    with pytest.raises(DataError, match=r"train\.jsonl:1: column 'text' holds plain text, .*set data\.chat_template: none"):
        open_rows([{"text": "plain"}], chat_template="chatml")


def test_sharegpt_tool_calls_and_tools(open_rows):
    turns = [
        {"from": "human", "value": "weather?"},
        {"from": "function_call", "value": '{"name": "get", "arguments": {"city": "Rome"}}'},
        {"from": "observation", "value": "sunny"},
        {"from": "gpt", "value": "It is sunny."},
    ]
    source = open_rows([{"conversations": turns, "tools": '[{"name": "get", "parameters": {}}]'}])
    (sample,) = source.samples(RowsReport())
    assert isinstance(sample, Conversation)
    assert [message["role"] for message in sample.messages] == ["user", "assistant", "tool", "assistant"]
    assert sample.messages[1]["tool_calls"][0]["function"] == {"name": "get", "arguments": {"city": "Rome"}}
    assert sample.tools == ({"type": "function", "function": {"name": "get", "parameters": {}}},)


def test_openai_tool_calls_with_arguments_as_text(open_rows):
    call = {"id": "c1", "type": "function", "function": {"name": "get", "arguments": '{"city": "Rome"}'}}
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    (sample,) = open_rows([{"messages": turns}]).samples(RowsReport())
    assert isinstance(sample, Conversation)
    assert sample.messages[1]["tool_calls"][0]["function"]["arguments"] == {"city": "Rome"}


BAD_ROWS = [
    ({"messages": "just text"}, "not a conversation but text"),
    ({"messages": [{"content": "q"}]}, "message 1 has no role"),
    ({"messages": [{"role": "user"}]}, r"message 1 \(user\) has no content"),
    ({"messages": [{"role": 3, "content": "q"}]}, "the role must be text"),
    ({"messages": [{"from": "martian", "value": "q"}]}, "unknown role 'martian'"),
    ({"messages": ["q", "a"]}, "message 1 is no object"),
    ({"messages": [{"role": "user", "content": [{"type": "image", "url": "x"}]}]}, "only text can be trained on"),
    ({"messages": [{"role": "user", "content": "\ud83d"}]}, "half of a surrogate pair"),
    ({"messages": 7}, "expected a list of messages, found int"),
]


@pytest.mark.parametrize(("row", "detail"), BAD_ROWS)
def test_rows_that_are_no_conversation_are_told_by_line(open_rows, row, detail):
    source = open_rows([{"messages": OPENAI}, {"messages": OPENAI}, row])
    report = RowsReport()
    assert len(list(source.samples(report))) == 2
    (first,) = report.first_rows("train", "malformed")
    assert "train.jsonl:3: " in first
    assert re.search(detail, first)


@pytest.mark.parametrize("column", ["messages", "text"])
def test_conversations_that_cant_be_parsed_arent_trained_on_as_text(open_rows, column):
    # What pandas writes for an array of messages: no comma between them.
    cell = "[{'role': 'user', 'content': 'q'}\n {'role': 'assistant', 'content': 'a'}]"
    report = RowsReport()
    assert list(open_rows([{column: cell}] * 2).samples(report)) == []
    assert report.num_left_out("train", "malformed") == 2


def test_a_column_named_messages_holds_conversations_or_is_malformed(open_rows):
    report = RowsReport()
    assert list(open_rows([{"messages": "plain text"}]).samples(report)) == []
    assert "train.jsonl:1: not a conversation but text: 'plain text'" in report.first_rows("train", "malformed")[0]


@pytest.mark.parametrize("cell", [None, "", "  ", []])
def test_empty_cells_are_left_out_as_empty(open_rows, cell):
    report = RowsReport()
    assert len(list(open_rows([{"text": "a"}, {"text": cell}, {"other": 1}]).samples(report))) == 1
    assert report.num_left_out("train", "empty") == 2


def test_numbers_are_no_text(open_rows):
    report = RowsReport()
    list(open_rows([{"text": "a"}, {"text": 5}]).samples(report))
    assert "column 'text' must be text, not int: 5" in report.first_rows("train", "malformed")[0]


def test_a_file_without_rows_is_refused(open_rows):
    with pytest.raises(DataError, match=r"train\.csv:1: there are no rows in it"):
        open_rows("text\n", "train.csv")
    with pytest.raises(DataError, match=r"none of the 2 rows can be read:\n.*train\.jsonl:1: broken JSON"):
        open_rows('{"text"\n{"text"\n')


def test_fingerprint_changes_with_the_file(open_rows):
    assert open_rows([{"text": "a"}]).fingerprint() != open_rows([{"text": "b"}]).fingerprint()


def test_columns_that_other_tools_read_are_named_when_they_are_not_used(open_rows, caplog):
    with caplog.at_level(logging.WARNING, "autotrain"):
        open_rows([{"messages": OPENAI, "system": "be brief", "history": []}])
    assert "column 'system' isn't used" in caplog.text
    assert "column 'history'" not in caplog.text


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "p", "chosen": "a", "rejected": "b"}, r"look like pairs of answers: task: llm-dpo"),
        ({"prompt;completion": "a;b"}, r"separated by semicolons"),
        ({"question": "q", "answer": "a"}, r"column_mapping\.prompt_text_column, where the question stands apart"),
        ({"input": "q", "output": "a"}, r"where the question stands apart\)$"),
    ],
)
def test_what_is_not_recognised_gets_a_hint_that_helps(open_rows, row, said):
    with pytest.raises(DataError, match=said):
        open_rows([row])


def test_a_template_asked_for_names_the_column_with_conversations(open_rows):
    with pytest.raises(
        DataError, match=r"train\.jsonl:2: .*take the other column \(column_mapping\.text_column: messages\)"
    ):
        open_rows([{"text": None, "messages": OPENAI}, {"text": "plain", "messages": OPENAI}], chat_template="tokenizer")


@pytest.mark.parametrize("role", ["assitant", "Assistant", "usr"])
def test_a_misspelt_role_is_refused(open_rows, role):
    report = RowsReport()
    list(open_rows([{"messages": [{"role": role, "content": "x"}, *OPENAI]}]).samples(report))
    assert "unknown role" in report.first_rows("train", "malformed")[0]


@pytest.mark.parametrize("role", ["tool", "ipython", "user_2", "narrator"])
def test_roles_of_other_kinds_are_left_to_the_template(open_rows, role):
    assert messages_of(open_rows([{"messages": [{"role": role, "content": "x"}, *OPENAI]}]))[0][0] == (role, "x")


def test_numbers_in_prompts_are_no_text(open_rows):
    report = RowsReport()
    list(open_rows([{"prompt": 1, "completion": "a"}], chat_template="tokenizer").samples(report))
    assert "column 'prompt' must be text, not int: 1" in report.first_rows("train", "malformed")[0]
