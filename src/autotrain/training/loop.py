"""The loop: optimizer steps, and between them what is logged, validated and saved."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import Optimizer

from autotrain import log
from autotrain.data.batches import Batches
from autotrain.errors import Interrupted, TrainingError
from autotrain.models.network import Network
from autotrain.objectives.base import Objective
from autotrain.ranks import ALONE, Ranks
from autotrain.run_folder import CHECKPOINTS, FAILED, FINISHED, INTERRUPTED, RunFolder
from autotrain.training.checkpoint import (
    Checkpoint,
    Progress,
    prune_checkpoints,
    restore_random_states,
)
from autotrain.training.due import SAVE_SECONDS, Due
from autotrain.training.metrics import JsonLines
from autotrain.training.optim import advance_after_step, advance_after_validation
from autotrain.training.peak import held_bytes
from autotrain.training.shards import restore_weights, save_together, whole_number
from autotrain.training.signals import StopSignal
from autotrain.training.step import Examples, StepResult, Stop, accumulate_within_memory, evaluate
from autotrain.training.trackers import Tracker

Samples = Sequence[Mapping[str, Any]]


class Display(Protocol):
    """Where the course of the run is shown."""

    def step(self, row: Mapping[str, Any], is_logged: bool) -> None: ...

    def validation(self, row: Mapping[str, Any], best: bool) -> None: ...

    def samples(self, step: int, samples: Samples) -> None: ...


@dataclass(frozen=True)
class Schedule:
    """A learning-rate schedule and the name that says what it looks at."""

    name: str
    object: Any


@dataclass(frozen=True)
class Limits:
    """What ends a run before its last step, and how much of it is kept."""

    max_grad_norm: float
    patience: int | None
    max_seconds: float | None
    save_total_limit: int
    save_seconds: float = SAVE_SECONDS


def _nothing(progress: Progress) -> None:
    """Nobody waits for checkpoints."""


@dataclass(frozen=True)
class Parts:
    """Everything that the loop works on; the recipe puts it together.

    forward: the policy as gradients are taken through it.  ranks: the processes that share the work.
    after_save: hears of each checkpoint that was written.
    """

    policy: Network
    forward: nn.Module
    objective: Objective
    optimizer: Optimizer
    schedule: Schedule
    scaler: torch.amp.GradScaler
    batches: Batches
    due: Due
    limits: Limits
    folder: RunFolder
    metrics: JsonLines
    samples: JsonLines
    trackers: Sequence[Tracker]
    display: Display
    after_save: Callable[[Progress], None] = _nothing
    ranks: Ranks = ALONE

    def __enter__(self) -> "Parts":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the files and what trackers hold open, and tell these how it ended."""
        self.metrics.close()
        self.samples.close()
        stopped = kind is not None and issubclass(kind, Interrupted | KeyboardInterrupt)
        ending = FINISHED if kind is None else INTERRUPTED if stopped else FAILED
        for tracker in self.trackers:
            tracker.close(ending)


class Loop:
    """Runs the steps from `progress` on.  After `run()`, `progress` says how it went.

    answer_samples: called at each validation.
    """

    def __init__(
        self,
        parts: Parts,
        train: Examples,
        valid: Examples | None,
        answer_samples: Callable[[], Samples],
        progress: Progress,
        stop: StopSignal,
    ) -> None:
        self.parts = parts
        self.progress = progress
        self._train = train
        self._valid = valid
        self._answer_samples = answer_samples
        self._stop = stop
        self._started = self._last_save = time.monotonic()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue as if the run had never ended."""
        parts = self.parts
        restore_weights(parts.policy, parts.optimizer, checkpoint)
        parts.schedule.object.load_state_dict(checkpoint.optimizer["schedule"])
        parts.scaler.load_state_dict(checkpoint.optimizer["scaler"])
        self.progress = checkpoint.progress
        restore_random_states(checkpoint.random_states_of(parts.ranks))

    def run(self) -> None:
        """Train to the end, or until max_hours are over or validation says stop.

        Raises Interrupted after saving, TrainingError when the loss or its gradient is no number.
        """
        parts = self.parts
        parts.policy.train()
        try:
            if not self.progress.validated:
                self._after_step(self.progress.step)
            while self.progress.step < parts.batches.total_steps and not self.progress.stopped_early:
                if parts.ranks.any(self._stop.asked()):
                    raise Stop
                self._take_step()
                self._after_step(self.progress.step)
                if self._is_out_of_time():
                    self._save()
                    return
        except Stop:
            self._leave()

    # One step

    def _take_step(self) -> None:
        parts, step = self.parts, self.progress.step
        started, cpu_started = time.perf_counter(), time.process_time()
        learning_rate = parts.optimizer.param_groups[0]["lr"]
        parts.optimizer.zero_grad(set_to_none=True)
        budget = self.progress.token_budget
        indices = parts.batches.step(step)
        result = accumulate_within_memory(
            parts.forward, parts.objective, self._train, indices, budget, parts.scaler.scale, ranks=parts.ranks
        )
        if result.token_budget < budget:
            log.notice(f"memory ran out: from now on {result.token_budget:,} tokens a micro-batch (the loss stays the same)")
        grad_norm = self._update(result)
        advance_after_step(parts.schedule.object, parts.schedule.name, result.loss)
        self.progress = self.progress.with_(
            step=step + 1,
            validated=False,
            num_tokens=self.progress.num_tokens + result.num_tokens,
            num_trained_tokens=self.progress.num_trained_tokens + result.counts.tokens,
            num_attended_tokens=self.progress.num_attended_tokens + result.num_attended_tokens,
            train_seconds=self.progress.train_seconds + time.perf_counter() - started,
            train_cpu_seconds=self.progress.train_cpu_seconds + time.process_time() - cpu_started,
            token_budget=result.token_budget,
            first_loss=result.loss if self.progress.first_loss is None else self.progress.first_loss,
            last_loss=result.loss,
        )
        self._log_step(result, grad_norm, learning_rate)

    def _update(self, result: StepResult) -> float:
        """Clip the gradients and take the optimizer step.  Returns the gradients' norm before clipping."""
        parts = self.parts
        parts.scaler.unscale_(parts.optimizer)
        trained = [parameter for group in parts.optimizer.param_groups for parameter in group["params"]]
        gradients = [parameter for parameter in trained if parameter.grad is not None]
        largest = parts.limits.max_grad_norm or math.inf
        grad_norm = whole_number(torch.nn.utils.clip_grad_norm_(gradients, largest))
        if not math.isfinite(result.loss) or not (math.isfinite(grad_norm) or parts.scaler.is_enabled()):
            raise TrainingError(
                f"step {self.progress.step + 1}: the loss is {result.loss}, its gradient's norm {grad_norm}; "
                "training can't go on. Lower lr, or set mixed_precision: bf16 or none"
            )
        parts.scaler.step(parts.optimizer)
        parts.scaler.update()
        return grad_norm

    def _log_step(self, result: StepResult, grad_norm: float, learning_rate: float) -> None:
        progress, parts = self.progress, self.parts
        row = {
            "step": progress.step,
            "epoch": round(progress.step / parts.batches.steps_per_epoch, 4),
            "loss": result.loss,
            **result.metrics,
            "grad_norm": grad_norm,
            "learning_rate": learning_rate,
            "tokens": progress.num_tokens,
            "seconds": round(progress.train_seconds, 3),
        }
        is_logged = parts.due.log(progress.step)
        if is_logged:
            self._record({**row, "memory_bytes": held_bytes(parts.policy.device)})
        parts.display.step(row, is_logged)
        parts.folder.beat(progress.step, parts.batches.total_steps)
        parts.ranks.tick(progress.step)

    def _record(self, row: Mapping[str, Any]) -> None:
        self.parts.metrics.append(row)
        for tracker in self.parts.trackers:
            tracker.log(row["step"], {name: value for name, value in row.items() if name != "step"})

    # Between steps

    def _after_step(self, step: int) -> None:
        """Validate and save where due.  Before the first step, validate only."""
        due = self.parts.due
        better = due.validate(step) and self._validate(step)
        self.progress = self.progress.with_(validated=True)
        if step == 0:
            return
        seconds = time.monotonic() - self._last_save
        by_time = due.save_every is not None and self.parts.ranks.decide(seconds > self.parts.limits.save_seconds)
        ends_early = self.progress.stopped_early and due.save_every is not None
        if due.save(step) or by_time or better or ends_early:
            self._save()

    def _validate(self, step: int) -> bool:
        """Returns whether this is the best so far.  Raises Stop if the user asked to, leaving no trace."""
        parts = self.parts
        assert self._valid is not None
        started = time.perf_counter()
        sums = evaluate(
            parts.policy, parts.objective, self._valid, self.progress.token_budget, self._stop.asked, parts.ranks
        )
        seconds = round(time.perf_counter() - started, 3)
        samples = self._answer_samples()
        if parts.ranks.any(self._stop.asked()):
            raise Stop
        row = {
            "step": step,
            "epoch": round(step / parts.batches.steps_per_epoch, 4),
            **{f"eval_{name}": value for name, value in sums.items()},
            "eval_seconds": seconds,
        }
        loss = row["eval_loss"]
        best = self.progress.best_eval_loss
        better = step > 0 and math.isfinite(loss) and (best is None or loss < best)
        self._note_validation(step, loss, better)
        self._record(row)
        parts.display.validation(row, better)
        for sample in samples:
            parts.samples.append({"step": step, **sample})
        parts.display.samples(step, samples)
        if step > 0:
            advance_after_validation(parts.schedule.object, parts.schedule.name, loss)
        return better

    def _note_validation(self, step: int, loss: float, better: bool) -> None:
        if step == 0:
            self.progress = self.progress.with_(eval_loss_before=loss)
            return
        worse = 0 if better else self.progress.validations_without_better + 1
        patience = self.parts.limits.patience
        stops = patience is not None and worse >= patience and step < self.parts.batches.total_steps
        if stops:
            log.info(f"no better validation loss {worse} times: stopping early")
        best = {"best_eval_loss": loss, "best_step": step} if better else {}
        self.progress = self.progress.with_(eval_loss=loss, validations_without_better=worse, stopped_early=stops, **best)

    # Saving and leaving

    def _save(self) -> None:
        parts = self.parts
        checkpoints = parts.folder.path / CHECKPOINTS
        self.progress = self.progress.with_(
            metrics_bytes=parts.metrics.length_bytes, samples_bytes=parts.samples.length_bytes
        )
        save_together(checkpoints, self.progress, parts.policy, self._optimizer_state(), parts.ranks)
        prune_checkpoints(checkpoints, parts.limits.save_total_limit, self.progress.best_step)
        parts.folder.set_state("training", self.progress.step, parts.batches.total_steps)
        self._last_save = time.monotonic()
        parts.after_save(self.progress)

    def _optimizer_state(self) -> dict[str, Any]:
        parts = self.parts
        return {
            "optimizer": parts.optimizer.state_dict(),
            "schedule": parts.schedule.object.state_dict(),
            "scaler": parts.scaler.state_dict(),
        }

    def _leave(self) -> None:
        number = -int(self.parts.ranks.least(-(self._stop.number or 0)))  # of several processes, it may have reached one
        step, total = self.progress.step, self.parts.batches.total_steps
        if step == 0:
            raise Interrupted("interrupted before the first step; --resume starts anew", number)
        self._save()
        raise Interrupted(f"interrupted at step {step} of {total}; saved, continue with --resume", number)

    def _is_out_of_time(self) -> bool:
        limit, steps_left = self.parts.limits.max_seconds, self.parts.batches.total_steps - self.progress.step
        if limit is None or steps_left <= 0:
            return False
        return self.parts.ranks.decide(time.monotonic() - self._started > limit)
