"""The reference model of a run: opened before the run folder is touched, kept in it afterwards."""

import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from autotrain.data.batches import collate, cut
from autotrain.data.store import ExampleStore
from autotrain.errors import Interrupted
from autotrain.models.network import Network
from autotrain.models.reference import REFERENCE_FILE, KeptReference, LiveReference, Reference, Split, make_reference
from autotrain.models.reference import Machine as ReferenceMachine
from autotrain.objectives.base import Objective
from autotrain.ranks import ALONE, Ranks
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.trainers.clm.prepare import Data, Machine
from autotrain.training.signals import StopSignal
from autotrain.training.step import Examples


@dataclass(frozen=True)
class Comparison:
    """What an objective compares the policy with; None for objectives that compare with nothing."""

    reference: Reference | None

    @property
    def model_bytes(self) -> int:
        """Weights of a second model in memory."""
        if not isinstance(self.reference, LiveReference) or self.reference.is_policy:
            return 0
        return self.reference.model.memory().weights

    def examples(self, store: ExampleStore, split: str) -> Examples:
        """The store of `split` with the reference's word on it."""
        return Examples(store, partial(self.reference.of, split=split) if self.reference else None)

    def keep_in(self, folder: Path) -> None:
        """Move a file of log-probabilities into the run folder, so that a resumed run finds it."""
        if isinstance(self.reference, KeptReference):
            self.reference.file.path = Path(shutil.move(self.reference.file.path, folder / REFERENCE_FILE))


@contextmanager
def open_comparison(
    policy: Network,
    objective: Objective,
    params: LLMTrainingParams,
    data: Data,
    machine: Machine,
    token_budget: int,
    stop: StopSignal,
    ranks: Ranks = ALONE,
) -> Generator[Comparison]:
    """Make the reference, if the objective needs one.  Log-probabilities of an earlier run here are used again if they fit.

    Raises ModelError for a `model_ref` that can't serve, and Interrupted if the user asks to stop during a pass over the
    data.
    """
    if not objective.needs_reference:
        yield Comparison(None)
        return
    with tempfile.TemporaryDirectory(prefix="autotrain-") as temporary:
        path = Path(temporary) / REFERENCE_FILE
        earlier = Path(params.project_name) / REFERENCE_FILE
        if earlier.is_file():
            shutil.copy2(earlier, path)
        yield Comparison(
            make_reference(
                policy,
                params,
                tokenizer=data.tokenizer.tokenizer,
                new_token_ids=data.tokenizer.new_token_ids,
                splits=_splits(data, token_budget),
                machine=ReferenceMachine(machine.device, machine.precision, machine.quantization),
                path=path,
                on_batch=partial(_leave_if_asked, stop, ranks),
                ranks=ranks,
            )
        )


def _leave_if_asked(stop: StopSignal, ranks: Ranks) -> None:
    ranks.tick()
    if ranks.any(stop.asked()):
        number = max(ranks.gather(stop.number or 0))
        raise Interrupted("interrupted before the reference's log-probabilities were complete", number)


def _splits(data: Data, token_budget: int) -> Mapping[str, Split]:
    stores = {"train": data.train} | ({"valid": data.valid} if data.valid is not None else {})
    return {
        name: Split(store.num_trained, _batches(store, token_budget), data.fingerprint[name])
        for name, store in stores.items()
    }


def _batches(store: ExampleStore, token_budget: int) -> Callable[[], Iterator[Any]]:
    def batches() -> Iterator[Any]:
        for part in cut(range(len(store)), store.num_tokens, token_budget):
            yield part, collate([store[index] for index in part])

    return batches
