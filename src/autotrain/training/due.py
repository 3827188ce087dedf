"""When to log, validate and save: pure arithmetic on step numbers (1-based: after step N)."""

from dataclasses import dataclass

from autotrain.trainers.clm.params import LLMTrainingParams

SAVE_SECONDS = 300.0  # a crash costs minutes
_DEFAULT_SAVE_STEPS = 500


@dataclass(frozen=True)
class Due:
    """steps between events; None: never by step count."""

    log_every: int
    validate_every: int | None
    save_every: int | None
    total_steps: int

    def log(self, step: int) -> bool:
        return step == 1 or step % self.log_every == 0 or step == self.total_steps

    def validate(self, step: int) -> bool:
        return self.validate_every is not None and (step % self.validate_every == 0 or step == self.total_steps)

    def save(self, step: int) -> bool:
        return self.save_every is not None and (step % self.save_every == 0 or step == self.total_steps)


def plan_events(params: LLMTrainingParams, *, steps_per_epoch: int, total_steps: int, has_validation: bool) -> Due:
    """Turn strategies into numbers of steps."""
    log_every = params.logging_steps
    if log_every <= 0:
        log_every = min(25, max(1, total_steps // 20))
    evaluation = "steps" if params.eval_steps and not params.is_explicit("eval_strategy") else params.eval_strategy
    saving = "steps" if params.save_steps and not params.is_explicit("save_strategy") else params.save_strategy
    validate_every = {"no": None, "epoch": steps_per_epoch, "steps": params.eval_steps or log_every}[evaluation]
    save_every = {"no": None, "epoch": steps_per_epoch, "steps": params.save_steps or _DEFAULT_SAVE_STEPS}[saving]
    return Due(log_every, validate_every if has_validation else None, save_every, total_steps)
