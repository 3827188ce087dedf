"""A run that somebody else made is asked on one's own machine: what its folder says of trust counts for nothing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM
Path(os.environ["CODE_RAN"]).touch()
class StrangeConfig(LlamaConfig):
    model_type = "strange"
class StrangeModel(LlamaForCausalLM):
    config_class = StrangeConfig
"""


@pytest.fixture
def ask(tmp_path: Path):
    """Runs a command of `autotrain`; returns exit code, what was said, and whether the model's code ran."""

    def run(*arguments: str, **variables: str) -> tuple[int, str, bool]:
        home = {"AUTOTRAIN_HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "huggingface"), "HF_HUB_OFFLINE": "1"}
        ran = tmp_path / "code-ran"
        done = subprocess.run(
            [sys.executable, "-m", "autotrain", *arguments],
            cwd=tmp_path,
            env={**os.environ, **home, "OMP_NUM_THREADS": "1", "CODE_RAN": str(ran), **variables},
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
        return done.returncode, done.stdout + done.stderr, ran.exists()

    return run


@pytest.fixture
def downloaded(tmp_path: Path, tiny_model: Path) -> Path:
    """A finished run whose model brings code, and whose recorded parameters say that it may run."""
    folder = tmp_path / "theirs"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    classes = {"AutoConfig": "strange.StrangeConfig", "AutoModelForCausalLM": "strange.StrangeModel"}
    config |= {"model_type": "strange", "architectures": ["StrangeModel"], "auto_map": classes}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "strange.py").write_text(CODE)
    params = {"model": "acme/strange", "project_name": "theirs", "data_path": "rows.jsonl", "trainer": "sft"}
    trust = {"trust_remote_code": True, "use_safetensors": False}
    (folder / "training_params.json").write_text(json.dumps({**params, **trust, "set_by_user": sorted({**params, **trust})}))
    return folder


def test_code_of_a_downloaded_run_runs_only_where_this_user_allows_it(ask, downloaded: Path):
    code, said, ran = ask("generate", "theirs", "--prompt", "hi", "--max-new-tokens", "2")
    assert code == 2 and "needs code that comes with it" in said and not ran, said
    assert "Traceback" not in said
    code, said, ran = ask("generate", "theirs", "--prompt", "hi", "--max-new-tokens", "2", ALLOW_REMOTE_CODE="1")
    assert code == 0 and ran, said


def test_pickled_weights_of_a_downloaded_run_are_not_read(ask, downloaded: Path):
    (downloaded / "model.safetensors").rename(downloaded / "pytorch_model.bin")  # no pickle, but it isn't opened at all
    config = json.loads((downloaded / "config.json").read_text())
    del config["auto_map"]
    config |= {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    (downloaded / "config.json").write_text(json.dumps(config))
    code, said, _ = ask("generate", "theirs", "--prompt", "hi", "--max-new-tokens", "2")
    assert code == 2 and "no safetensors" in said and "Traceback" not in said, said
