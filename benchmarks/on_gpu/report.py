"""What was measured, as a table and as JSON."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.on_gpu.measure import FAILED, Measured, tokens_per_second
from benchmarks.on_gpu.parity import Parity
from benchmarks.on_gpu.works import OURS

PACKAGES = ("torch", "transformers", "peft", "trl", "accelerate", "bitsandbytes", "flash-attn", "liger-kernel", "triton")
_LOSS_TOLERANCE = 3e-3


def versions() -> dict[str, str]:
    """Of what may play a part; what isn't installed is left out."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def parity_table(checks: Sequence[Parity]) -> str:
    """A line for each comparison."""
    lines = [
        "| against plain paths in fp32 | attention | fast: loss, gradients off by | plain: loss, gradients off by | agree |",
        "| --- | --- | --- | --- | --- |",
    ]
    for check in checks:
        fast, plain = (check.loss_error, check.gradient_error), (check.plain_loss_error, check.plain_gradient_error)
        errors = " | ".join(f"{loss:.1e}, {gradient:.1e}" for loss, gradient in (fast, plain))
        lines.append(f"| {check.name} | {check.kernel} | {errors} | {'yes' if check.agrees else 'NO'} |")
    return "\n".join(lines)


def table(measured: Sequence[Measured], peak: float | None) -> str:
    """A line for each work and side; ratios are ours over that side's."""
    lines = [
        "| work | side | tokens/s | ours is | step, ms | MFU | peak GB | first loss |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *(_line(one, _ours(measured, one), peak) for one in measured)])


def _line(one: Measured, ours: Measured | None, peak: float | None) -> str:
    if one.skipped:
        return f"| {one.work.name} | {one.side.name} | - | - | - | - | - | {one.skipped} |"
    rate = tokens_per_second(one)
    cells = (
        f"{rate:,.0f}",
        f"{tokens_per_second(ours) / rate:.2f}x" if ours and ours is not one else "-",
        f"{1000 * statistics.median(one.seconds):.0f}",
        f"{rate * one.flops_per_token / peak:.1%}" if peak else "-",
        f"{one.peak_bytes / 2**30:.1f}" if one.peak_bytes else "-",
        _loss(one, ours),
    )
    return f"| {one.work.name} | {one.side.name} | {' | '.join(cells)} |"


def _ours(measured: Sequence[Measured], one: Measured) -> Measured | None:
    """Our run of the same work, if it was made."""
    return next((o for o in measured if o.side == OURS and o.work == one.work and not o.skipped), None)


def _loss(one: Measured, ours: Measured | None) -> str:
    if one.first_loss is None:
        return "-"
    text = f"{one.first_loss:.4f}"
    if one.side.packing:
        return f"{text} (other batches)"
    return text if loss_agrees(one, ours) else f"{text} DIFFERS"


def loss_agrees(one: Measured, ours: Measured | None) -> bool:
    """Whether the first step's loss is ours; with packing the batches differ, and nothing is compared."""
    if ours is None or one.first_loss is None or ours.first_loss is None or one.side.packing:
        return True
    return abs(one.first_loss - ours.first_loss) <= _LOSS_TOLERANCE * abs(ours.first_loss)


def as_json(card: str, peak: float | None, checks: Sequence[Parity], measured: Sequence[Measured]) -> Mapping[str, Any]:
    """Everything, for a file."""
    runs = [
        asdict(one)
        | {"tokens_per_second": None if one.skipped else tokens_per_second(one), "agrees": _agrees(measured, one)}
        for one in measured
    ]
    return {"card": card, "peak_flops": peak, "versions": versions(), "parity": [asdict(c) for c in checks], "runs": runs}


def _agrees(measured: Sequence[Measured], one: Measured) -> bool:
    return loss_agrees(one, _ours(measured, one))


def is_right(checks: Sequence[Parity], measured: Sequence[Measured]) -> bool:
    """Whether all that was compared agrees, and none of our own runs failed."""
    if any(one.side.is_ours and one.skipped.startswith(FAILED) for one in measured):
        return False
    return all(check.agrees for check in checks) and all(_agrees(measured, one) for one in measured)
