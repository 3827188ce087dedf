"""From a loaded model and its data to the parts that the loop works on."""

from dataclasses import dataclass

import torch
from torch import nn

from autotrain import log
from autotrain.data.batches import Batches
from autotrain.data.store import ExampleStore
from autotrain.models.memory import MemoryEstimate
from autotrain.models.network import Network
from autotrain.models.sharding import replicate, shard
from autotrain.objectives.base import Objective
from autotrain.ranks import ALONE, Ranks
from autotrain.run_folder import METRICS_FILE, SAMPLES_FILE, RunFolder
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.training.checkpoint import Progress
from autotrain.training.due import plan_events
from autotrain.training.forecast import Forecast, find_largest, forecast, largest_of, try_largest
from autotrain.training.loop import Display, Limits, Parts, Schedule
from autotrain.training.metrics import JsonLines
from autotrain.training.optim import build_optimizer, build_schedule, state_bytes
from autotrain.training.peak import current_bytes, peak_bytes, start_measuring
from autotrain.training.plan import MemoryPlan, plan_memory
from autotrain.training.step import Examples
from autotrain.training.trackers import open_trackers

_STEPS_LOOKED_AT = 100  # takes milliseconds


@dataclass(frozen=True)
class Ready:
    """Built before the run folder is touched, since building it can still refuse.

    estimate: what training takes.  loaded_bytes: what was taken with the model loaded and nothing computed.
    forward: the policy as gradients are taken through it, by all `ranks` together.  total_bytes: memory to count on.
    """

    policy: Network
    forward: nn.Module
    ranks: Ranks
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    memory: MemoryPlan
    estimate: MemoryEstimate
    loaded_bytes: int
    device: torch.device


def make_ready(
    policy: Network,
    params: LLMTrainingParams,
    batches: Batches,
    longest_example: int,
    device: torch.device,
    total_bytes: int,
    ranks: Ranks = ALONE,
) -> Ready:
    """Optimizer, schedule and memory plan.  Raises ConfigError for an optimizer that can't be had.

    total_bytes: of memory that this process may count on.
    """
    start_measuring(device)
    forward: nn.Module = policy
    if ranks.way == "fsdp":
        shard(policy, ranks.total, device)
    estimate = policy.memory(state_bytes(params.optimizer)).shared_by(ranks.total if ranks.way == "fsdp" else 1)
    loaded_bytes = current_bytes(device)
    memory = plan_memory(
        estimate,
        device_type=device.type,
        total_bytes=total_bytes,
        # As large as the policy, until it is known better.
        other_bytes=estimate.weights if params.model_ref and not params.precompute_reference else 0,
        longest_example=longest_example,
        may_checkpoint=not params.disable_gradient_checkpointing,
        search=params.auto_find_batch_size,
    )
    policy.checkpoint_layers(memory.num_checkpointed_layers)
    if ranks.way == "ddp":
        forward = replicate(policy)
    optimizer = build_optimizer(policy, params)
    schedule = Schedule(params.scheduler, build_schedule(optimizer, params, batches.total_steps))
    return Ready(policy, forward, ranks, optimizer, schedule, memory, estimate, loaded_bytes, device)


def foresee(ready: Ready, store: ExampleStore, batches: Batches, other_bytes: int) -> Forecast:
    """The most memory that the run will take.  other_bytes: of a second model."""
    facts = store.num_tokens, store.num_trained, ready.memory.token_budget
    if batches.total_steps <= _STEPS_LOOKED_AT:
        largest = largest_of([batches.step(step) for step in range(batches.total_steps)], *facts)
    else:
        largest = find_largest(*facts, len(batches.step(0)))
    return forecast(
        ready.estimate,
        largest,
        device_type=ready.device.type,
        fast_layers=ready.policy.fast_layers,
        num_checkpointed=ready.memory.num_checkpointed_layers,
        num_steps=batches.total_steps,
        loaded_bytes=ready.loaded_bytes + other_bytes,
        peak_so_far_bytes=peak_bytes(ready.device),
    )


def tried_budget(ready: Ready, expected: Forecast, objective: Objective, train: Examples) -> int:
    """The plan's token budget; where it is in doubt that it fits, one that does, found with the largest micro-batch."""
    budget, ranks = ready.memory.token_budget, ready.ranks
    # A process that ran out of memory would leave the others waiting in the middle of a layer.
    if ranks.way == "fsdp" or not ranks.any(expected.is_in_doubt(ready.device.type, ready.memory.total_bytes)):
        return budget
    fits = int(ranks.least(try_largest(ready.policy, objective, train, expected.largest, budget)))
    if fits < budget:
        log.notice(f"memory ran out with {budget:,} tokens a micro-batch: {fits:,} are taken (the loss stays the same)")
    return fits


def assemble(
    ready: Ready,
    objective: Objective,
    params: LLMTrainingParams,
    batches: Batches,
    folder: RunFolder,
    progress: Progress,
    display: Display,
) -> Parts:
    """Open the run's files where `progress` left them, and put all parts together."""
    has_validation = params.valid_split is not None
    due = plan_events(
        params,
        steps_per_epoch=batches.steps_per_epoch,
        total_steps=batches.total_steps,
        has_validation=has_validation,
    )
    limits = Limits(
        params.max_grad_norm,
        params.early_stopping_patience,
        params.max_hours * 3600 if params.max_hours else None,
        params.save_total_limit,
    )
    device_type = ready.device.type
    needs_scaler = device_type == "cuda" and ready.policy.precision.name == "fp16"
    return Parts(
        policy=ready.policy,
        forward=ready.forward,
        ranks=ready.ranks,
        objective=objective,
        optimizer=ready.optimizer,
        schedule=ready.schedule,
        scaler=torch.amp.GradScaler(device_type, enabled=needs_scaler),
        batches=batches,
        due=due,
        limits=limits,
        folder=folder,
        metrics=JsonLines(folder.path / METRICS_FILE, length_bytes=progress.metrics_bytes),
        samples=JsonLines(folder.path / SAMPLES_FILE, length_bytes=progress.samples_bytes),
        trackers=open_trackers(params, folder.path, progress.step) if ready.ranks.leads else [],
        display=display,
    )
