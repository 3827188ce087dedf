"""Every row that docs/preference.md shows is recognised, with a prompt and answers."""

import json
import re
from contextlib import closing
from pathlib import Path

import pytest

from autotrain.data.report import RowsReport
from autotrain.data.samples import open_split
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.types import Labelled, Preference

PAGE = Path(__file__).parents[2] / "docs" / "preference.md"
ROWS = re.findall(r"^```json\n(.*)\n```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def trainer_of(row: dict[str, object]) -> str:
    return "kto" if "label" in row else "reward" if "margin" in row else "dpo"


@pytest.mark.parametrize("row", ROWS)
def test_a_row_on_the_page_is_a_pair_or_a_labelled_answer(row: str, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(row + "\n", encoding="utf-8")
    trainer = trainer_of(json.loads(row))
    params = LLMTrainingParams(data_path=str(tmp_path), trainer=trainer, chat_template="tokenizer")  # type: ignore[arg-type]
    source = open_split(params, "train", "labelled" if trainer == "kto" else "pair")
    with closing(RowsReport()) as report:
        (sample,) = source.samples(report)
    answers = [sample.completion] if isinstance(sample, Labelled) else []
    answers += [sample.chosen, sample.rejected] if isinstance(sample, Preference) else []
    assert isinstance(sample, Labelled | Preference) and sample.prompt and len(answers) >= 1
    for answer in answers:
        assert isinstance(answer, tuple) and answer[-1]["role"] == "assistant" and answer[-1]["content"]


def test_the_page_shows_the_usual_forms() -> None:
    assert len(ROWS) >= 7
