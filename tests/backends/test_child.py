"""Signals go down, exit codes come up, and no worker outlives its launcher."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autotrain.backends.child import dying_with_us

WORKER = """\
import pathlib, signal, sys, time
count = 0
def stop(number, frame):
    global count
    count += 1
    pathlib.Path("signals.txt").write_text(f"{number} {count}")
    if STUBBORN:
        return
    time.sleep(0.3)  # saving
    while pathlib.Path("hold.txt").exists():
        time.sleep(0.01)
    pathlib.Path("saved.txt").write_text("saved")
    sys.exit(128 + number)
signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
pathlib.Path("ready.txt").write_text(str(__import__("os").getpid()))
for _ in range(100):
    time.sleep(0.2)
"""
LAUNCHER = """\
import subprocess, sys
from autotrain.backends.child import dying_with_us, signals_for_a_child
from autotrain.log import start_logging
start_logging()
with signals_for_a_child() as child:
    child.begin(subprocess.Popen(dying_with_us([sys.executable, "worker.py"]), process_group=0))
    code = child.wait()
sys.exit(code)
"""


def eventually(claim: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if claim():
            return True
        time.sleep(0.02)
    return False


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def status(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def launch(
    folder: Path, *, stubborn: bool = False, nohup: bool = False, first: str = ""
) -> "tuple[subprocess.Popen[bytes], int]":
    """The launcher, and the worker's process id once it's ready.  first: what the worker does before all else."""
    (folder / "worker.py").write_text(f"STUBBORN = {stubborn}\n{first}\n{WORKER}")
    # In a group of its own and in our session, as a shell starts it: a group without a parent there can't be paused.
    command = [*(["nohup"] if nohup else []), sys.executable, "-c", LAUNCHER]
    process = subprocess.Popen(command, cwd=folder, process_group=0, stdin=subprocess.DEVNULL)
    ready = folder / "ready.txt"
    assert eventually(lambda: ready.exists() and ready.read_text() != "")
    return process, int(ready.read_text())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_launcher_lets_the_worker_save(tmp_path: Path, number: signal.Signals):
    launcher, _ = launch(tmp_path)
    launcher.send_signal(number)
    assert launcher.wait(20) == 128 + number
    assert (tmp_path / "saved.txt").exists()
    assert (tmp_path / "signals.txt").read_text() == f"{int(number)} 1"


def test_ctrl_c_in_a_terminal_reaches_the_worker_once(tmp_path: Path):
    launcher, _ = launch(tmp_path)
    os.killpg(launcher.pid, signal.SIGINT)  # what a terminal does
    assert launcher.wait(20) == 130
    assert (tmp_path / "signals.txt").read_text() == "2 1"


def test_the_second_signal_ends_a_worker_that_doesnt_stop(tmp_path: Path):
    launcher, worker = launch(tmp_path, stubborn=True)
    launcher.send_signal(signal.SIGINT)
    assert eventually((tmp_path / "signals.txt").exists)
    launcher.send_signal(signal.SIGINT)
    assert launcher.wait(20) == 128 + signal.SIGKILL
    assert not is_running(worker)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_ctrl_z_pauses_the_worker_too_and_both_go_on_together(tmp_path: Path):
    launcher, worker = launch(tmp_path)
    for _ in range(2):
        os.killpg(launcher.pid, signal.SIGTSTP)  # what a terminal does
        assert eventually(lambda: status(launcher.pid) == status(worker) == "T")
        os.killpg(launcher.pid, signal.SIGCONT)  # what fg does
        assert eventually(lambda: "T" not in (status(launcher.pid), status(worker)))
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(20) == 143
    assert (tmp_path / "saved.txt").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_ctrl_z_pauses_what_the_worker_started_in_sessions_of_their_own(tmp_path: Path):
    """torchrun does so: of a run on several devices only the launcher stood still, and the list said that it was paused."""
    far = 'import subprocess, sys; subprocess.Popen([sys.executable, "-c", FAR], start_new_session=True)'
    wait = (
        "import os, pathlib, time; pathlib.Path('far.new').write_text(str(os.getpid())); "
        "os.rename('far.new', 'far.txt'); time.sleep(60)"
    )
    launcher, worker = launch(tmp_path, first=f"FAR = {wait!r}\n{far}")
    assert eventually((tmp_path / "far.txt").exists)
    child = int((tmp_path / "far.txt").read_text())
    try:
        os.killpg(launcher.pid, signal.SIGTSTP)
        assert eventually(lambda: status(launcher.pid) == status(worker) == status(child) == "T")
        os.killpg(launcher.pid, signal.SIGCONT)
        assert eventually(lambda: "T" not in (status(launcher.pid), status(worker), status(child)))
    finally:
        os.kill(child, signal.SIGKILL)
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(20) == 143


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_paused_run_that_is_stopped_saves(tmp_path: Path):
    launcher, worker = launch(tmp_path)
    os.killpg(launcher.pid, signal.SIGTSTP)
    assert eventually(lambda: status(launcher.pid) == status(worker) == "T")
    launcher.send_signal(signal.SIGTERM)  # what a shell's kill does: this, then SIGCONT
    launcher.send_signal(signal.SIGCONT)
    assert launcher.wait(20) == 143
    assert (tmp_path / "saved.txt").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_comes_before_the_worker_is_passed_on_to_it(tmp_path: Path, number: signal.Signals):
    """Regression: between its start and the handlers lay the registry's commit; the launcher died, and nobody watched."""
    (tmp_path / "worker.py").write_text(f"STUBBORN = False\n{WORKER}")
    early = (
        f"    import os, pathlib, time; os.kill(os.getpid(), {int(number)})\n"
        '    worker = subprocess.Popen(dying_with_us([sys.executable, "worker.py"]), process_group=0)\n'
        '    while not pathlib.Path("ready.txt").exists(): time.sleep(0.01)\n'
        "    child.begin(worker)\n"
    )
    program = LAUNCHER.partition("    child.begin")[0] + early + "    code = child.wait()\nsys.exit(code)\n"
    launcher = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, timeout=60)
    assert launcher.returncode == 128 + (signal.SIGTERM if number == signal.SIGHUP else number)
    assert (tmp_path / "saved.txt").exists()


def test_without_a_worker_a_signal_that_came_for_it_is_ours(tmp_path: Path):
    program = (
        "import os, signal\nfrom autotrain.backends.child import signals_for_a_child\n"
        "with signals_for_a_child():\n    os.kill(os.getpid(), signal.SIGTERM)\n    print('inside', flush=True)\n"
        "print('after', flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "inside\n")


@pytest.mark.parametrize("before", [(), (signal.SIGINT,)])
def test_a_closed_terminal_lets_the_worker_save_even_when_it_was_saving_already(tmp_path: Path, before: tuple[int, ...]):
    launcher, _ = launch(tmp_path)
    (tmp_path / "hold.txt").touch()
    for number in (*before, signal.SIGHUP, signal.SIGHUP):
        launcher.send_signal(number)
        assert eventually((tmp_path / "signals.txt").exists)
    (tmp_path / "hold.txt").unlink()
    assert launcher.wait(20) == 128 + (before[0] if before else signal.SIGTERM)
    assert (tmp_path / "saved.txt").exists()
    assert (tmp_path / "signals.txt").read_text().endswith(" 1")  # asked once


def test_under_nohup_a_closed_terminal_is_nothing(tmp_path: Path):
    process = launch(tmp_path, nohup=True)[0]
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None and not (tmp_path / "signals.txt").exists()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_terminal_that_is_closed_while_a_run_is_paused_lets_it_save(tmp_path: Path):
    launcher, worker = launch(tmp_path)
    os.killpg(launcher.pid, signal.SIGTSTP)
    assert eventually(lambda: status(launcher.pid) == status(worker) == "T")
    launcher.send_signal(signal.SIGHUP)  # as a shell does to its stopped jobs: this, then SIGCONT
    launcher.send_signal(signal.SIGCONT)
    assert launcher.wait(20) == 143
    assert (tmp_path / "saved.txt").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a child that its parent died")
def test_defect_4_a_worker_saves_and_leaves_when_its_launcher_is_killed(tmp_path: Path):
    launcher, worker = launch(tmp_path)
    launcher.kill()
    launcher.wait(20)
    assert eventually(lambda: not is_running(worker))
    assert (tmp_path / "saved.txt").exists()


@pytest.mark.parametrize(("ending", "code"), [("sys.exit(2)", 2), ("pass", 0), ("os.kill(os.getpid(), 9)", 137)])
def test_the_exit_code_is_passed_on(tmp_path: Path, ending: str, code: int):
    (tmp_path / "worker.py").write_text(f"import os, sys\n{ending}\n")
    assert subprocess.run([sys.executable, "-c", LAUNCHER], cwd=tmp_path, timeout=60).returncode == code


def test_nothing_of_ours_runs_between_fork_and_exec(tmp_path: Path):
    """huggingface_hub closes its connections there, and waits for ever if another thread was using one."""
    (tmp_path / "worker.py").write_text("")
    launcher = f"import os\nos.register_at_fork(after_in_child=lambda: os._exit(77))\n{LAUNCHER}"
    assert subprocess.run([sys.executable, "-c", launcher], cwd=tmp_path, timeout=60).returncode == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a child that its parent died")
def test_a_child_whose_parent_is_gone_already_does_not_begin(tmp_path: Path):
    command = dying_with_us([sys.executable, "-c", "print('begun')"])
    between = f"import subprocess, sys; sys.exit(subprocess.run({command!r}).returncode)"  # not the parent that is named
    done = subprocess.run([sys.executable, "-c", between], cwd=tmp_path, timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (143, "")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only there a program stands in front of the worker")
def test_ctrl_c_while_the_worker_is_being_loaded_is_no_traceback(tmp_path: Path):
    """It comes once the worker can say that it was interrupted."""
    (tmp_path / "worker.py").write_text(
        "import pathlib, signal, sys, time\n"
        "pathlib.Path('loading.txt').touch()\n"
        "while not pathlib.Path('go.txt').exists(): time.sleep(0.01)\n"
        "try:\n    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT]); time.sleep(60)\n"
        "except KeyboardInterrupt:\n    sys.exit(130)\n"
    )
    program = LAUNCHER.replace('"worker.py"])', '"worker.py"], interrupt="later")')
    launcher = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, process_group=0, stderr=subprocess.PIPE, text=True
    )
    assert eventually((tmp_path / "loading.txt").exists)
    launcher.send_signal(signal.SIGINT)
    (tmp_path / "go.txt").touch()
    _, said = launcher.communicate(timeout=60)
    assert launcher.returncode == 130
    assert "Traceback" not in said
