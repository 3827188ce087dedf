"""The reference model's log-probabilities: from the adapter switched off, from another model, or kept on disk.

Never three models in memory where one will do.  Which way is taken:

1. `model_ref` is given: that model, frozen, beside the policy.
2. An adapter is trained: the policy itself with the adapter switched off.
3. The whole model is trained: the policy as it is before the first step says all log-probabilities once.  They are kept
   in a file, and found again as long as model, template and data are the same.  `precompute_reference` does so for
   1 and 2 too; then the other model is let go before training.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from transformers import AutoTokenizer

from autotrain import log
from autotrain.base_models import ModelSource, find_model
from autotrain.errors import ModelError
from autotrain.models.failures import explained
from autotrain.models.forward import Policy
from autotrain.models.load import load_frozen
from autotrain.models.network import Network
from autotrain.models.precision import Precision
from autotrain.models.probe import undisturbed
from autotrain.models.quantize import Quantization
from autotrain.models.reference_cache import LogProbsFile, fingerprint_of_weights
from autotrain.models.transfer import to_device
from autotrain.ranks import ALONE, Ranks
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.types import Batch, LogProbs

REFERENCE_FILE = "reference_logps.safetensors"
_PROGRESS_SECONDS = 15.0
Indexed = tuple[Sequence[int], Batch]


@dataclass(frozen=True)
class Split:
    """A split of the data, as the reference model goes over it once.

    num_predictions: (examples,) int, targets of each example.  batches: all its examples, as (their indices, batch).
    fingerprint: of the tokens and what is trained on.
    """

    num_predictions: np.ndarray
    batches: Callable[[], Iterator[Indexed]]
    fingerprint: str


@dataclass(frozen=True)
class Machine:
    """Where and how a reference model is computed."""

    device: torch.device
    precision: Precision
    quantization: Quantization | None


class Reference(Protocol):
    """Says the reference model's log-probabilities of a batch, without gradient, on the policy's device."""

    @property
    def way(self) -> str:
        """Who says them, for the record."""
        ...

    def of(self, batch: Batch, indices: Sequence[int], split: str = "train") -> LogProbs:
        """indices: of the batch's examples in the store of `split`, in the order of the batch."""
        ...


@dataclass(frozen=True)
class LiveReference:
    """Computed anew for each batch.  model: the policy, whose adapter is then switched off, or another one."""

    model: Policy
    way: str
    is_policy: bool

    def of(self, batch: Batch, indices: Sequence[int] = (), split: str = "train") -> LogProbs:
        """Leaves modes and random state as they were."""
        switched_off = self.model.without_adapter() if self.is_policy and self.model.has_adapter else nullcontext()
        with undisturbed(self.model), torch.no_grad(), switched_off:
            return self.model(batch)


@dataclass(frozen=True)
class KeptReference:
    """Read from a file."""

    file: LogProbsFile
    device: torch.device
    way: str = "a file of log-probabilities"

    def of(self, batch: Batch, indices: Sequence[int], split: str = "train") -> LogProbs:
        """Raises TrainingError if the file's values aren't of these examples."""
        values = self.file.read(split, indices, num_expected=len(batch.target))
        per_token = to_device(torch.from_numpy(values), self.device)
        return LogProbs(per_token, to_device(batch.sequence, self.device), batch.num_sequences)


def make_reference(
    policy: Network,
    params: LLMTrainingParams,
    *,
    tokenizer: Any,
    new_token_ids: Sequence[int],
    splits: Mapping[str, Split],
    machine: Machine,
    path: Path,
    on_batch: Callable[[], None] = lambda: None,
    ranks: Ranks = ALONE,
) -> Reference:
    """Choose the way, say so in a line, and do what has to be done once.

    Call it before a checkpoint is restored: where the whole model is trained, the policy must still be the base model.
    tokenizer: transformers', with the template in force.  path: the file in which log-probabilities are kept.
    on_batch: called before each batch of the pass over the data; it may raise.  ranks: that share this pass.
    Raises ModelError for a `model_ref` that can't be had or has another vocabulary.
    """
    assert isinstance(policy, Policy)
    precomputes = params.precompute_reference or not (params.model_ref or policy.has_adapter)
    if params.model_ref:
        live = LiveReference(_load(params, tokenizer, new_token_ids, machine), f"the model {params.model_ref}", False)
    else:
        live = LiveReference(policy, "the base model", True)
    if precomputes:
        others = {
            "template": str(tokenizer.chat_template),
            "precision": machine.precision.name,
            "quantization": str(machine.quantization),
        }
        return KeptReference(_keep(live, splits, others, path, on_batch, ranks), policy.device)
    if live.is_policy:
        log.info("reference: the base model, by switching the adapter off; no second model in memory")
    else:
        log.info(f"reference: {live.way}, as a second model in memory; precompute_reference: true would spare it")
    return live


def _load(params: LLMTrainingParams, tokenizer: Any, new_token_ids: Sequence[int], machine: Machine) -> Policy:
    """The model `model_ref`, frozen.  Draws no random number that training would see."""
    try:
        source = find_model(
            params.model_ref or "", trusts_code=params.trust_remote_code, takes_pickle=not params.use_safetensors
        )
        _check_vocabulary(params, source, tokenizer, new_token_ids)
        with torch.random.fork_rng(devices=[machine.device] if machine.device.type == "cuda" else []):
            return load_frozen(
                params,
                source,
                vocabulary_size=len(tokenizer),
                device=machine.device,
                precision=machine.precision,
                quantization=machine.quantization,
            )
    except ModelError as error:
        raise ModelError(str(error).replace("base_model:", "model_ref:", 1)) from error


def _check_vocabulary(params: LLMTrainingParams, source: ModelSource, tokenizer: Any, new_token_ids: Sequence[int]) -> None:
    """Raises ModelError unless each token id means the same to both models."""
    token = params.token.get_secret_value() if params.token else None
    with explained(source.path):
        other = AutoTokenizer.from_pretrained(source.path, token=token, **source.load_arguments)
    ours = {index: name for name, index in tokenizer.get_vocab().items()}
    theirs = {index: name for name, index in other.get_vocab().items()}
    odd = [index for index in ours if theirs.get(index) != ours[index] and (index in theirs or index not in new_token_ids)]
    if odd:
        first = min(odd)
        raise ModelError(
            f"model_ref: {params.model_ref} has another vocabulary than {params.model}: {len(odd)} of {len(ours)} tokens "
            f"differ (id {first} is {ours[first]!r} here and {theirs.get(first)!r} there); give a model of the same family, "
            "or leave model_ref out to compare with the base model"
        )


def _keep(
    live: LiveReference,
    splits: Mapping[str, Split],
    others: Mapping[str, str],
    path: Path,
    on_batch: Callable[[], None],
    ranks: Ranks,
) -> LogProbsFile:
    """The file with the log-probabilities of all examples: as it is, if its fingerprint fits, or written now."""
    model = live.model
    fingerprint = {
        "model": fingerprint_of_weights(model.pretrained, skip_trained=model.has_adapter),
        **others,
        **{f"data of {name}": split.fingerprint for name, split in splits.items()},
    }
    file = LogProbsFile(path, {name: split.num_predictions for name, split in splits.items()})
    if not ranks.any(not file.fits(fingerprint)):
        log.info(f"reference: its log-probabilities were found in {path}; no second model in memory")
        return file
    num_examples = sum(len(split.num_predictions) for split in splits.values())
    log.info(
        f"reference: {live.way} says its log-probabilities of {num_examples:,} examples once, before training; "
        f"kept in {path}, no second model in memory"
    )
    progress = _Progress(num_examples)
    values = {name: _compute(live, file, name, split, progress, on_batch, ranks) for name, split in splits.items()}
    file.write(values, fingerprint)
    return file


def _compute(
    live: LiveReference,
    file: LogProbsFile,
    name: str,
    split: Split,
    progress: "_Progress",
    on_batch: Callable[[], None],
    ranks: Ranks,
) -> np.ndarray:
    """Each process takes every so-manieth batch; where the model is cut up among them, all compute at the same time."""
    values = np.zeros(int(split.num_predictions.sum()), np.float32)
    batches = split.batches()
    while turn := list(islice(batches, ranks.total)):
        on_batch()
        indices, batch = turn[min(ranks.rank, len(turn) - 1)]
        if ranks.rank < len(turn) or ranks.way == "fsdp":
            per_token = live.of(batch).per_token.float().cpu().numpy()
        if ranks.rank < len(turn):
            file.place(name, indices, per_token, values)  # pyright: ignore[reportPossiblyUnboundVariable]
        progress.add(sum(len(indices) for indices, _ in turn))
    if ranks.total == 1:
        return values
    return np.add.reduce([part for part in ranks.gather(values)], dtype=np.float32)


class _Progress:
    """A line now and then, for a pass that takes long."""

    def __init__(self, total: int) -> None:
        self._done, self._total = 0, total
        self._last_seconds = time.monotonic()

    def add(self, number: int) -> None:
        self._done += number
        if time.monotonic() - self._last_seconds > _PROGRESS_SECONDS:
            self._last_seconds = time.monotonic()
            log.info(f"reference: {self._done:,} of {self._total:,} examples")
