"""Checkpoints of a run of several processes, and what is made whole of a model that is cut up among them.

Where each process holds the whole model, the leader writes the ordinary checkpoint.  Where each holds a shard (FSDP), all of
them write theirs at once, with torch's distributed checkpoints, and any number of processes can read them, one too:

checkpoint-N/sharded/   tensors named weights/NAME and optimizer/NUMBER/NAME
checkpoint-N/random-R.pt   random states of process R, beside random.pt, which is the leader's
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from autotrain.models.network import Network
from autotrain.ranks import Ranks
from autotrain.training.checkpoint import SHARDED, Checkpoint, Progress, random_states, write_checkpoint

_WEIGHTS, _OPTIMIZER = "weights", "optimizer"


def whole_number(value: Any) -> float:
    """A scalar that may be spread over processes."""
    return float(value.full_tensor() if isinstance(value, DTensor) else value)


def save_together(folder: Path, progress: Progress, policy: Network, optimizer: dict[str, Any], ranks: Ranks) -> None:
    """Write the checkpoint of `progress.step`, whole or not at all.  All processes call it.

    optimizer: states of optimizer, schedule and scaler.  folder: the leader's.
    """
    if ranks.total == 1:
        write_checkpoint(folder, progress, policy.trainable_state(), optimizer, random_states())
        return
    folder = Path(ranks.gather(str(folder.absolute()))[0])
    randoms = ranks.gather(random_states())
    ranks.tick()
    if ranks.way == "fsdp":
        _save_shards(folder, progress, policy, optimizer, randoms, ranks)
    elif ranks.leads:
        write_checkpoint(folder, progress, policy.trainable_state(), optimizer, randoms[0], randoms[1:])
    ranks.tick()
    ranks.wait()


def _save_shards(
    folder: Path, progress: Progress, policy: Network, optimizer: dict[str, Any], randoms: list[Any], ranks: Ranks
) -> None:
    """Each process writes its shards; where machines don't share the folder, the leader gathers and writes it all."""
    place = folder / f".tmp-shards-{progress.step}"
    is_new = not ranks.decide((folder / f"checkpoint-{progress.step}").exists())
    if ranks.leads:
        place.mkdir(parents=True, exist_ok=True)
    ranks.wait()
    if ranks.any(not place.is_dir()):
        weights, whole = policy.trainable_state(), _gathered(optimizer, keep=ranks.leads)
        if ranks.leads:
            place.rmdir()
            write_checkpoint(folder, progress, weights, whole, randoms[0], randoms[1:])
        return
    tensors, rest = _taken_apart(policy, optimizer)
    if is_new:
        dcp.save(tensors, storage_writer=FileSystemWriter(place / SHARDED))
    if ranks.leads:
        write_checkpoint(folder, progress, {}, rest, randoms[0], randoms[1:], place if is_new else None)


def _gathered(optimizer: Mapping[str, Any], *, keep: bool) -> dict[str, Any]:
    """The states with whole tensors, on the processor; all processes must ask, and those that don't `keep` get none."""
    states: dict[int, dict[str, Any]] = {}
    for number, values in optimizer["optimizer"]["state"].items():
        whole = {name: _whole(value) if isinstance(value, DTensor) else value for name, value in values.items()}
        states[number] = whole if keep else {}
    return {**optimizer, "optimizer": {**optimizer["optimizer"], "state": states}}


def _whole(value: DTensor) -> Tensor:
    return value.full_tensor().cpu()


def _taken_apart(policy: Network, optimizer: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What is cut up, by name, and the optimizer's states without it."""
    tensors = {f"{_WEIGHTS}/{name}": weight.detach() for name, weight in policy.trained().items()}
    rest: dict[int, dict[str, Any]] = {}
    for number, values in optimizer["optimizer"]["state"].items():
        rest[number] = {name: value for name, value in values.items() if not isinstance(value, DTensor)}
        for name in values.keys() - rest[number].keys():
            tensors[f"{_OPTIMIZER}/{number}/{name}"] = values[name]
    return tensors, {**optimizer, "optimizer": {**optimizer["optimizer"], "state": rest}}


def restore_weights(policy: Network, optimizer: Optimizer, checkpoint: Checkpoint) -> None:
    """Put weights and optimizer back to a checkpoint's, whoever wrote it and however many they were."""
    state: dict[str, Any] = checkpoint.optimizer["optimizer"]
    trained = policy.trained()
    sharded = checkpoint.folder / SHARDED
    if not any(isinstance(weight, DTensor) for weight in trained.values()):
        weights, state = read_whole(sharded, state) if sharded.is_dir() else (checkpoint.weights, state)
        policy.load_trainable_state(weights)
        optimizer.load_state_dict(state)
        return
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if sharded.is_dir():
        state = _read_shards(sharded, trained, parameters, state)
    else:
        policy.load_trainable_state({name: _like(trained[name], value) for name, value in checkpoint.weights.items()})
        state = {**state, "state": {n: _cut_up(parameters[n], values) for n, values in state["state"].items()}}
    optimizer.load_state_dict(state)


def _read_shards(
    folder: Path, trained: Mapping[str, Tensor], parameters: list[Tensor], state: Mapping[str, Any]
) -> dict[str, Any]:
    """Read this process's shards of all tensors: weights into place, the optimizer's into the state that is returned."""
    tensors: dict[str, Any] = {f"{_WEIGHTS}/{name}": weight.detach() for name, weight in trained.items()}
    states: dict[int, dict[str, Any]] = {number: dict(values) for number, values in state["state"].items()}
    for name, kept in _tensors_in(folder).items():
        if name.startswith(f"{_OPTIMIZER}/"):
            _, number, field = name.split("/")
            parameter = parameters[int(number)]
            assert isinstance(parameter, DTensor)
            whole = torch.zeros(kept.size, dtype=kept.properties.dtype, device=parameter.device)
            tensors[name] = distribute_tensor(whole, parameter.device_mesh, parameter.placements, src_data_rank=None)
            states.setdefault(int(number), {})[field] = tensors[name]
    dcp.load(tensors, storage_reader=FileSystemReader(folder))
    return {**state, "state": states}


def weights_of(checkpoint: Checkpoint) -> Mapping[str, Tensor]:
    """All trained weights of a checkpoint, however it was written."""
    sharded = checkpoint.folder / SHARDED
    return _read(sharded, _WEIGHTS) if sharded.is_dir() else checkpoint.weights


def _read(folder: Path, kind: str) -> dict[str, Tensor]:
    kept = {name: one for name, one in _tensors_in(folder).items() if name.startswith(f"{kind}/")}
    tensors = {name: torch.zeros(one.size, dtype=one.properties.dtype) for name, one in kept.items()}
    dcp.load(tensors, storage_reader=FileSystemReader(folder), no_dist=True)
    return {name.removeprefix(f"{kind}/"): tensor for name, tensor in tensors.items()}


def read_whole(folder: Path, state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All trained weights, and the optimizer's state completed, from the shards in `folder`; needs no other process."""
    states: dict[int, dict[str, Any]] = {number: dict(values) for number, values in state["state"].items()}
    for name, value in _read(folder, _OPTIMIZER).items():
        number, field = name.split("/")
        states.setdefault(int(number), {})[field] = value
    return _read(folder, _WEIGHTS), {**state, "state": states}


def _tensors_in(folder: Path) -> dict[str, TensorStorageMetadata]:
    found = FileSystemReader(folder).read_metadata().state_dict_metadata
    return {name: kept for name, kept in found.items() if isinstance(kept, TensorStorageMetadata)}


def _like(weight: Tensor, value: Tensor) -> Tensor:
    """`value`, which each process has whole, cut up as `weight` is."""
    if not isinstance(weight, DTensor):
        return value
    return distribute_tensor(value.to(weight.device), weight.device_mesh, weight.placements, src_data_rank=None)


def _cut_up(parameter: Tensor, values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _like(parameter, value) if isinstance(value, Tensor) and value.shape == parameter.shape else value
        for name, value in values.items()
    }
