"""One run: a work by a side, its steps timed."""

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from benchmarks.on_gpu import ours, theirs
from benchmarks.on_gpu.models import missing
from benchmarks.on_gpu.rows import Row, make_rows
from benchmarks.on_gpu.works import SHAPES, Side, Work, useful_flops

# How a trainer or a kernel may fail; it is told in the table, and the next run goes on.
FAILURES = (RuntimeError, ValueError, TypeError, AttributeError, LookupError, ImportError, AssertionError)
FAILED = "failed"


@dataclass(frozen=True)
class Setting:
    """longest: tokens of a row.  warmup_steps aren't timed."""

    device: torch.device
    longest: int
    warmup_steps: int
    timed_steps: int

    def now(self) -> float:
        """Seconds, after all that was asked of the device has been done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def forget_peak(self) -> None:
        """Making a model, and quantizing it, takes memory that training doesn't: called after the first step."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)


@dataclass(frozen=True)
class Measured:
    """seconds: of the timed steps.  tokens: without padding, prompts once, of the same steps.  skipped: why, or "".

    flops_per_token: the least that is needed (works.useful_flops).  first_loss: before anything was learned.
    """

    work: Work
    side: Side
    seconds: Sequence[float] = ()
    tokens: Sequence[int] = ()
    flops_per_token: float = 0.0
    first_loss: float | None = None
    peak_bytes: int | None = None
    skipped: str = ""


def measure(work: Work, side: Side, setting: Setting) -> Measured:
    """Build, warm up, time, let go."""
    reason = why_not(work, side)
    if reason:
        return Measured(work, side, skipped=reason)
    num_steps = setting.warmup_steps + setting.timed_steps
    rows = make_rows(work.trainer, num_steps * work.num_rows, SHAPES[work.shape].vocabulary, longest=setting.longest)
    try:
        return _timed(work, side, rows, setting)
    except torch.OutOfMemoryError:
        return Measured(work, side, skipped="out of memory")
    except FAILURES as error:
        return Measured(work, side, skipped=f"{FAILED}: {type(error).__name__}: {str(error).splitlines()[0][:160]}")
    finally:
        _let_go()


def why_not(work: Work, side: Side) -> str:
    """What is missing for a run, or ""."""
    lacking = missing("bitsandbytes") if work.tuning == "int4" else ""
    return lacking or ("" if side.is_ours else theirs.why_not(side))


def _timed(work: Work, side: Side, rows: Sequence[Row], setting: Setting) -> Measured:
    if side.is_ours:
        seconds, losses = _our_steps(work, side, rows, setting)
        tokens = [sum(row.num_tokens for row in step) for step in _by_step(rows, work.num_rows)]
    else:
        run = theirs.train(work, side, rows, setting)
        seconds, losses, tokens = run.seconds, run.losses, run.tokens
    total_tokens = sum(row.num_tokens for row in rows)
    kept = slice(setting.warmup_steps, None)
    return Measured(
        work,
        side,
        seconds[kept],
        tokens[kept],
        useful_flops(work, rows) / total_tokens,
        losses[0] if losses else None,
        torch.cuda.max_memory_allocated(setting.device) if setting.device.type == "cuda" else None,
    )


def _our_steps(work: Work, side: Side, rows: Sequence[Row], setting: Setting) -> tuple[list[float], list[float]]:
    seconds: list[float] = []
    losses: list[float] = []
    began = setting.now()
    for loss in ours.steps(work, side, rows, setting.device):
        seconds.append(setting.now() - began)
        losses.append(loss)
        if len(losses) == 1:
            setting.forget_peak()
        began = setting.now()
    return seconds, losses


def _by_step(rows: Sequence[Row], size: int) -> list[Sequence[Row]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _let_go() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def run_all(works: Sequence[tuple[Work, Side]], setting: Setting, is_late: Callable[[], bool]) -> list[Measured]:
    """In the given order; once `is_late()`, the rest is skipped."""
    return [
        Measured(work, side, skipped="no time left") if is_late() else measure(work, side, setting) for work, side in works
    ]


def joined(measured: Sequence[Measured]) -> list[Measured]:
    """Runs of the same work and side as one, with all their steps; a skipped run counts only where there is no other."""
    found: dict[tuple[str, str], Measured] = {}
    for one in measured:
        key = (one.work.name, one.side.name)
        earlier = found.get(key)
        if earlier is None or (earlier.skipped and not one.skipped):
            found[key] = one
        elif not one.skipped:
            seconds, tokens = [*earlier.seconds, *one.seconds], [*earlier.tokens, *one.tokens]
            peak = max(filter(None, (earlier.peak_bytes, one.peak_bytes)), default=None)
            found[key] = Measured(one.work, one.side, seconds, tokens, one.flops_per_token, earlier.first_loss, peak)
    return list(found.values())


def tokens_per_second(measured: Measured) -> float:
    """The median over the steps."""
    return statistics.median(count / time for count, time in zip(measured.tokens, measured.seconds, strict=True))
