"""From a loaded model and its data to the parts that the loop works on."""

from dataclasses import dataclass

import torch

from autotrain.data.batches import Batches
from autotrain.models.network import Network
from autotrain.objectives.base import Objective
from autotrain.run_folder import METRICS_FILE, SAMPLES_FILE, RunFolder
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.training.checkpoint import Progress
from autotrain.training.due import plan_events
from autotrain.training.loop import Display, Limits, Parts, Schedule
from autotrain.training.metrics import JsonLines
from autotrain.training.optim import build_optimizer, build_schedule
from autotrain.training.plan import MemoryPlan, plan_memory, total_memory_bytes
from autotrain.training.trackers import open_trackers


@dataclass(frozen=True)
class Ready:
    """Built before the run folder is touched, since building it can still refuse."""

    policy: Network
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    memory: MemoryPlan
    device: torch.device


def make_ready(
    policy: Network, params: LLMTrainingParams, batches: Batches, longest_example: int, device: torch.device
) -> Ready:
    """Optimizer, schedule and memory plan.  Raises ConfigError for an optimizer that can't be had."""
    memory = plan_memory(
        device_type=device.type,
        total_bytes=total_memory_bytes(device),
        fixed_bytes=policy.fixed_bytes(),
        bytes_per_token=policy.activation_bytes_per_token(checkpointed=False),
        bytes_per_token_checkpointed=policy.activation_bytes_per_token(checkpointed=True),
        longest_example=longest_example,
        may_checkpoint=not params.disable_gradient_checkpointing,
        search=params.auto_find_batch_size,
    )
    policy.set_gradient_checkpointing(memory.gradient_checkpointing)
    optimizer = build_optimizer(policy, params)
    schedule = Schedule(params.scheduler, build_schedule(optimizer, params, batches.total_steps))
    return Ready(policy, optimizer, schedule, memory, device)


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
        trackers=open_trackers(params, folder.path, progress.step),
        display=display,
    )
