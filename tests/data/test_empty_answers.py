"""An empty answer is never trained on: it would teach to answer nothing."""

import pytest

from autotrain.data.report import EMPTY_ANSWER
from autotrain.data.tokenize import _says_nothing


@pytest.mark.parametrize("content", ["", "  \n", None])
def test_an_assistant_turn_without_words_or_calls_says_nothing(content):
    assert _says_nothing({"role": "assistant", "content": content})


def test_calls_words_and_other_roles_say_something():
    assert not _says_nothing({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f"}}]})
    assert not _says_nothing({"role": "assistant", "content": "Yes."})
    assert not _says_nothing({"role": "user", "content": ""})


def test_such_rows_are_left_out_counted_and_listed(run_worker, tiny_model, tmp_path):
    import json

    folder = tmp_path / "data"
    folder.mkdir()
    rows = [[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": answer}] for answer in ("Hello.", " ")]
    (folder / "train.jsonl").write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    assert run_worker(model=str(tiny_model), trainer="sft", data_path=str(folder), project_name="run", peft=True) == 0
    counts = json.loads((tmp_path / "run" / "run.json").read_text())["data"]["train"]
    assert counts["left_out"] == {EMPTY_ANSWER: 1}
    assert json.loads((tmp_path / "run" / "rows_left_out.jsonl").read_text())["line"] == 2
