"""One process of a run among its others: who tokenizes, who writes, how the model is shared."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from autotrain import log
from autotrain.base_models import ModelSource
from autotrain.data.handover import Handover
from autotrain.errors import ConfigError, DeviceError, PeerError, RunFolderError, TrainingError
from autotrain.models.load import Head, read_model_config
from autotrain.models.network import Network
from autotrain.models.planned import planned_memory, planned_model
from autotrain.models.reference_cache import fingerprint_of_weights
from autotrain.ranks import ALONE, Crew, Ranks, Way
from autotrain.run_folder import FAILED, RunFolder
from autotrain.trainers.clm.machines import DEEPSPEED
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.trainers.clm.prepare import Data, Machine
from autotrain.trainers.clm.work import Work
from autotrain.training.checkpoint import Checkpoint
from autotrain.training.ending import note_ending, wait_for_file
from autotrain.training.meeting import Met, is_lost_connection, lost_store_told, meet
from autotrain.training.optim import state_bytes
from autotrain.training.place import Place

# FSDP cuts weights up by rows; these optimizers compute with single values, or with what torch can sum over rows.
_OPTIMIZERS_OF_SHARDS = frozenset({"adamw_torch", "adamw_torch_fused", "sgd", "adagrad", "rmsprop"})
_USABLE_SHARE = 0.6
# What may be different on each machine; of data and model the contents are compared.
_OF_MACHINES = ("devices", "node_rank", "master", "token", "project_name", "model", "data_path")


@dataclass
class Together:
    """place: None for a run of one process.  run: the folder that a failure elsewhere is noted in, once it is claimed."""

    place: Place | None
    run: RunFolder | None = None

    @property
    def leads(self) -> bool:
        return self.place is None or self.place.leads

    @property
    def total(self) -> int:
        return self.place.total if self.place else 1

    @property
    def handover(self) -> Handover | None:
        return Handover(self.place.folder / "data", self.place.leads_node) if self.place else None

    def own_folder(self, folder: Path) -> Path:
        """The run folder; for processes that don't lead, one that goes away with the launcher."""
        if self.place is None or self.place.leads:
            return folder
        return self.place.folder / f"run-{self.place.node}-{self.place.local}-{self.place.restart}"

    @property
    def _ready_file(self) -> Path:
        assert self.place is not None
        return self.place.folder / f"data-ready-{self.place.restart}"

    def wait_for_data(self) -> None:
        """Until one process of this machine has read the data.  Raises PeerError if it failed."""
        if self.place is None:
            return
        self.place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.place.leads_node and not wait_for_file(self._ready_file, self.place):
            raise PeerError("another process couldn't read the data")

    def data_are_ready(self) -> None:
        if self.place is not None and self.place.leads_node:
            self._ready_file.touch()

    @contextmanager
    def joined(self, params: LLMTrainingParams, device: torch.device) -> Generator["Joined"]:
        """Meet the other processes.  Raises TrainingError if one of them fails before."""
        if self.place is None:
            yield Joined(None)
            return
        with lost_store_told(), meet(self.place, device, params.hang_minutes * 60, self._fail) as met:
            joined = Joined(met)
            with joined.explained():
                yield joined

    def _fail(self, why: str) -> None:
        """This process is about to be ended, since another one failed."""
        if self.place is None:
            return
        note_ending(self.place, TrainingError.exit_code, why, is_own=False)
        if self.leads and self.run is not None:
            self.run.set_stage(FAILED, log.mask(why))
            log.error(why)


@dataclass(frozen=True)
class Joined:
    """Among the other processes; alone, where there are none."""

    met: Met | None

    @contextmanager
    def explained(self) -> Generator[None]:
        """What libraries say when another process is gone becomes a PeerError that says why, as far as that is known."""
        try:
            yield
        except RuntimeError as error:
            if self.met is None or not is_lost_connection(error):
                raise
            raise PeerError(self.met.pulse.failure_elsewhere() or "another process of the run was lost") from error

    def share(self, way: Way, why: str, policy: Network, params: LLMTrainingParams) -> Ranks:
        """The ranks, after checking that all processes have the same parameters and model."""
        if self.met is None:
            return ALONE
        ranks = Crew(way, why, self.met.pulse.tick)
        _check_same_params(ranks, params)
        digests = ranks.gather(fingerprint_of_weights(policy.model, skip_trained=False))
        odd = [rank for rank, digest in enumerate(digests) if digest != digests[0]]
        if odd:
            raise TrainingError(
                f"process {odd[0]} loaded other weights than process 0: on all machines the base model must be the same"
            )
        return ranks


def _check_same_params(ranks: Ranks, params: LLMTrainingParams) -> None:
    """Raises ConfigError where machines were given different configs."""
    said = ranks.gather(params.model_dump(mode="json", exclude=set(_OF_MACHINES)))
    for rank, values in enumerate(said):
        odd = [name for name in values if values[name] != said[0].get(name)]
        if odd:
            name = odd[0]
            raise ConfigError(
                f"{name}: {values[name]} for process {rank}, {said[0].get(name)} for process 0; "
                "all machines need the same config"
            )


def choose_way(params: LLMTrainingParams, source: ModelSource, machine: Machine, head: Head) -> tuple[Way, str]:
    """How several devices share a model, and why; before a weight is loaded, which might not fit one of them.

    Raises ConfigError or DeviceError where it has to be cut up and something asked for can't be had then.
    """
    asked = params.distributed_backend
    if asked == "ddp":
        return "ddp", "each holds the whole model, as distributed_backend says"
    if asked == "fsdp":
        return "fsdp", "each holds a part of the model, as distributed_backend says"
    needed, usable = _planned_bytes(params, source, machine, head), machine.memory_bytes * _USABLE_SHARE
    sizes = f"{needed / 1e9:,.1f} GB of {usable / 1e9:,.1f} GB usable on each"
    if needed <= usable:
        return "ddp", f"the model with its optimizer fits a device: {sizes}"
    check_sharded(params)
    return "fsdp", f"the model with its optimizer doesn't fit a device: {sizes}"


def _planned_bytes(params: LLMTrainingParams, source: ModelSource, machine: Machine, head: Head) -> int:
    """Of weights, gradients and optimizer on one device."""
    config = read_model_config(source, params.token.get_secret_value() if params.token else None)
    return planned_memory(
        planned_model(params, source, config, machine.precision, head=head),
        config,
        device_type=machine.device.type,
        precision=machine.precision,
        quantization=machine.quantization,
        trains_base=not params.peft,
        optimizer_bytes=state_bytes(params.optimizer),
    ).fixed


def place_of_loading(machine: Machine, way: Way) -> Machine:
    """What is cut up afterwards is loaded beside the device, where it may have no room; a quantizer packs on the device."""
    if way != "fsdp" or machine.quantization:
        return machine
    return replace(machine, device=torch.device("cpu"))


def whole_again(work: Work, load: Callable[..., Network]) -> Work | None:
    """The work with a whole model for the leader to write, None for the others.  All processes call it.

    A model that was cut up is loaded once more by the leader, on the processor where the device has no room beside it.
    """
    ranks, policy = work.ready.ranks, work.ready.policy
    if ranks.way != "fsdp":
        return work if ranks.leads else None
    state = policy.trainable_state()
    if not ranks.leads:
        return None
    machine = work.machine
    if policy.memory().weights > machine.memory_bytes * _USABLE_SHARE / 2:
        machine = replace(machine, device=torch.device("cpu"))
    whole = load(machine=machine)
    whole.load_trainable_state(state)
    return replace(work, ready=replace(work.ready, policy=whole, forward=whole))


def check_together(params: LLMTrainingParams, total: int) -> None:
    """Refuse what several processes can't do, before anything is loaded.  Raises ConfigError, DeviceError."""
    if params.distributed_backend == "deepspeed" and total > 1:
        raise ConfigError(DEEPSPEED)
    if total == 1 and params.distributed_backend:
        log.notice(f"distributed_backend: {params.distributed_backend} has no effect with one device")
    if params.distributed_backend != "fsdp" or total == 1:
        return
    check_sharded(params)


def check_sharded(params: LLMTrainingParams) -> None:
    """Raises ConfigError or DeviceError for what doesn't go with a model that is cut up."""
    if params.optimizer not in _OPTIMIZERS_OF_SHARDS:
        raise ConfigError(
            f"optimizer: {params.optimizer} can't work on a model that is cut up (fsdp); take one of "
            f"{', '.join(sorted(_OPTIMIZERS_OF_SHARDS))}, or distributed_backend: ddp"
        )
    if params.mixed_precision == "fp16":
        raise DeviceError("mixed_precision: fp16 can't be had where the model is cut up (fsdp); take bf16, or auto")


def check_together_on(ranks: Ranks, data: Data, checkpoint: Checkpoint | None) -> None:
    """Raises RunFolderError where machines have other data or checkpoints than the first one."""
    step = str(checkpoint.progress.step) if checkpoint else ""
    said = ranks.gather({**{f"data of split {name}": value for name, value in data.fingerprint.items()}, "step": step})
    for rank, values in enumerate(said):
        for name, value in values.items():
            if value != said[0].get(name):
                kind = "checkpoint to go on from" if name == "step" else name
                raise RunFolderError(
                    f"process {rank} has another {kind} than process 0 ({value or 'none'} and "
                    f"{said[0].get(name) or 'none'}): all machines need the same data and checkpoints; share the folder "
                    "among them, or set push_checkpoints: true"
                )
