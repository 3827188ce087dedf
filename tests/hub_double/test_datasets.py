"""Data sets of the double, as `datasets` and `transformers` load from the hub: in a process of their own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hub_double import HubDouble

ROWS = [{"text": "red"}, {"text": "blue"}]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def python(code: str, **variables: str) -> str:
    import os

    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **variables},
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("private", [False, True])
def test_a_data_set_loads_from_the_hub(hub: HubDouble, private: bool):
    hub.add_user("nils", token="hf_nils")
    hub.add_repo("dataset", "nils/rows", files={"train.jsonl": LINES, "README.md": "# Rows"}, private=private)
    code = "import datasets, json; print(json.dumps(datasets.load_dataset('nils/rows', split='train').to_list()))"
    assert json.loads(python(code, HF_TOKEN="hf_nils")) == ROWS


def test_configurations_and_splits_of_the_front_matter(hub: HubDouble):
    card = "---\nconfigs:\n- config_name: small\n  data_files:\n  - split: validation\n    path: small/*.csv\n---\n"
    hub.add_repo("dataset", "nils/rows", files={"small/a.csv": "text\nred\n", "README.md": card})
    code = "import datasets; print(datasets.load_dataset('nils/rows', 'small', split='validation')[0]['text'])"
    assert python(code).strip() == "red"


def test_a_model_loads_from_the_hub(hub: HubDouble, tiny_model: Path):
    hub.add_repo("model", "acme/tiny", files={path.name: path.read_bytes() for path in tiny_model.iterdir()})
    code = (
        "from transformers import AutoModelForCausalLM, AutoTokenizer;"
        "model = AutoModelForCausalLM.from_pretrained('acme/tiny'); print(model.num_parameters(), end=' ');"
        "print(AutoTokenizer.from_pretrained('acme/tiny').decode([5]))"
    )
    assert int(python(code).split()[0]) > 1000
