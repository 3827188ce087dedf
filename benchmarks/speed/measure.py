"""Measures works: sides in turn, round after round, each in a fresh process."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from benchmarks.speed import results
from benchmarks.speed.ratios import loss_difference
from benchmarks.speed.rows import repeat_rows, take_rows, write_rows
from benchmarks.speed.sides import Place, prepare, read_told, run_side, write_config
from benchmarks.speed.works import OURS, Side, Work

PREPARED_FOR = "prepared"
NUM_REPEATED = 500  # chat rows of which `start` makes as many as it wants


@dataclass(frozen=True)
class Choices:
    """How works are measured.

    folder: for everything that is written.  pythons: of the other programs' environments, by the programs' names.
    data: where rows come from, None for made-up ones.
    repeat: rounds; all_rounds: every side runs in each of them.  start_rows: of the work `start`.  say: where progress goes.
    """

    folder: Path
    model: Path
    pythons: Mapping[str, Path]
    data: Path | None
    repeat: int
    all_rounds: bool
    start_rows: int
    say: Any


def measure(work: Work, choices: Choices) -> dict[str, Any]:
    """The entry of one work.  Raises SideFailed."""
    place = _make_ready(work, choices)
    rounds = [_round(work, number, place, choices) for number in range(1 if work.starts else choices.repeat)]
    return {
        "date": results.today(),
        "commit": results.commit(),
        "model": choices.model.name,
        "data": "generated rows" if choices.data is None else choices.data.name,
        "work": _described(work),
        "num_rows": choices.start_rows if work.starts else work.num_rows,
        **read_told(place.folder),
        "rounds": rounds,
        "proof": _prove(work, choices),
    }


def _round(work: Work, number: int, place: Place, choices: Choices) -> dict[str, Any]:
    """Each side once, ours first."""
    one: dict[str, Any] = {}
    for name, side in _sides(work).items():
        if side is not None and side.most_rounds is not None and number >= side.most_rounds and not choices.all_rounds:
            continue
        one[name] = asdict(run_side(work, side, place))
        choices.say(_line(work, number, name, one[name]))
    return one


def _sides(work: Work) -> dict[str, Side | None]:
    return {OURS: None} | {peer.name: peer for peer in work.peers}


def _prove(work: Work, choices: Choices) -> dict[str, float]:
    """How far apart the losses of each peer that isn't ours are in float32; nothing for works that need no such proof."""
    proof = work.proof
    peers = tuple(peer for peer in work.peers if peer.ours is None and peer.most_rounds is None)
    if proof is None or not peers:
        return {}
    proof = replace(proof, peers=peers)
    one = _round(proof, 0, _make_ready(proof, choices), choices)
    return {peer.name: loss_difference(one[OURS], one[peer.name], summed=False) for peer in peers}


def _make_ready(work: Work, choices: Choices) -> Place:
    """Rows on disk and, for the others, as ids."""
    place = Place(choices.folder / work.name, choices.model, choices.pythons)
    shutil.rmtree(place.folder, ignore_errors=True)
    rows_file = place.folder / "data" / "train.jsonl"
    write_rows(rows_file, take_rows(work.data, work.num_rows, choices.data))
    prepare("rows", write_config(work, place, PREPARED_FOR, {}), place.folder, place)
    if work.starts:  # the adapter is there; the rows are new ones each time, so that nothing of them is cached
        rows = take_rows(work.data, NUM_REPEATED, choices.data)
        write_rows(rows_file, repeat_rows(rows, choices.start_rows, str(time.time_ns())))
    return place


def _described(work: Work) -> dict[str, Any]:
    return {
        "precision": work.precision,
        "batch_size": work.batch_size,
        "warmup_steps": work.warmup_steps,
        "timed_steps": work.timed_steps,
        "tolerance": work.tolerance if work.tolerance < inf else None,
        "summed_loss": work.is_packed,
        "starts": work.starts,
        "peers": {peer.name: peer.description for peer in work.peers},
    }


def _line(work: Work, number: int, name: str, run: Mapping[str, Any]) -> str:
    rate = f"{run['tokens'] / run['seconds']:8.1f} tokens/s" if run["seconds"] else ""
    if work.starts:
        rate = f"{run['start_cpu_seconds']:8.1f} CPU-s to the first step"
    loss = f"loss {run['losses'][-1]:.5f}" if run["losses"] else ""
    return (
        f"{work.name} {number + 1} {name:16} {rate}  {run['peak_bytes'] / 1e9:5.2f} GB  {loss}  "
        f"{run['whole_seconds']:.0f} s in all, others {100 * run['others_share']:.1f} %"
    )
