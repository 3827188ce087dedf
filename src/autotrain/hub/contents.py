"""What of a run goes to the hub: a list of what may, never of what mayn't; and no paths of this machine in it."""

import fnmatch
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autotrain.errors import RunFolderError
from autotrain.hub.card import with_address
from autotrain.hub.repo import Target
from autotrain.model_code import code_files
from autotrain.run_folder import CURVE_FILE, METRICS_FILE, RUN_FILE, TENSORBOARD, read_json
from autotrain.trainers.clm.params import PARAMS_FILE

CARD = "README.md"
ADAPTER_CONFIG, MODEL_CONFIG = "adapter_config.json", "config.json"
_INDEX = "model.safetensors.index.json"
_EVENTS = "events.out.tfevents.*"
_OF_A_RUN = (CURVE_FILE, PARAMS_FILE, RUN_FILE, METRICS_FILE)
_MAY_GO = (
    "adapter_config.json",
    "adapter_model*.safetensors",
    "model*.safetensors",
    _INDEX,
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "spiece.model",
    "sentencepiece*.model",
    "chat_template*",
    CARD,
    *_OF_A_RUN,
)
_MAY_GO_IN = {"adapter": _MAY_GO, TENSORBOARD: (_EVENTS,)}
# In files whose other texts are tokens or templates, only these may name a place.
_NAMES_OF_PLACES = frozenset({"base_model_name_or_path", "_name_or_path", "name_or_path"})
_CONFIGS = frozenset({ADAPTER_CONFIG, MODEL_CONFIG, "generation_config.json", "tokenizer_config.json"})
# Of a path that begins at a root, a home or a drive: all but its last part.
_PART = r"[^\s/\\:;,'\"`()<>|]+"
_PATH = re.compile(rf"(?<![\w.:/\\~-])(?:~[\w-]*|[A-Za-z]:)?[/\\](?:{_PART}[/\\])+(?P<name>{_PART})")


@dataclass(frozen=True)
class Upload:
    """A file as it will be on the hub.  content: a file to be sent as it is, or what is sent instead."""

    path: str
    content: Path | bytes

    @property
    def size_bytes(self) -> int:
        return self.content.stat().st_size if isinstance(self.content, Path) else len(self.content)


def may_go(path: str) -> bool:
    """Whether a file of this name, relative to a run folder, is one that we upload."""
    parent, _, name = path.rpartition("/")
    patterns = _MAY_GO_IN.get(parent.partition("/")[0], ()) if parent else _MAY_GO
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def uploads(folder: Path, target: Target | None = None) -> list[Upload]:
    """All that goes to the hub of the run or model in `folder`, sorted by name.

    target: where it goes, which the card's lines then name.  Raises RunFolderError if it holds no whole model.
    """
    check_complete(folder)
    known, code = _known_paths(folder), code_files(folder)
    paths = [path for path in sorted(_paths(folder)) if may_go(path) or path in code]
    files = [Upload(path, _content(folder / path, known)) for path in paths]
    return [_addressed(file, target) if target and file.path == CARD else file for file in files]


def model_files(folder: Path) -> list[Upload]:
    """What another machine needs to train the model in `folder`, and its card, which tells its licence; no run's records.

    Raises RunFolderError if it holds no whole model.
    """
    return [file for file in uploads(folder) if "/" not in file.path and file.path not in _OF_A_RUN]


def _addressed(card: Upload, target: Target) -> Upload:
    text = card.content.decode() if isinstance(card.content, bytes) else card.content.read_text(encoding="utf-8")
    return Upload(card.path, with_address(text, target.repo_id, target.revision).encode())


def _paths(folder: Path) -> Iterable[str]:
    for place in (folder, *(folder / name for name in _MAY_GO_IN)):
        files = place.rglob("*") if place.name == TENSORBOARD and place != folder else place.glob("*")
        yield from (file.relative_to(folder).as_posix() for file in files if file.is_file())


def check_complete(folder: Path) -> None:
    """Raise RunFolderError unless `folder` holds an adapter, or a model with all its pieces."""
    if (folder / ADAPTER_CONFIG).is_file() and any(folder.glob("adapter_model*.safetensors")):
        return
    index = folder / _INDEX
    if (folder / MODEL_CONFIG).is_file():
        if not index.is_file() and any(folder.glob("model*.safetensors")):
            return
        pieces = set(read_json(index).get("weight_map", {}).values()) if index.is_file() else set()
        missing = sorted(piece for piece in pieces if not (folder / piece).is_file())
        if pieces and not missing:
            return
        if missing:
            raise RunFolderError(f"{folder} lacks pieces of its model: {', '.join(missing[:3])}")
    raise RunFolderError(
        f"{folder} holds no finished model (neither {ADAPTER_CONFIG} nor {MODEL_CONFIG} with weights in safetensors); "
        "finish the run first: autotrain --config YOUR_CONFIG --resume"
    )


# No paths of this machine


def _content(file: Path, known: Mapping[str, str]) -> Path | bytes:
    """The file itself, or its text where a place on this machine may stand in it."""
    if file.name in (PARAMS_FILE, RUN_FILE):
        return record_without_places(file)
    if file.name in _CONFIGS:
        return _config_without_places(file, known)
    if file.name == CARD:
        return _replaced(file.read_text(encoding="utf-8"), known).encode()
    return file


def record_without_places(file: Path) -> bytes:
    """training_params.json or run.json; of a path of this machine its last part is left, and of samples nothing."""
    values = {name: value for name, value in read_json(file).items() if name != "samples"}
    return _dump({name: _without_places(value) for name, value in values.items()})


def without_place(text: str) -> str:
    """Paths that begin at a root, a home or a drive are left with their last part."""
    return _PATH.sub(lambda match: match["name"], text)


def _without_places(value: Any) -> Any:
    if isinstance(value, str):
        return Path(value).name if _is_place(value) else without_place(value)
    if isinstance(value, list):
        return [_without_places(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return {str(name): _without_places(one) for name, one in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return value


def _is_place(value: str) -> bool:
    return len(value) > 1 and (value.startswith(("/", "~")) or re.match(r"[A-Za-z]:[/\\]", value) is not None)


def _config_without_places(file: Path, known: Mapping[str, str]) -> Path | bytes:
    values = read_json(file)
    named = {name: value for name, value in values.items() if name in _NAMES_OF_PLACES and isinstance(value, str)}
    places = {name: known.get(value, Path(value).name) for name, value in named.items() if _is_place(value)}
    return _dump({**values, **places}) if places else file


def _known_paths(folder: Path) -> dict[str, str]:
    """Places on this machine that files of the run may name -> what is said instead.

    A model of a package, whose short name everybody can use, is called by it.
    """
    params = read_json(folder / PARAMS_FILE)
    named = [value for value in params.values() if isinstance(value, str) and _is_place(value)]
    named += [str(Path(value).parent) for value in named if value.endswith(".gguf")]  # the card loads it from its folder
    known = {value: Path(value).name for value in named}
    model, base = str(params.get("model") or ""), read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    if isinstance(base, str) and _is_place(base):
        known.setdefault(base, model if model and not _is_place(model) else _name_of_base(base, model))
    for place in (folder.absolute(), folder.resolve()):
        known |= {str(place): folder.name, f"{place.parent}/": ""}
    known |= {f"{home}/": "" for home in (str(Path.home()), str(Path.cwd())) if len(home) > 1}
    return {str(Path(path).expanduser()): short for path, short in known.items() if not path.endswith("/")} | known


def _name_of_base(base: str, model: str) -> str:
    """What the user called it, unless that is a file in the folder `base`."""
    return Path(base if not model or model.endswith(".gguf") else model).name


def _replaced(text: str, known: Mapping[str, str]) -> str:
    """Longer paths first: a folder's name begins those of its files.  What only goes on like a path stays (`a/data`)."""
    for path in sorted(known, key=len, reverse=True):
        if len(path.strip("/~")) > 1:
            end = "" if path.endswith("/") else r"(?![\w.-]*\w)"
            text = re.sub(rf"(?<![\w.:/\\~-]){re.escape(path)}{end}", lambda _, short=known[path]: short, text)
    return text


def _dump(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()
