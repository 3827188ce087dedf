"""The code that a model brings along goes with it, and nothing else does."""

import json
from pathlib import Path
from typing import Any

import pytest

from autotrain.model_code import code_files


def model_with(folder: Path, files: dict[str, str], config: str = "config.json", **auto_map: Any) -> Path:
    (folder / config).write_text(json.dumps({"auto_map": auto_map}))
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_code_that_a_configs_classes_import_relatively_goes_too_however_far(tmp_path: Path):
    files = {
        "modeling.py": "import os\nfrom .layers import Layer\nfrom . import rotary\nimport mine\n",
        "layers.py": "def late():\n    from .norms import Norm\n    from .modeling import Model\n",
        "norms.py": "from torch import nn\n",
        "rotary.py": "",
        "mine.py": "secret = 1\n",
    }
    model_with(tmp_path, files, AutoModelForCausalLM="modeling.Model")
    assert code_files(tmp_path) == {"modeling.py", "layers.py", "norms.py", "rotary.py"}


def test_code_of_a_tokenizer_is_named_in_a_list_in_its_own_config(tmp_path: Path):
    files = {"slow.py": "", "fast.py": "from .slow import vocabulary\n", "other.py": ""}
    model_with(tmp_path, files, "tokenizer_config.json", AutoTokenizer=[None, "acme/x--fast.Tokenizer"])
    assert code_files(tmp_path) == {"slow.py", "fast.py"}


@pytest.mark.parametrize("text", ["def broken(:\n", "\0", "from ..outside import x\n", "from .absent import x\n"])
def test_code_that_cannot_be_read_or_leads_out_of_the_folder_leads_nowhere(tmp_path: Path, text: str):
    model_with(tmp_path, {"modeling.py": text}, AutoModel="modeling.Model")
    assert code_files(tmp_path) == {"modeling.py"}


def test_a_model_without_code_has_none(tmp_path: Path):
    assert code_files(tmp_path) == set()
    (tmp_path / "config.json").write_text("[]")
    (tmp_path / "modeling.py").touch()
    assert code_files(tmp_path) == set()
