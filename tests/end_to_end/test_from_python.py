"""From Python: what the worker found wrong is what the caller's exception says."""

from pathlib import Path

import pytest

from autotrain.errors import UserError
from autotrain.params import LLMTrainingParams
from autotrain.project import AutoTrainProject


def test_a_refusal_by_the_worker_is_an_exception_with_its_words(
    tiny_model: Path, chat_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / "home"))
    params = LLMTrainingParams(
        model=str(tiny_model), data_path=str(chat_folder), project_name="run", trainer="sft", text_column="mesages"
    )
    with pytest.raises(UserError, match=r"no column 'mesages'.*did you mean 'messages'"):
        AutoTrainProject(params=params, backend="local", process=True).create()
    assert not (tmp_path / "run").exists()
    assert "no column 'mesages'" in capfd.readouterr().err  # said once on the terminal too
