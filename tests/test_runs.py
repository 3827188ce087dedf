"""The registry is an index; the run folders are the truth."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from autotrain import log
from autotrain.errors import RunFolderError
from autotrain.home import home
from autotrain.run_folder import claim
from autotrain.runs import Seen, forget, list_runs, note_seen, register, register_cloud, registry, removal, stages
from autotrain.runs.names import find_entry
from autotrain.runs.processes import birth_of, find_worker
from autotrain.runs.registry import entries
from autotrain.runs.stages import last_logged

DEAD = 2**22 - 3  # a process id that no process of a test machine has


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / "home"))


def make_run(folder: Path, *, stage: str = "training", pid: int = DEAD) -> Path:
    folder.mkdir(parents=True)
    state = {"stage": stage, "step": 4, "total_steps": 9, "pid": pid, "heartbeat": 1.0, "message": ""}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "metrics.jsonl").write_text(
        '{"step": 3, "loss": 2.5}\n{"step": 4, "loss": 2.25}\n{"step": 4, "eval_loss": 3}\n{"st'
    )
    return folder


def test_the_list_shows_what_the_folder_says(tmp_path: Path):
    register("a", make_run(tmp_path / "a", stage="finished"), "local", DEAD)
    (run,) = list_runs()
    assert (run.stage, run.step, run.total_steps, run.loss) == ("finished", 4, 9, 2.25)


def test_a_run_whose_worker_is_dead_has_stopped(tmp_path: Path):
    register("a", make_run(tmp_path / "a"), "local", DEAD)
    assert list_runs()[0].stage == "stopped"


def test_a_live_worker_is_shown_as_it_says(tmp_path: Path):
    folder = make_run(tmp_path / "a", pid=os.getpid())
    register("a", folder, "local", os.getpid())
    register("b", tmp_path / "b", "local", os.getpid())
    assert {run.entry.name: run.stage for run in list_runs()} == {"a": "training", "b": "starting"}


def test_who_holds_the_folder_writes_to_it_though_nobody_registered_him(tmp_path: Path):
    """Its process can't be seen from here (another container, say): the lock of the folder tells."""
    folder = make_run(tmp_path / "a")
    register("a", folder, "local", DEAD)
    held = claim(folder, resume=True, overwrite=False)
    assert list_runs()[0].stage == "training"
    held.release()
    assert list_runs()[0].stage == "stopped"


def test_a_worker_that_ends_while_it_is_looked_at_has_said_its_last_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Regression: its state was read before it was looked for, and a run that had just finished passed for killed."""
    folder = make_run(tmp_path / "a")
    register("a", folder, "local", DEAD)
    state = json.loads((folder / "state.json").read_text())

    def has_just_finished(entry: registry.Entry) -> None:
        (folder / "state.json").write_text(json.dumps({**state, "stage": "finished"}))

    monkeypatch.setattr(stages, "worker_of", has_just_finished)
    assert list_runs()[0].stage == "finished"


def test_a_resumed_run_is_starting_until_it_has_its_folder(tmp_path: Path):
    register("a", make_run(tmp_path / "a", stage="interrupted"), "local", os.getpid())
    assert list_runs()[0].stage == "starting"


def test_after_a_crash_of_the_machine_a_process_with_the_workers_number_is_not_taken_for_it(tmp_path: Path):
    """Numbers are given anew after a restart: what tells a worker is when it was born, in which boot."""
    register("a", make_run(tmp_path / "a", pid=os.getpid()), "local", os.getpid())
    assert list_runs()[0].stage == "training"
    with sqlite3.connect(home() / "runs.db") as database:
        database.execute("update runs set born = 'an-earlier-boot:' || substr(born, instr(born, ':') + 1)")
    (run,) = list_runs()
    assert (run.stage, run.reason) == (
        "stopped",
        "its worker ended without saying why: it was killed, or the machine went down",
    )


def test_a_state_that_the_crash_left_unreadable_is_a_stopped_run(tmp_path: Path):
    register("a", make_run(tmp_path / "a"), "local", DEAD)
    (tmp_path / "a" / "state.json").write_bytes(b"\0" * 80)
    assert list_runs()[0].stage == "stopped"


def test_a_run_in_the_background_that_was_refused_says_why(tmp_path: Path):
    register("a", tmp_path / "a", "local-ui", DEAD, tmp_path / "a-1.log")
    (tmp_path / "a-1.reason").write_text("no column 'x'")
    (run,) = list_runs()
    assert (run.stage, run.reason) == ("failed", "no column 'x'")


def test_a_deleted_folder_is_gone_and_a_moved_one_known_by_where_it_is_now(tmp_path: Path):
    register("a", tmp_path / "a", "local", DEAD)
    (run,) = list_runs()
    assert run.stage == "gone" and "a moved one is known by its new folder" in run.reason


def test_step_and_loss_are_of_the_same_moment(tmp_path: Path):
    """state.json is written every few seconds; metrics.jsonl at each logged step, or more rarely."""
    folder = make_run(tmp_path / "a")
    register("a", folder, "local", DEAD)
    (folder / "metrics.jsonl").write_text('{"step": 7, "loss": 1.5}\n{"step": 7, "eval_loss": 3}\n')
    assert (list_runs()[0].step, list_runs()[0].loss) == (7, 1.5)
    (folder / "metrics.jsonl").write_text('{"step": 2, "loss": 1.5}\n[1]\n{"loss": 1}\n')
    assert (list_runs()[0].step, list_runs()[0].loss) == (4, 1.5)


def test_a_folder_has_one_entry_and_the_latest_comes_first(tmp_path: Path):
    for name in ("a", "b", "a"):
        register(name, tmp_path / name, "local", DEAD)
    assert [run.entry.name for run in list_runs()] == ["a", "b"]


def test_a_refused_run_is_forgotten(tmp_path: Path):
    number = register("a", tmp_path / "a", "local", DEAD)
    assert number is not None
    forget(number)
    assert list_runs() == []


def test_a_home_that_cant_be_made_fails_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / "file" / "home"))
    assert register("a", tmp_path / "a", "local", DEAD) is None
    assert list_runs() == []


def test_a_broken_registry_fails_no_run(tmp_path: Path):
    home().mkdir()
    (home() / "runs.db").write_bytes(b"this is no database, " * 100)
    assert register("a", tmp_path / "a", "local", DEAD) is None


def test_defect_20_another_process_with_the_number_of_a_worker_is_no_worker():
    assert find_worker(DEAD) is None
    assert find_worker(1) is None
    assert find_worker(os.getpid(), "another-boot:1") is None
    assert find_worker(os.getpid(), birth_of(os.getpid())) is not None


def test_a_running_worker_is_known_by_its_command():
    command = [sys.executable, "-c", "input(chr(10))", "-m autotrain"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout and worker.stdout.read(1) == b"\n"  # it runs
        assert find_worker(worker.pid) is not None
        worker.communicate(b"\n")
    assert find_worker(worker.pid) is None


def test_there_is_no_loss_before_the_first_step(tmp_path: Path):
    assert last_logged(tmp_path) is None


def test_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AUTOTRAIN_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert home() == Path("/data/autotrain")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert home() == Path(os.path.expanduser("~")) / ".local/share/autotrain"


# Numbers, names, folders


def test_a_run_keeps_its_number_when_its_folder_is_used_again_and_no_number_is_given_twice(tmp_path: Path):
    numbers = [register(name, tmp_path / name, "local", DEAD) for name in ("a", "b", "a")]
    assert numbers == [1, 2, 1]
    forget(2)
    later = register("c", tmp_path / "c", "local", DEAD)
    assert later is not None and later > 2


def test_a_run_is_found_by_number_name_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "7"):
        register(name, tmp_path / name, "local", DEAD)
    assert [find_entry(said).name for said in ("1", "a", "./a", str(tmp_path / "a"), "7", "2")] == ["a"] * 4 + ["7"] * 2


def test_a_name_of_several_runs_is_refused_with_their_numbers(tmp_path: Path):
    for place in ("x", "y"):
        register("a", tmp_path / place / "a", "local", DEAD)
    with pytest.raises(RunFolderError, match=r"a may be any of 2 runs; give the number: 2 \(a\) in .*y/a; 1 \(a\) in .*x/a"):
        find_entry("a")


def test_a_name_that_is_another_runs_number_is_refused_and_its_folder_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """`runs rm 2 --folder --yes` must not delete a run that nobody meant."""
    monkeypatch.chdir(tmp_path)
    for name in ("2", "a"):
        register(name, tmp_path / name, "local", DEAD)
    with pytest.raises(RunFolderError, match=r"2 may be any of 2 runs; give the folder: 2 \(a\) in .*/a; 1 \(2\) in .*/2"):
        find_entry("2")
    assert [find_entry(said).id for said in ("./2", "1", "a")] == [1, 1, 2]


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path: Path):
    with pytest.raises(RunFolderError, match="no run a: there are no runs yet"):
        find_entry("a")
    register("my-model", tmp_path / "a", "local", DEAD)
    with pytest.raises(RunFolderError, match="did you mean my-model"):
        find_entry("my-modle")


def test_a_run_that_the_registry_lost_is_found_by_its_folder_and_listed_again(tmp_path: Path):
    folder = make_run(tmp_path / "a", stage="interrupted")
    assert find_entry(str(folder)).name == "a"
    assert [run.stage for run in list_runs()] == ["interrupted"]


# Runs in the cloud


def test_a_run_in_the_cloud_is_listed_as_last_heard_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    number = register_cloud("a", "jobs-t4-small", "ada/1f", "ada/a", "https://hub/jobs/ada/1f", '{"project_name": "a"}')
    assert number is not None and list_runs()[0].stage == "unknown"
    note_seen(number, Seen("running", "all is well", 3, 9, 1.5))
    (run,) = list_runs()
    assert (run.stage, run.step, run.total_steps, run.loss) == ("running", 3, 9, 1.5)
    cloud = run.entry.cloud
    assert cloud and (cloud.job_id, cloud.repo_id, cloud.url) == ("ada/1f", "ada/a", "https://hub/jobs/ada/1f")
    assert run.entry.folder == tmp_path / "a" and cloud.parameters == '{"project_name": "a"}'


def test_a_space_that_is_started_again_keeps_its_number_and_forgets_how_it_ended(tmp_path: Path):
    number = register_cloud("a", "spaces-t4-small", "ada/autotrain-a", "ada/a", "url")
    assert number is not None
    note_seen(number, Seen("failed"))
    assert register_cloud("a", "spaces-a10g-small", "ada/autotrain-a", "ada/a", "url") == number
    assert [(run.stage, run.entry.backend) for run in list_runs()] == [("unknown", "spaces-a10g-small")]


def test_a_later_job_replaces_those_of_its_repository_that_have_ended_and_no_others(tmp_path: Path):
    for job, stage in (("ada/1", "failed"), ("ada/2", "running"), ("ada/3", "failed")):
        number = register_cloud("a", "jobs-t4-small", job, "ada/b" if job == "ada/3" else "ada/a", "url")
        assert number is not None
        note_seen(number, Seen(stage))
    register_cloud("a", "jobs-t4-small", "ada/4", "ada/a", "url")
    assert [entry.cloud.job_id for entry in entries() if entry.cloud] == ["ada/4", "ada/3", "ada/2"]


def test_a_local_run_and_one_in_the_cloud_may_have_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    register("a", tmp_path / "a", "local", DEAD)
    register_cloud("a", "jobs-t4-small", "ada/1", "ada/a", "url")
    assert len(list_runs()) == 2


# The file itself


def test_a_registry_of_the_first_version_keeps_its_entries_and_their_numbers(tmp_path: Path):
    home().mkdir()
    with sqlite3.connect(home() / "runs.db") as database:
        database.execute(
            "create table runs (id integer primary key, name text not null, folder text not null unique, "
            "started real not null, backend text not null, pid integer not null)"
        )
        database.execute("insert into runs values (4, 'a', ?, 1.5, 'local', 77)", (str(tmp_path / "a"),))
    make_run(tmp_path / "a", stage="finished")
    (run,) = list_runs()
    assert (run.entry.id, run.entry.started, run.entry.pid, run.stage) == (4, 1.5, 77, "finished")
    assert register("b", tmp_path / "b", "local", DEAD) == 5


def test_a_registry_of_a_later_version_is_left_as_it_is(tmp_path: Path):
    register("a", tmp_path / "a", "local", DEAD)
    with sqlite3.connect(home() / "runs.db") as database:
        database.execute("pragma user_version = 99")
    with pytest.raises(RunFolderError, match="a later version of AutoTrain wrote it"):
        list_runs()
    assert register("b", tmp_path / "b", "local", DEAD) is None


@pytest.fixture
def unprivileged() -> list[str]:
    """What makes a command one of somebody who may not write everywhere, as root may."""
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    if words and not shutil.which("setpriv"):
        pytest.skip(reason="root may write everywhere, and there's no setpriv")
    if subprocess.run([*words, sys.executable, "-c", "import autotrain"], cwd="/", capture_output=True).returncode:
        pytest.skip(reason="nobody but root may run this Python")
    return words


def test_a_registry_that_cant_be_written_is_read_and_says_so_when_it_should_change(unprivileged: list[str], tmp_path: Path):
    register("a", make_run(tmp_path / "a", stage="finished"), "local", DEAD)
    for folder in (tmp_path, *tmp_path.parents):  # so that somebody else gets there
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    (home() / "runs.db").chmod(0o444)
    home().chmod(0o555)
    program = (
        "from autotrain.runs.registry import entries, forget, register; from pathlib import Path\n"
        "print([one.name for one in entries()], forget(1), register('b', Path('b'), 'local', 1))"
    )
    done = subprocess.run([*unprivileged, sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "['a'] False None\n", done.stderr
    home().chmod(0o755)


def test_a_registry_of_an_earlier_version_that_cant_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home().mkdir()
    with closing(sqlite3.connect(home() / "runs.db")) as database:
        database.execute(
            "create table runs (id integer primary key, name text not null, folder text not null unique, "
            "started real not null, backend text not null, pid integer not null)"
        )
        database.execute("insert into runs values (4, 'a', '/a', 1.5, 'local', 77)")
        database.commit()
    before = (home() / "runs.db").read_bytes()

    def refuse() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(registry, "open_registry", refuse)
    assert [(entry.id, entry.name) for entry in entries()] == [(4, "a")]
    assert (home() / "runs.db").read_bytes() == before


def test_a_run_is_never_said_to_be_unlisted_where_the_list_cant_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    register("a", make_run(tmp_path / "a"), "local", DEAD)
    monkeypatch.setattr(removal, "forget", lambda _: False)
    with pytest.raises(RunFolderError, match=r"a stays listed: the registry of runs in .* can't be written"):
        removal.remove_entry(find_entry("a"))


def test_a_folder_whose_name_is_no_text_fails_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    log.start_logging()
    assert register("a", tmp_path / os.fsdecode(b"a\xff"), "local", DEAD) is None
    assert "the name of its folder is no text" in capsys.readouterr().err


def test_many_runs_may_begin_at_once(tmp_path: Path):
    program = (
        "import sys; from pathlib import Path; from autotrain.runs import register\n"
        "assert register(sys.argv[1], Path(sys.argv[1]), 'local', 1)"
    )
    started = [subprocess.Popen([sys.executable, "-c", program, f"run-{number}"], cwd=tmp_path) for number in range(6)]
    assert [process.wait(60) for process in started] == [0] * 6
    assert sorted(run.entry.name for run in list_runs()) == [f"run-{number}" for number in range(6)]


def test_whoever_opens_a_new_registry_at_the_same_moment_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """To make its write-ahead log is the one step for which SQLite itself doesn't wait."""
    for attempt in range(40):
        monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / f"home-{attempt}"))
        together = threading.Barrier(6)

        def begin(number: int, together: threading.Barrier = together) -> int | None:
            together.wait(60)
            return register(f"run-{number}", tmp_path / f"run-{number}", "local", 1)

        with ThreadPoolExecutor(6) as threads:
            assert None not in set(threads.map(begin, range(6)))
        assert len(entries()) == 6


def test_a_registry_that_stays_locked_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    register("a", tmp_path / "a", "local", DEAD)
    monkeypatch.setattr(registry, "LOCK_TIMEOUT_SECONDS", 0.1)
    with closing(sqlite3.connect(home() / "runs.db", isolation_level=None)) as other:
        other.execute("begin exclusive")
        assert register("b", tmp_path / "b", "local", DEAD) is None
    assert register("b", tmp_path / "b", "local", DEAD)
