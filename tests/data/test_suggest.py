"""Columns of unknown names: what is suggested, in two languages, and that nothing is where nothing comes near."""

import pytest

from autotrain.data.suggest import suggest_columns
from autotrain.types import Origin, Row


def rows(**cells):
    return [Row(cells, Origin("a.csv", 2))]


@pytest.mark.parametrize(
    ("names", "prompt", "answer"),
    [
        (("Question", "Answer"), "Question", "Answer"),
        (("user_input", "botReply"), "user_input", "botReply"),
        (("id", "问题", "答案"), "问题", "答案"),
        (("Prompt", "Completion", "source"), "Prompt", "Completion"),
        (("客户提问", "标准回答"), "客户提问", "标准回答"),
    ],
)
def test_question_and_answer_are_found_by_their_names(names, prompt, answer):
    found = suggest_columns(rows(**dict.fromkeys(names, "some words")), "text")
    assert found == {"prompt_text_column": prompt, "text_column": answer}


def test_without_an_answer_the_longest_text_is_what_is_trained_on():
    assert suggest_columns(rows(id="1", notes="a long tale of many words", year=2020), "text") == {"text_column": "notes"}


def test_a_column_that_holds_messages_wins_over_names():
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    assert suggest_columns(rows(question="x", answer="y", talk=turns), "text") == {"text_column": "talk"}


def test_pairs_and_labels_have_names_of_their_own():
    assert suggest_columns(rows(q="a", better="b", worse="c"), "pair") == {
        "prompt_text_column": "q",
        "text_column": "better",
        "rejected_text_column": "worse",
    }
    found = suggest_columns(rows(question="a", response="b", thumbs_up=True), "labelled")
    assert found == {"prompt_text_column": "question", "text_column": "response", "label_column": "thumbs_up"}


def test_nothing_is_suggested_for_numbers():
    assert suggest_columns(rows(a=1, b=2), "text") == {}
    assert suggest_columns(rows(a="1", b="2.5"), "text") == {}
    assert suggest_columns(rows(x="a", y="b"), "pair") == {}


def test_of_two_texts_without_names_the_second_answers_the_first():
    found = suggest_columns(rows(**{"column 1": "hi", "column 2": "ho"}), "text")
    assert found == {"prompt_text_column": "column 1", "text_column": "column 2"}


def test_what_is_answered_may_be_called_anything():
    cells = {"id": "7", "complaint": "my parcel is late", "our_reply": "we are sorry", "agent": "x"}
    assert suggest_columns(rows(**cells), "text") == {"prompt_text_column": "complaint", "text_column": "our_reply"}
