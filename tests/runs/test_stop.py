"""Stopping a run lets its worker save, and leaves nothing of its process tree."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from autotrain.errors import RunFolderError
from autotrain.run_folder import claim
from autotrain.runs import Entry, look_at
from autotrain.runs.processes import belonging_to, birth_of, find_process
from autotrain.runs.stop import stop, stop_if_live

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

# A worker with a child in its group, a grandchild of that, and a child in a session of its own, all deaf to SIGTERM.
WORKER = """\
import os, pathlib, signal, subprocess, sys, time
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(100)"
child = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {deaf!r}]); {deaf}"
started = [subprocess.Popen([sys.executable, "-c", program], start_new_session=alone)
           for program, alone in ((child, False), (deaf, True))]
def save(number, frame):
    pathlib.Path("saved.txt").write_text("saved")
    if sys.argv[1] == "obedient":
        sys.exit(143)
signal.signal(signal.SIGTERM, save)
pathlib.Path("ready.txt").write_text("ready")
time.sleep(100)
time.sleep(100)
"""

DEAD = 2**22 - 3

Start = Callable[[str], Entry]


def eventually(claim: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if claim():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def start(tmp_path: Path) -> Generator[Start]:
    """Starts a worker with three processes below it; nothing of it outlives the test."""
    workers: list[subprocess.Popen[bytes]] = []

    def begin(manner: str) -> Entry:
        worker = subprocess.Popen([sys.executable, "-c", WORKER, manner], cwd=tmp_path, process_group=0)
        workers.append(worker)
        root = find_process(worker.pid)
        assert root and eventually(lambda: (tmp_path / "ready.txt").exists() and len(belonging_to(root)) == 4)
        return Entry(1, "run", tmp_path / "run", 0.0, "local-ui", worker.pid, birth_of(worker.pid))

    yield begin
    for worker in workers:
        worker.kill()
        worker.wait()


def tree(entry: Entry) -> list[int]:
    root = find_process(entry.pid)
    assert root
    return list(belonging_to(root))


def running(pids: list[int]) -> list[int]:
    return [pid for pid in pids if find_process(pid)]


def test_issue_dangerous_stop_the_whole_tree_ends_and_the_worker_saves(start: Start, tmp_path: Path):
    """Regression: AutoTrain's stop ended the launcher alone, and the training went on unseen (defect 4)."""
    entry = start("obedient")
    pids = tree(entry)
    assert stop(entry, grace_seconds=30)
    assert (tmp_path / "saved.txt").exists()
    assert running(pids) == []


def test_a_worker_that_doesnt_leave_is_ended_by_force_after_the_grace(start: Start, tmp_path: Path):
    entry = start("stubborn")
    pids = tree(entry)
    began = time.monotonic()
    assert not stop(entry, grace_seconds=0.5)
    assert time.monotonic() - began >= 0.5
    assert running(pids) == []


def test_a_paused_worker_is_woken_to_save(start: Start, tmp_path: Path):
    entry = start("obedient")
    os.killpg(entry.pid, signal.SIGSTOP)
    assert eventually(lambda: look_at(entry).stage == "paused")
    assert stop(entry, grace_seconds=30)
    assert (tmp_path / "saved.txt").exists()


def test_a_paused_launcher_is_woken_to_leave_with_its_worker(tmp_path: Path):
    """After Ctrl-Z both are paused; a launcher that stays so would be a stopped job of the shell for ever."""
    program = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {WORKER!r}, 'obedient']) and 7)"
    launcher = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, process_group=0)
    root = find_process(launcher.pid)
    assert root and eventually(lambda: (tmp_path / "ready.txt").exists() and len(belonging_to(root)) == 5)
    (worker,) = [one for one in belonging_to(root).values() if one.parent == launcher.pid]
    os.killpg(launcher.pid, signal.SIGSTOP)
    entry = Entry(1, "run", tmp_path / "run", 0.0, "local", worker.pid, birth_of(worker.pid))
    assert stop(entry, grace_seconds=30)
    assert launcher.wait(30) == 7 and (tmp_path / "saved.txt").exists()


def test_a_launcher_whose_pause_is_seen_late_is_woken_too(tmp_path: Path):
    """Regression: a pause takes its time on a busy machine; the launcher was looked at once, before, and stayed paused."""
    worker_program = (
        "import os, pathlib, signal, sys, time\n"
        "def leave(number, frame): os.kill(os.getppid(), signal.SIGSTOP); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, leave); pathlib.Path('pid.new').write_text(str(os.getpid()))\n"
        "os.rename('pid.new', 'pid.txt'); time.sleep(100)\n"
    )
    program = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {worker_program!r}]) and 7)"
    launcher = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, process_group=0)
    try:
        assert eventually((tmp_path / "pid.txt").exists)
        pid = int((tmp_path / "pid.txt").read_text())
        assert stop(Entry(1, "run", tmp_path / "run", 0.0, "local", pid, birth_of(pid)), grace_seconds=30)
        assert launcher.wait(30) == 7
    finally:
        launcher.kill()


def test_after_a_stop_by_force_nobody_holds_the_folder(tmp_path: Path):
    """The threads of a process that is killed leave one by one, and its lock goes with the last."""
    program = (
        "import sys, threading, time; from pathlib import Path; from autotrain.run_folder import claim\n"
        "run = claim(Path('run'), resume=False, overwrite=False); run.set_state('training', 1, 9)\n"
        "[threading.Thread(target=lambda: time.sleep(100), daemon=True).start() for _ in range(50)]\n"
        "Path('ready.txt').touch(); time.sleep(100)"
    )
    worker = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, process_group=0)
    assert eventually((tmp_path / "ready.txt").exists)
    entry = Entry(1, "run", tmp_path / "run", 0.0, "local", worker.pid, birth_of(worker.pid))
    assert not stop(entry, grace_seconds=0)
    assert look_at(entry).stage == "stopped"
    worker.wait()


@pytest.mark.parametrize("stage", ["finished", "training"])
def test_a_run_that_ends_by_itself_as_it_is_stopped_is_no_error(tmp_path: Path, stage: str):
    """Its worker was there when one looked; regression: `stop` said that it isn't on this machine."""
    held = claim(tmp_path / "run", resume=False, overwrite=False)
    held.set_state("training", 1, 9)
    state = json.loads((tmp_path / "run" / "state.json").read_text()) | {"stage": stage, "pid": DEAD}
    (tmp_path / "run" / "state.json").write_text(json.dumps(state))
    entry = Entry(1, "run", tmp_path / "run", 0.0, "local", DEAD, "another-boot:1")
    if stage == "finished":
        assert stop_if_live(entry, grace_seconds=1)
    else:  # somebody elsewhere holds its folder
        with pytest.raises(RunFolderError, match="its worker isn't on this machine"):
            stop_if_live(entry, grace_seconds=1)
    held.release()


def test_what_a_worker_left_behind_belongs_to_it_and_nobody_else_does(start: Start):
    entry = start("obedient")
    root = find_process(entry.pid)
    assert root
    known = belonging_to(root)
    assert os.getpid() not in known and len(known) == 4
    os.kill(entry.pid, signal.SIGKILL)
    assert eventually(lambda: find_process(entry.pid) is None)
    assert set(belonging_to(root, known.values())) == set(known) - {entry.pid}
    stranger = Entry(1, "run", Path("run"), 0.0, "local", entry.pid, "another-boot:1")
    with pytest.raises(RunFolderError, match="its worker isn't on this machine"):
        stop(stranger, grace_seconds=1)
    assert len(belonging_to(root, known.values())) == 3
    for pid in known:
        if find_process(pid):
            os.kill(pid, signal.SIGKILL)
