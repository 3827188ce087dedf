"""Log-probabilities of a whole data set in one file, found again as long as model, template and data are the same."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import nn
from torch.distributed.tensor import DTensor

from autotrain.errors import TrainingError

_FINGERPRINT = "fingerprint"
_VERSION = "1"
_NUM_SAMPLED_VALUES = 4096  # of each tensor of a model


class LogProbsFile:
    """A safetensors file with one float32 tensor a split: the log-probabilities of its targets, example after example.

    num_predictions: for each split (examples,) int, the targets of each example.
    """

    def __init__(self, path: Path, num_predictions: Mapping[str, np.ndarray]) -> None:
        self.path = path
        self._starts = {
            name: np.concatenate([[0], np.cumsum(numbers, dtype=np.int64)]) for name, numbers in num_predictions.items()
        }

    def fits(self, fingerprint: Mapping[str, str]) -> bool:
        """Whether the file is there, whole, and made from what `fingerprint` says."""
        try:
            with safe_open(self.path, framework="np") as file:
                metadata = file.metadata() or {}
                shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (no mapping)
        except (OSError, SafetensorError):
            return False
        wanted = {name: [int(starts[-1])] for name, starts in self._starts.items()}
        return metadata.get(_FINGERPRINT) == _as_text(fingerprint) and shapes == wanted

    def place(self, split: str, indices: Sequence[int], values: np.ndarray, whole: np.ndarray) -> None:
        """Put the values of the examples `indices`, one after the other, where they belong in `whole`."""
        starts, position = self._starts[split], 0
        for index in indices:
            start, end = starts[index], starts[index + 1]
            whole[start:end] = values[position : position + end - start]
            position += int(end - start)

    def write(self, values: Mapping[str, np.ndarray], fingerprint: Mapping[str, str]) -> None:
        """Write the file, whole or not at all.  values: of each split, those of all its examples."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".tmp-{self.path.name}")
        save_file(dict(values), temporary, metadata={_FINGERPRINT: _as_text(fingerprint)})
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(self.path)

    def read(self, split: str, indices: Sequence[int], *, num_expected: int) -> np.ndarray:
        """(num_expected,) float32: the values of these examples, in this order.  Raises TrainingError if they don't fit."""
        starts, values = self._starts[split], self._open.get_slice(split)
        parts = [values[int(starts[index]) : int(starts[index + 1])] for index in indices]
        joined = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        if len(joined) != num_expected:
            raise TrainingError(
                f"{self.path} holds {len(joined)} log-probabilities for a batch with {num_expected} targets; delete the file"
            )
        return joined

    @cached_property
    def _open(self) -> Any:
        return safe_open(self.path, framework="np")


def fingerprint_of_weights(model: nn.Module, *, skip_trained: bool) -> str:
    """SHA-256 over names, shapes and some values of each parameter: another model, or one trained on, differs.

    skip_trained: leave out what is trained, an adapter.
    """
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        if skip_trained and parameter.requires_grad:
            continue
        values = parameter.detach()
        if isinstance(values, DTensor):  # all processes ask at the same time
            values = values.full_tensor()
        values = values.flatten()
        stride = max(1, values.numel() // _NUM_SAMPLED_VALUES)
        sample = values[::stride].cpu().contiguous().view(torch.uint8).numpy()
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode() + sample.tobytes())
    return digest.hexdigest()


def _as_text(fingerprint: Mapping[str, str]) -> str:
    return json.dumps({"version": _VERSION, **fingerprint}, sort_keys=True)
