"""Where metrics go beside metrics.jsonl: TensorBoard, wandb, trackio, mlflow, through their own clients."""

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from autotrain.errors import ConfigError
from autotrain.run_folder import FAILED, FINISHED, INTERRUPTED, TENSORBOARD
from autotrain.trainers.clm.params import LLMTrainingParams

_PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "trackio": "trackio", "mlflow": "mlflow"}
_ID_FILE = "autotrain-run-id"


class Tracker(Protocol):
    """Takes scalar values by name.  ending: FINISHED, INTERRUPTED or FAILED of run_folder."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self, ending: str) -> None: ...


def check_trackers(params: LLMTrainingParams) -> None:
    """Raises ConfigError for a tracker whose package isn't installed."""
    for name in params.trackers:
        if importlib.util.find_spec(_PACKAGES[name]) is None:
            raise ConfigError(f"log: {name} isn't installed: pip install 'autotrain-llm[{name}]', or set log: none")


def open_trackers(params: LLMTrainingParams, folder: Path, first_step: int) -> list[Tracker]:
    """The trackers asked for; what an earlier part of the run logged from `first_step` on is superseded."""
    return [_OPENERS[name](params, folder, first_step) for name in params.trackers]


def _values(params: LLMTrainingParams) -> dict[str, Any]:
    return params.model_dump(mode="json", exclude={"token"})


def _known_id(folder: Path, first_step: int) -> str | None:
    """The service's name for the run that goes on, None where a run begins."""
    file = folder / _ID_FILE
    return file.read_text(encoding="utf-8") if first_step and file.is_file() else None


def _note_id(folder: Path, run_id: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / _ID_FILE).write_text(run_id, encoding="utf-8")


class _TensorBoard:
    def __init__(self, params: LLMTrainingParams, folder: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / TENSORBOARD), purge_step=first_step or None)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            group, short = ("eval", name.removeprefix("eval_")) if name.startswith("eval_") else ("train", name)
            self._writer.add_scalar(f"{group}/{short}", value, step)
        self._writer.flush()

    def close(self, ending: str) -> None:
        self._writer.close()


class _Wandb:
    def __init__(self, params: LLMTrainingParams, folder: Path, first_step: int) -> None:
        wandb = importlib.import_module("wandb")

        known = _known_id(folder / "wandb", first_step)
        self._run = wandb.init(
            project="autotrain", name=params.project_name, dir=str(folder), config=_values(params), id=known, resume="allow"
        )
        _note_id(folder / "wandb", self._run.id)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self, ending: str) -> None:
        self._run.finish(exit_code=1 if ending == FAILED else 0)


class _Trackio:
    def __init__(self, params: LLMTrainingParams, folder: Path, first_step: int) -> None:
        trackio = importlib.import_module("trackio")

        resume = "allow" if first_step else "never"
        self._run = trackio.init(project="autotrain", name=params.project_name, config=_values(params), resume=resume)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self, ending: str) -> None:
        self._run.finish()


_MLFLOW_ENDINGS = {FINISHED: "FINISHED", INTERRUPTED: "KILLED", FAILED: "FAILED"}


class _MLflow:
    def __init__(self, params: LLMTrainingParams, folder: Path, first_step: int) -> None:
        mlflow = importlib.import_module("mlflow")

        self._mlflow = mlflow
        mlflow.set_experiment("autotrain")
        known = _known_id(folder / "mlruns", first_step)
        run = mlflow.start_run(run_id=known, run_name=params.project_name)
        if known is None:  # what it has once can't be changed
            mlflow.log_params(_values(params))
            _note_id(folder / "mlruns", run.info.run_id)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._mlflow.log_metrics(dict(values), step=step)

    def close(self, ending: str) -> None:
        self._mlflow.end_run(_MLFLOW_ENDINGS[ending])


_OPENERS = {"tensorboard": _TensorBoard, "wandb": _Wandb, "trackio": _Trackio, "mlflow": _MLflow}
