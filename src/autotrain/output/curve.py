"""The loss over the steps of a run, drawn as SVG by hand: no drawing library, and the same rows give the same bytes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autotrain.run_folder import CURVE_FILE, write_text

Point = tuple[float, float]  # step, loss

_WIDTH, _HEIGHT = 720, 380  # pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 696, 48, 326  # of the plot, from the upper left corner
_MOST_POINTS = 400
_MOST_MARKED = 40
_MOST_TICKS = 8
# A ground of its own: a page's theme isn't known to a picture.  Colours that differ in brightness too, and in their marks.
_GROUND, _INK, _GRID, _TRAINING, _VALIDATION = "#ffffff", "#1f2328", "#d8dee4", "#3b82c4", "#b03a00"


@dataclass(frozen=True)
class Line:
    """One curve.  every: logged rows that make one point, by their mean."""

    name: str
    points: tuple[Point, ...]
    every: int = 1


@dataclass(frozen=True)
class _Axis:
    """Values `low` to `high` onto pixels `start` to `end`; ticks lie at multiples of `tick`."""

    low: float
    high: float
    tick: float
    start: int
    end: int

    def place(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        first, last = math.ceil(self.low / self.tick - 1e-9), math.floor(self.high / self.tick + 1e-9)
        return [number * self.tick for number in range(first, last + 1)]

    def label(self, value: float) -> str:
        decimals = max(0, -math.floor(math.log10(self.tick) + 1e-9))
        return f"{value:,.{decimals}f}"


def write_curve(folder: Path, rows: Iterable[Mapping[str, Any]]) -> Path | None:
    """Draw the rows of metrics.jsonl into `folder`; None, and no file, if there is nothing to draw."""
    path = folder / CURVE_FILE
    lines = loss_lines(rows)
    if not lines:
        path.unlink(missing_ok=True)
        return None
    write_text(path, draw(lines))
    return path


def loss_lines(rows: Iterable[Mapping[str, Any]]) -> list[Line]:
    """Training and validation loss over steps, each where there is one.  A loss that wasn't finite is left out."""
    rows = list(rows)
    found: list[Line] = []
    for name, key in (("training loss", "loss"), ("validation loss", "eval_loss")):
        points = [(float(row["step"]), float(row[key])) for row in rows if row.get(key) is not None and "step" in row]
        points = sorted(point for point in points if math.isfinite(point[1]))
        every = -(-len(points) // _MOST_POINTS)
        if points:
            found.append(Line(name, tuple(_mean(points[at : at + every]) for at in range(0, len(points), every)), every))
    return found


def draw(lines: Sequence[Line]) -> str:
    """The picture, for at least one line with at least one point."""
    steps = [step for line in lines for step, _ in line.points]
    losses = [loss for line in lines for _, loss in line.points]
    across = _axis(min(0.0, *steps), max(1.0, *steps), _LEFT, _RIGHT, is_whole=True)
    up = _axis(min(losses), max(losses), _BOTTOM, _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
        ' role="img" font-family="sans-serif" font-size="13">',
        f"<title>Loss over optimizer steps</title><desc>{_description(lines)}</desc>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="8" fill="{_GROUND}"/>',
        *_grid(across, up),
        *(part for line in lines for part in _curve(line, across, up)),
        *_legend(lines),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _mean(points: Sequence[Point]) -> Point:
    return points[-1][0], math.fsum(loss for _, loss in points) / len(points)


def _axis(low: float, high: float, start: int, end: int, *, is_whole: bool = False) -> _Axis:
    """From the tick below `low` to the one above `high`; of whole numbers, exactly from `low` to `high`."""
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - max(0.05, abs(low) * 0.05), high + max(0.05, abs(high) * 0.05)
    rough = (high - low) / _MOST_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    tick = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    if is_whole:
        return _Axis(low, high, max(1.0, tick), start, end)
    return _Axis(math.floor(low / tick + 1e-9) * tick, math.ceil(high / tick - 1e-9) * tick, tick, start, end)


def _grid(across: _Axis, up: _Axis) -> list[str]:
    parts: list[str] = []
    for value in up.ticks:
        y = f"{up.place(value):.1f}"
        parts.append(f'<path d="M{_LEFT} {y}H{_RIGHT}" stroke="{_GRID}"/>')
        parts.append(_text(_LEFT - 8, float(y) + 4.5, up.label(value), "end"))
    for value in across.ticks:
        x = f"{across.place(value):.1f}"
        parts.append(f'<path d="M{x} {_BOTTOM}v5" stroke="{_INK}"/>')
        parts.append(_text(float(x), _BOTTOM + 20, across.label(value), "middle"))
    middle = (_TOP + _BOTTOM) / 2
    parts.append(f'<path d="M{_LEFT} {_TOP}V{_BOTTOM}H{_RIGHT}" fill="none" stroke="{_INK}"/>')
    parts.append(_text((_LEFT + _RIGHT) / 2, _HEIGHT - 12, "optimizer step", "middle"))
    parts.append(f'<g transform="rotate(-90 16 {middle:.0f})">{_text(16, middle, "loss", "middle")}</g>')
    return parts


def _curve(line: Line, across: _Axis, up: _Axis) -> list[str]:
    """A line; the validations, being few, are marked, and so is what is no line with fewer than two points."""
    colour, is_marked = _colour(line), _is_marked(line)
    places = [f"{across.place(step):.1f} {up.place(loss):.1f}" for step, loss in line.points]
    parts = [f'<path d="M{"L".join(places)}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>']
    if is_marked:
        parts.extend(
            f'<circle cx="{across.place(step):.1f}" cy="{up.place(loss):.1f}" r="4" fill="{colour}"/>'
            for step, loss in line.points
        )
    return parts


def _legend(lines: Sequence[Line]) -> list[str]:
    parts: list[str] = []
    for number, line in enumerate(lines):
        x = _LEFT + 300 * number
        parts.append(f'<path d="M{x} 26h26" stroke="{_colour(line)}" stroke-width="2"/>')
        if _is_marked(line):
            parts.append(f'<circle cx="{x + 13}" cy="26" r="4" fill="{_colour(line)}"/>')
        mean = f" (mean of {line.every} logged steps)" if line.every > 1 else ""
        parts.append(_text(x + 34, 30.5, line.name + mean, "start"))
    return parts


def _colour(line: Line) -> str:
    return _VALIDATION if line.name.startswith("validation") else _TRAINING


def _is_marked(line: Line) -> bool:
    return len(line.points) == 1 or (line.name.startswith("validation") and len(line.points) <= _MOST_MARKED)


def _description(lines: Sequence[Line]) -> str:
    return "; ".join(
        f"{line.name}: {line.points[0][1]:.4g} at step {line.points[0][0]:.0f}, "
        f"{line.points[-1][1]:.4g} at step {line.points[-1][0]:.0f}"
        for line in lines
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_INK}">{text}</text>'
