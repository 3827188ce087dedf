"""Fixtures of tests with several processes: rows, and runs in one process to compare with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torchrun import Jobs, keep_small

WORDS = "red blue green small large round old new warm cold stone river".split()


def pairs(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Of very different lengths, so that ranks can't be dealt equal numbers of rows."""
    rows = []
    for number in range(start, start + count):
        word = WORDS[number % len(WORDS)]
        prompt = [{"role": "user", "content": f"Say {word} in case {number}." + " Hurry." * (number % 5)}]
        texts = (f"{word} it is, please" + " and thanks" * (number % 7), f"{word} it is, now")
        chosen, rejected = ([*prompt, {"role": "assistant", "content": text}] for text in texts)
        rows.append({"chosen": chosen, "rejected": rejected})
    return rows


def labelled(count: int) -> list[dict[str, Any]]:
    rows = []
    for row in pairs(count):
        for answer, label in ((row["chosen"], True), (row["rejected"], False)):
            rows.append({"prompt": answer[:1], "completion": answer[1:], "label": label})
    return rows


@pytest.fixture(scope="session")
def rows_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Splits chats, pairs, labelled to train on, and valid, valid-pairs, valid-labelled."""
    folder = tmp_path_factory.mktemp("rows")
    chats = [{"messages": row["chosen"]} for row in pairs(19)]
    files = {"chats": chats[:13], "valid": chats[13:], "pairs": pairs(13), "valid-pairs": pairs(5, start=13)}
    files |= {"labelled": labelled(7)[:13], "valid-labelled": labelled(3)}
    for name, rows in files.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def run_alone(monkeypatch: pytest.MonkeyPatch) -> Callable[[Jobs, Path], None]:
    """Run jobs one after the other in this process."""

    def run(jobs: Jobs, place: Path) -> None:
        from autotrain.params import LLMTrainingParams
        from autotrain.trainers.clm.train import train

        monkeypatch.chdir(place)
        for job in jobs:
            keep_small(job, monkeypatch.setitem)
            train(LLMTrainingParams(**job["params"]), resume=bool(job.get("resume")), overwrite=False)

    return run
