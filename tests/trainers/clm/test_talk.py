"""The worker that a program talks with, as a process: its protocol, its end, and answers equal to the command's."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from autotrain.runs.processes import find_process

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
WORKER = (sys.executable, "-P", "-m", "autotrain.trainers.clm", "generate", "talk")
HOT = {"temperature": 1.2, "top_p": 0.9, "max_new_tokens": 24, "seed": 11}


class Process:
    """A worker; `ask` sends and `until` reads events up to one of the kinds named."""

    def __init__(self, model: str) -> None:
        self.worker = subprocess.Popen(
            [*WORKER, json.dumps({"model": model})],
            env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.events: list[dict[str, Any]] = []

    def ask(self, do: str, number: int, **fields: Any) -> None:
        self.ask_all({"do": do, "id": number, **fields})

    def ask_all(self, *requests: dict[str, Any]) -> None:
        """In one go: no answer is over before the last request is there."""
        assert self.worker.stdin
        self.worker.stdin.write("".join(json.dumps(request) + "\n" for request in requests))
        self.worker.stdin.flush()

    def until(self, *events: str) -> dict[str, Any]:
        assert self.worker.stdout
        for line in self.worker.stdout:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] in events:
                return self.events[-1]
        raise AssertionError(f"the worker ended; it said {self.events} {self.worker.stderr and self.worker.stderr.read()}")


@contextmanager
def talking(model: str | Path) -> Generator[Process]:
    process = Process(str(model))
    try:
        yield process
    finally:
        process.worker.kill()
        process.worker.communicate()


def question(text: str, *, of_base: bool = False, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], "system": "Be brief.", "of_base": of_base, **HOT, **fields}


def test_a_sampled_answer_is_the_one_that_autotrain_generate_writes(tiny_model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "autotrain", "generate", str(tiny_model), "--prompt", "Say red."]
    flags = ["--system", "Be brief.", "--temperature", "1.2", "--top-p", "0.9", "--max-new-tokens", "24", "--seed", "11"]
    written = subprocess.run([*command, *flags], env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=300)
    with talking(tiny_model) as process:
        process.ask("answer", 1, **question("Say red."))
        end = process.until("end")
        pieces = "".join(event["text"] for event in process.events if event["event"] == "piece")
        process.ask("answer", 2, **question("Say red.", seed=12))
        other = process.until("end")
    assert end["text"] == pieces.strip() == json.loads(written.stdout)["answer"]
    assert end["num_tokens"] > 5
    assert other["text"] != end["text"]
    assert process.events[0]["event"] == "ready"
    assert process.events[0]["kind"] == "chat"


def test_one_of_two_answers_is_stopped_and_a_bad_request_harms_nobody(tiny_model: Path) -> None:
    with talking(tiny_model) as process:
        process.until("ready")
        process.ask_all(
            {"do": "answer", "id": 1, **question("Say red.", max_new_tokens=400)},
            {"do": "answer", "id": 2, **question("Say red.", max_new_tokens=20)},
            {"do": "stop", "id": 1},
            {"do": "stop", "id": 99},  # nobody's
        )
        ends = sorted([process.until("end"), process.until("end")], key=lambda end: end["id"])
        process.ask("answer", 3, **question("word " * 5000))
        error = process.until("error")
        process.ask("answer", 4, **question("Say red.", of_base=True))
        no_base = process.until("error")
        process.ask("answer", 5, **question("Say blue."))
        assert process.until("end")["id"] == 5
    assert ends[0]["reason"] == "stopped"
    assert ends[1]["num_tokens"] <= 20
    assert error["id"] == 3
    assert "at most" in error["message"]
    assert "isn't known" in no_base["message"]


def test_a_model_that_is_not_there_is_one_message_and_exit_code_2(tmp_path: Path) -> None:
    with talking(tmp_path / "nothing") as process:
        error = process.until("error")
        assert process.worker.wait(timeout=60) == 2
    assert error["id"] is None
    assert f"no folder {tmp_path}/nothing" in error["message"]


@pytest.mark.parametrize("waits_for", ["load", "answer"])
def test_it_is_gone_as_soon_as_whoever_asked_is(tiny_model: Path, waits_for: str) -> None:
    """The other end is killed, so that nobody says goodbye."""
    code = (
        "import subprocess, sys, time\n"
        f"worker = subprocess.Popen({[*WORKER, json.dumps({'model': str(tiny_model)})]!r}, stdin=subprocess.PIPE,"
        " stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)\n"
        "print(worker.pid, flush=True)\n"
        f"request = {json.dumps({'do': 'answer', 'id': 1, **question('Say red.', max_new_tokens=400)})!r}\n"
        "worker.stdin.write(request.encode() + b'\\n'); worker.stdin.flush()\n"
        f"if {waits_for == 'answer'}: worker.stdout.readline(); worker.stdout.readline(); print('going', flush=True)\n"
        "time.sleep(300)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        worker = int(server.stdout.readline())
        if waits_for == "answer":
            assert server.stdout.readline() == "going\n"
        else:
            time.sleep(1.0)
        server.send_signal(signal.SIGKILL)
        server.wait()
    end = time.monotonic() + 60
    while find_process(worker):
        assert time.monotonic() < end, "the worker outlived its server"
        time.sleep(0.1)
