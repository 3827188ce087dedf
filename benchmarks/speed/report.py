"""The table of docs/benchmarks.md, from the file of results."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.speed.machine import BUSY_SHARE
from benchmarks.speed.ratios import Spread, ratios_of, speed_ratios, tokens_per_second, worst_difference
from benchmarks.speed.works import FP32_TOLERANCE, LLAMA_FACTORY_PROGRAM, OURS, TRL_PROGRAM

BEGIN, END = "<!-- measured: written by `python -m benchmarks.speed render` -->", "<!-- end of what was measured -->"
FEW_PAIRS, FEW_MARK, BUSY_MARK, LOSS_MARK, ROUNDED_MARK = 5, " (a)", " (b)", " (c)", " (d)"
PROGRAM_SIDES = {TRL_PROGRAM: "TRL's side", LLAMA_FACTORY_PROGRAM: "LLaMA-Factory's side"}
Entry = Mapping[str, Any]


def page_part(results: Mapping[str, Any]) -> str:
    """All that is measured, as Markdown."""
    works: Mapping[str, Entry] = results["works"]
    steps = {name: entry for name, entry in works.items() if not entry["work"]["starts"]}
    starts = {name: entry for name, entry in works.items() if entry["work"]["starts"]}
    parts = [f"Processor: {results.get('processor', 'unknown')}. {versions_line(works)}"]
    if steps:
        parts += [speed_table(steps), notes(steps), speeds_table(steps)]
    if starts:
        parts.append(start_table(starts))
    parts.append(origin_table(works))
    return "\n\n".join(part for part in parts if part)


def versions_line(works: Mapping[str, Entry]) -> str:
    """Of all sides, as the last work had them."""
    sides: dict[str, str] = {}
    for entry in works.values():
        for name, run in entry["rounds"][-1].items():
            kind = next((side for start, side in PROGRAM_SIDES.items() if name.startswith(start)), "ours")
            sides[kind] = ", ".join(f"{library} {number}" for library, number in sorted(run["versions"].items()))
    return " ".join(f"Versions, {kind}: {text}." for kind, text in sorted(sides.items()))


def table(header: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    rule = ["---"] * len(header)
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in (header, rule, *lines))


def speed_table(works: Mapping[str, Entry]) -> str:
    """A line for each work and what it is compared with."""
    header = (
        "work",
        "compared with",
        "times as fast",
        "least to greatest",
        "pairs",
        "peak memory",
        "losses apart",
        "in float32",
    )
    return table(header, (_speed_line(name, one, peer) for name, one in works.items() for peer in one["work"]["peers"]))


def _speed_line(name: str, entry: Entry, peer: str) -> Sequence[str]:
    rounds = entry["rounds"]
    speeds = speed_ratios(rounds, OURS, peer)
    if not speeds:
        return name, peer, "not measured", "", "0", "", "", ""
    speed = Spread.of(speeds)
    memory = median(ratios_of(rounds, OURS, peer, "peak_bytes"))
    apart = worst_difference(rounds, OURS, peer, summed=entry["work"]["summed_loss"])
    marks = (FEW_MARK if len(speeds) < FEW_PAIRS else "") + (BUSY_MARK if is_busy(entry, peer) else "")
    marks += "" if losses_agree(entry, peer) else ROUNDED_MARK if is_proven(entry, peer) else LOSS_MARK
    return (
        f"`{name}`",
        f"`{peer}`",
        f"**{speed.median:.2f}**{marks}",
        f"{speed.least:.2f} to {speed.greatest:.2f}",
        str(len(speeds)),
        f"{memory:.2f}",
        "-" if entry["work"]["tolerance"] is None else f"{apart:.0e}",
        f"{entry['proof'][peer]:.0e}" if peer in entry["proof"] else "",
    )


def is_busy(entry: Entry, peer: str) -> bool:
    """Whether other processes took a noticeable part of the machine in any of the runs that are compared."""
    runs = [one[side] for one in entry["rounds"] for side in (OURS, peer) if side in one]
    return any(run["others_share"] > BUSY_SHARE for run in runs)


def losses_agree(entry: Entry, peer: str) -> bool:
    """Whether both sides did the same; True where they are meant to differ."""
    tolerance = entry["work"]["tolerance"]
    apart = worst_difference(entry["rounds"], OURS, peer, summed=entry["work"]["summed_loss"])
    return tolerance is None or (math.isfinite(apart) and apart <= tolerance)


def is_proven(entry: Entry, peer: str) -> bool:
    """Whether the same work in float32 gave the same losses."""
    return entry["proof"].get(peer, math.inf) <= FP32_TOLERANCE


def notes(works: Mapping[str, Entry]) -> str:
    """What the marks mean, as far as there are any."""
    pairs = [(entry, peer) for entry in works.values() for peer in entry["work"]["peers"]]
    said = []
    if any(len(speed_ratios(entry["rounds"], OURS, peer)) < FEW_PAIRS for entry, peer in pairs):
        said.append(f"{FEW_MARK.strip()} fewer than {FEW_PAIRS} pairs: an indication, no measurement.")
    if any(is_busy(entry, peer) for entry, peer in pairs):
        said.append(f"{BUSY_MARK.strip()} other processes took more than {BUSY_SHARE:.0%} of the machine during a run.")
    differing = [pair for pair in pairs if not losses_agree(*pair)]
    if any(not is_proven(*pair) for pair in differing):
        said.append(
            f"{LOSS_MARK.strip()} losses are further apart than they should be: the ratio compares two different things."
        )
    if any(is_proven(*pair) for pair in differing):
        said.append(f"{ROUNDED_MARK.strip()} bf16 rounds these losses differently on the two sides; in float32 they agree.")
    return " ".join(said)


def speeds_table(works: Mapping[str, Entry]) -> str:
    """A line for each side: absolute figures, which depend on the machine."""
    header = ("work", "side", "tokens per second", "peak memory", "share of the floor")
    lines = [
        (
            f"`{name}`",
            f"`{side}`",
            f"{median(map(tokens_per_second, runs)):.1f}",
            f"{median(run['peak_bytes'] for run in runs) / 1e9:.2f} GB",
            _floor_text(entry, runs),
        )
        for name, entry in works.items()
        for side, runs in runs_by_side(entry).items()
    ]
    return table(header, lines)


def runs_by_side(entry: Entry) -> dict[str, list[Mapping[str, Any]]]:
    """The runs of each side, in the order of the rounds."""
    sides = (OURS, *entry["work"]["peers"])
    return {side: runs for side in sides if (runs := [one[side] for one in entry["rounds"] if side in one])}


def _floor_text(entry: Entry, runs: Sequence[Mapping[str, Any]]) -> str:
    rate = entry["flops_per_second"]
    is_same_work = sum(step["tokens"] for step in entry["steps"][entry["work"]["warmup_steps"] :]) == runs[0]["tokens"]
    if not rate or not is_same_work:
        return ""
    flops = sum(step["flops"] for step in entry["steps"][entry["work"]["warmup_steps"] :])
    return f"{median(flops / rate / run['seconds'] for run in runs):.0%}"


def start_table(works: Mapping[str, Entry]) -> str:
    """CPU seconds to the first step."""
    header = ("from the command to the first step", "rows", "side", "CPU seconds", "peak memory")
    lines = [
        (
            f"`{name}`",
            f"{entry['num_rows']:,}",
            f"`{side}`",
            f"{median(run['start_cpu_seconds'] for run in runs):.1f}",
            f"{median(run['peak_bytes'] for run in runs) / 1e9:.2f} GB",
        )
        for name, entry in works.items()
        for side, runs in runs_by_side(entry).items()
    ]
    return table(header, lines)


def origin_table(works: Mapping[str, Entry]) -> str:
    """Where each figure comes from."""
    header = ("work", "date", "commit", "model", "rows", "steps", "command")
    return table(header, (_origin_line(name, entry) for name, entry in works.items()))


def _origin_line(name: str, entry: Entry) -> Sequence[str]:
    work = entry["work"]
    steps = f"{work['timed_steps']} timed, after {work['warmup_steps']}; batch {work['batch_size']}"
    rows = f"{entry['num_rows']:,}: {entry['data']}"
    return f"`{name}`", entry["date"], entry["commit"], entry["model"], rows, steps, f"`{entry.get('command', '')}`"


def write_page(page: Path, text: str) -> None:
    """Put `text` between the two marks of the page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
