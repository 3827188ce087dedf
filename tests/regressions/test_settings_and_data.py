"""What AutoTrain's users reported about settings and data: each report's input, and what is said now.

Numbers are those of its issues; `defect` and `fault` are those of the survey that this project began with.
"""

from pathlib import Path

import pytest
from pydantic import ValidationError

from autotrain.cli import main
from autotrain.errors import DataError
from autotrain.params import LLMTrainingParams


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    return capsys.readouterr().err


def test_defect_14_quantization_none_in_words_is_none(capsys: pytest.CaptureFixture[str]):
    for word in ("none", "None", "null", ""):
        assert LLMTrainingParams.model_validate({"quantization": word, "peft": True}).quantization is None
    assert main(["llm", "--train", "--peft", "--quantization", "none", "--dry-run"]) == 0
    assert "  quantization: null\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trainer", "sfft"),
        ("chat_template", "chatlm"),
        ("quantization", "int3"),
        ("mixed_precision", "fp8"),
        ("padding", "middle"),
        ("log", "tensorbored"),
        ("optimizer", "adamw_tosch"),
        ("scheduler", "cosinus"),
        ("distributed_backend", "horovod"),
    ],
)
def test_defect_17_names_that_do_not_exist_are_refused_by_the_parameters_themselves(field: str, value: str):
    with pytest.raises(ValidationError):
        LLMTrainingParams.model_validate({field: value})


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "a;rm -rf x", "", "a b", "a.b", "x" * 51])
def test_defect_19_a_project_name_is_never_a_path_or_a_command(name: str):
    with pytest.raises(ValidationError):
        LLMTrainingParams(project_name=name)


def test_defect_19_the_token_is_in_no_saved_file_and_no_text(tmp_path: Path):
    params = LLMTrainingParams.model_validate({"token": "hf_secretsecretsecret"})
    assert "secretsecret" not in params.save(tmp_path).read_text() + repr(params) + str(params)


def test_issue_235_all_linear_layers_get_an_adapter_by_default():
    assert LLMTrainingParams(peft=True).target_module_names == "all-linear"


def test_issue_321_a_folder_without_data_files_says_what_should_be_there(tmp_path: Path):
    from autotrain.data.locate import locate

    (tmp_path / "notes.md").write_text("hello")
    with pytest.raises(DataError, match=r"there should be a file train\.csv\|jsonl\|json\|parquet\|txt"):
        locate(str(tmp_path), "train")


def test_defect_11_what_the_notebook_wrote_is_read_or_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = "task: llm-sft\nbase_model: gpt2\nproject_name: p\ndata:\n  path: d\n  column_mapping: {text: words}\n"
    (tmp_path / "c.yml").write_text(config)
    assert main(["--config", str(tmp_path / "c.yml"), "--dry-run"]) == 0
    assert "    text_column: words\n" in capsys.readouterr().out
    (tmp_path / "t.yml").write_text(config + "hub: {token: '${{HF_TOKEN}}'}\n")
    assert "is no variable; write ${NAME}" in refused(capsys, "--config", str(tmp_path / "t.yml"))


def test_defect_24_a_backend_that_can_never_run_is_refused_before_data_is_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    said = refused(capsys, "llm", "--train", "--backend", "dgx-a100", "--data-path", "no-such-data")
    assert "dgx-a100 is not available in this version" in said and "no-such-data" not in said
    assert list(tmp_path.iterdir()) == []


def test_issue_425_a_default_column_that_is_not_there_lists_those_that_are(tmp_path: Path):
    from autotrain.data.samples import open_split

    (tmp_path / "train.csv").write_text("question,answer\nWhy?,Because.\n")
    with pytest.raises(DataError, match=r"columns: question, answer.*column_mapping\.text_column"):
        open_split(LLMTrainingParams(data_path=str(tmp_path), trainer="sft"), "train")
