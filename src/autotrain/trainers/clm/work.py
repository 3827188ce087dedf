"""Work: everything about one run that is settled before its first step."""

from dataclasses import dataclass

from autotrain.base_models import ModelSource
from autotrain.objectives.base import Objective
from autotrain.trainers.clm.compare import Comparison
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.trainers.clm.prepare import Data, Machine
from autotrain.training.assemble import Ready
from autotrain.training.checkpoint import Checkpoint
from autotrain.training.forecast import Forecast


@dataclass(frozen=True)
class Work:
    """forecast: the memory that it will take.  checkpoint: where a resumed run goes on.

    started: seconds of the monotonic clock.
    """

    params: LLMTrainingParams
    source: ModelSource
    machine: Machine
    objective: Objective
    data: Data
    ready: Ready
    comparison: Comparison
    forecast: Forecast
    checkpoint: Checkpoint | None
    started: float
