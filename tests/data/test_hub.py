"""Hub data sets: rows, and errors a user can act on.  The hub itself is never reached: load_dataset is a double."""

import subprocess
import sys
from typing import Any

import datasets
import pytest
from datasets.exceptions import DatasetNotFoundError

from autotrain.data.samples import open_split
from autotrain.errors import DataError
from autotrain.trainers.clm.params import LLMTrainingParams


def params(**fields: Any) -> LLMTrainingParams:
    return LLMTrainingParams(data_path="user/set", trainer="sft", **fields)


def test_rows_come_with_config_split_and_number(monkeypatch):
    asked: dict[str, Any] = {}

    def load(name: str, config: str | None, **rest: Any) -> datasets.Dataset:
        asked.update(name=name, config=config, **rest)
        return datasets.Dataset.from_dict({"text": ["one", "two"]})

    monkeypatch.setenv("HF_TOKEN", "hf_secret_of_test")
    monkeypatch.setattr(datasets, "load_dataset", load)
    source = open_split(params(train_split="main:train[:2]"), "train")
    assert asked == {"name": "user/set", "config": "main", "split": "train[:2]", "token": "hf_secret_of_test"}
    rows = list(source.rows())
    assert [dict(row.cells) for row in rows] == [{"text": "one"}, {"text": "two"}]
    assert str(rows[1].origin) == "user/set[train[:2]], config main:2"
    assert source.fingerprint()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            DatasetNotFoundError("Dataset 'user/set' is a gated dataset on the Hub."),
            r"is gated: accept its terms at .*user/set",
        ),
        (
            DatasetNotFoundError("Dataset 'user/set' doesn't exist"),
            r"no local file or folder, and no data set that the hub shows",
        ),
        (ConnectionError("no network"), r"the hub can't be reached \(no network\)"),
        (ValueError("Unknown split \"trian\". Should be one of ['train']."), r"Unknown split \"trian\". Should be one of"),
        (ValueError("Config name is missing."), r"train_split: CONFIG:SPLIT"),
        (OSError("401 Client Error"), r"The hub refused the token"),
    ],
)
def test_what_the_hub_refuses_is_explained(monkeypatch, error, message):
    def load(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(DataError, match=message):
        open_split(params(), "train")


def test_the_hubs_own_retries_and_developers_warnings_are_not_shown():
    code = (
        "from autotrain.trainers.clm.quiet import quiet_warnings; quiet_warnings()\n"
        "import warnings, huggingface_hub.utils.logging as hub\n"
        "hub.get_logger('huggingface_hub.utils._http').warning('Retrying in 1s')\n"
        "warnings.warn('deprecated', FutureWarning)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stderr == b""
