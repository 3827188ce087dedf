"""What is talked with: the result of a run, or a model that comes along."""

from dataclasses import dataclass
from pathlib import Path

from autotrain.app.feeds import RunView
from autotrain.app.talks.problem import TalkProblem
from autotrain.base_models import EMBEDDED, ModelSource, find_model, is_reward_model
from autotrain.errors import ModelError
from autotrain.run_folder import read_json
from autotrain.trainers.clm.params import PARAMS_FILE

_ADAPTER, _MODEL = "adapter_config.json", "config.json"


@dataclass(frozen=True)
class Subject:
    """name: a folder, or an embedded model's name.  label: for people.  run: its number, 0 of an embedded model.

    source: what is loaded first.  base: the model before training, None if there is none to be had.
    adapter: whether source and base are one.  missing_base: the name of a base that isn't there any more, or "".
    """

    name: str
    label: str
    run: int
    source: ModelSource
    base: ModelSource | None
    adapter: bool
    gives_scores: bool
    missing_base: str = ""

    @property
    def stamp(self) -> tuple[int, ...]:
        """Differs when the folder holds another model than before."""
        files = (Path(self.name) / name for name in (_ADAPTER, _MODEL, "adapter_model.safetensors", "model.safetensors"))
        return tuple(file.stat().st_mtime_ns if self.run and file.is_file() else 0 for file in files)


def has_result(folder: Path) -> bool:
    """Whether a run wrote a model there; one that was stopped before has checkpoints only."""
    return (folder / _ADAPTER).is_file() or (folder / _MODEL).is_file()


def subject_of(view: RunView) -> Subject:
    """The result of a run.  Raises TalkProblem while there is none on this machine that could be loaded."""
    if view.is_live:
        raise TalkProblem("waiting", name=view.name)
    if not view.folder:
        raise TalkProblem("cloud", name=view.name)
    folder = Path(view.folder)
    if not folder.is_dir():
        raise TalkProblem("gone", name=view.name)
    is_adapter = (folder / _ADAPTER).is_file()
    if not has_result(folder):
        raise TalkProblem("unfinished", name=view.name)
    base_name = str(read_json(folder / PARAMS_FILE).get("model") or "")
    base = _find(base_name, view)
    if is_adapter and base is None:
        raise TalkProblem("base_gone", name=view.name, base=base_name)
    source = base if is_adapter and base is not None else ModelSource(str(folder))
    scores = is_reward_model(folder)
    missing = "" if base is not None else base_name
    return Subject(str(folder), view.name, view.number, source, None if scores else base, is_adapter, scores, missing)


def embedded_subject(name: str) -> Subject:
    """A model that comes along as a package.  Raises TalkProblem for any other name, and if it isn't installed."""
    try:
        source = find_model(name) if name in EMBEDDED else None
    except ModelError:
        source = None
    if source is None:
        raise TalkProblem("gone", name=name)
    return Subject(name, name, 0, source, None, adapter=False, gives_scores=False)


def embedded_subjects() -> list[Subject]:
    """Those that are installed."""
    found: list[Subject] = []
    for name in EMBEDDED:
        try:
            found.append(embedded_subject(name))
        except TalkProblem:
            continue
    return found


def _find(name: str, view: RunView) -> ModelSource | None:
    """A base model's name as it was meant: relative to the folder where the run was started."""
    beside = Path(view.folder).parent / name
    try:
        return find_model(str(beside) if name and beside.is_dir() else name) if name else None
    except ModelError:
        return None
