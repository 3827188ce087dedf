"""The batch script: read back as sbatch would, and run, with a double of srun that starts one task a node."""

import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from autotrain.cli import main

# The long options of sbatch that a script may hold, as its manual lists them.
SBATCH = set(
    """account acctg-freq array batch bb bbf begin chdir cluster-constraint clusters comment constraint container
    container-id contiguous core-spec cores-per-socket cpu-freq cpus-per-gpu cpus-per-task deadline delay-boot dependency
    distribution error exclude exclusive export export-file extra extra-node-info get-user-env gid gpu-bind gpu-freq gpus
    gpus-per-node gpus-per-socket gpus-per-task gres gres-flags hint hold ignore-pbs input job-name kill-on-invalid-dep
    licenses mail-type mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus network nice no-kill no-requeue
    nodefile nodelist nodes ntasks ntasks-per-core ntasks-per-gpu ntasks-per-node ntasks-per-socket open-mode output
    overcommit oversubscribe parsable partition power prefer priority profile propagate qos quiet reboot requeue reservation
    segment signal sockets-per-node spread-job stepmgr switches test-only thread-spec threads-per-core time time-min
    tmp tres-bind tres-per-task uid use-min-nodes verbose wait wait-all-nodes wckey wrap""".split()
)
FAKES = {
    # One task for each node, with what SLURM tells a task; signals go on to the tasks; the highest code is returned.
    "srun": """\
printf '%s\\n' "$@" > "$RECORDS/srun"
while [ "${1#--}" != "$1" ]; do shift; done
pids=
asked=
trap 'asked=yes; [ -z "$pids" ] || kill -TERM $pids' TERM
for node in $(seq 0 $((NODES - 1))); do SLURM_NODEID=$node "$@" & pids="$pids $!"; done
[ -z "$asked" ] || kill -TERM $pids  # the last one may have had no number yet
touch "$RECORDS/all"
code=0
for pid in $pids; do
    while wait $pid; one=$?; kill -0 $pid 2>/dev/null; do :; done
    [ $one -le $code ] || code=$one
done
exit $code
""",
    "autotrain": """\
printf '%s\\n' "$@" > "$RECORDS/autotrain-$SLURM_NODEID"
pwd > "$RECORDS/folder"
if [ -n "$RUNS_LONG" ]; then
    trap 'sleep 0.3; echo saved >> "$RECORDS/saved"; exit 143' TERM
    touch "$RECORDS/started-$SLURM_NODEID"
    for tenth in $(seq 600); do sleep 0.1; done
fi
exit ${CODE:-0}
""",
    "scontrol": """\
if [ "$*" = "show hostnames node[3-4]" ]; then echo node3; echo node4; else echo "$@" >> "$RECORDS/scontrol"; fi
""",
}


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Where the doubles write what they were told."""
    folder, programs = tmp_path / "records", tmp_path / "programs"
    folder.mkdir()
    programs.mkdir()
    for name, text in FAKES.items():
        (programs / name).write_text(f"#!/bin/bash\n{text}")
        (programs / name).chmod(0o755)
    return folder


@pytest.fixture
def script(launch, folder: Path, tmp_path: Path) -> Path:
    programs = f'PATH="{tmp_path}/programs:$PATH"'
    launch("--slurm", "--config", "c.yml", "--nodes", "2", "--devices", "4", "--setup", programs)
    return folder / "my-model.sbatch"


def directives(script: Path) -> dict[str, str]:
    """Option -> value, with the quotes taken off as sbatch does."""
    lines = [line for line in script.read_text().splitlines() if line.startswith("#SBATCH")]
    assert script.read_text().splitlines()[1 : len(lines) + 1] == lines  # sbatch reads no further than the first command
    words = [word for line in lines for word in shlex.split(line.removeprefix("#SBATCH"), comments=True)]
    assert all(word.startswith("--") for word in words)
    return {word[2:].partition("=")[0]: word.partition("=")[2] for word in words}


def start(script: Path, records: Path, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
    known = {"RECORDS": str(records), "NODES": "2", "SLURM_JOB_ID": "77", "SLURM_JOB_NODELIST": "node[3-4]", **environment}
    folder = directives(script)["chdir"]
    return subprocess.Popen(["bash", str(script), *arguments], cwd=folder, env=os.environ | known)


def wait_for(*paths: Path) -> None:
    for _ in range(1200):
        if all(path.exists() for path in paths):
            return
        time.sleep(0.05)
    raise AssertionError(f"{paths} didn't come")


def test_sbatch_knows_every_option(script: Path):
    found = directives(script)
    assert set(found) <= SBATCH
    assert (found["nodes"], found["ntasks-per-node"], found["gpus-per-node"]) == ("2", "1", "4")
    assert found["requeue"] == "" and re.fullmatch(r"B:USR1@\d+", found["signal"]) and found["open-mode"] == "append"


def test_what_is_asked_for_is_asked_for(launch, folder: Path):
    said = ["--time", "2-12:00", "--partition", "gpu,gpu-long", "--account", "lab", "--qos", "high", "--memory", "64"]
    launch("--slurm", "--config", "c.yml", "--no-gpus", "--cpus", "6", *said, "--output", "job")
    found = directives(folder / "job")
    assert [found[name] for name in ("time", "partition", "account", "qos", "mem", "cpus-per-task")] == [
        *("2-12:00", "gpu,gpu-long", "lab", "high", "64G", "6")
    ]
    assert "gpus-per-node" not in found and "--devices" not in (folder / "job").read_text()


@pytest.mark.parametrize("limit", ["10", "90:00", "24:00:00", "1-0", "2-12:00", "2-12:00:30"])
def test_every_form_of_a_time_limit_is_taken(launch, folder: Path, limit: str):
    launch("--slurm", "--config", "c.yml", "--time", limit)
    assert directives(folder / "my-model.sbatch")["time"] == limit


def test_bash_reads_it(script: Path):
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


def test_each_node_runs_the_same_command_once(script: Path, folder: Path, records: Path):
    assert start(script, records).wait(120) == 0
    same = ["--config", str(folder / "c.yml"), "--nodes", "2", "--devices", "4", "--master", "node3:29500"]
    for node in ("0", "1"):
        assert (records / f"autotrain-{node}").read_text().splitlines() == [*same, "--node-rank", node]
    assert (records / "folder").read_text().strip() == str(folder)
    # one node that has ended leaves the others at work
    assert {"--kill-on-bad-exit=0", "--wait=0"} <= set((records / "srun").read_text().splitlines())


def test_one_node_needs_no_meeting_place(launch, folder: Path, tmp_path: Path, records: Path):
    programs = f'PATH="{tmp_path}/programs:$PATH"'
    launch("--slurm", "--config", "c.yml", "--setup", programs)
    assert start(folder / "my-model.sbatch", records, NODES="1").wait(120) == 0
    words = (records / "autotrain-0").read_text().splitlines()
    assert words == ["--config", str(folder / "c.yml"), "--nodes", "1", "--devices", "1"]


def test_the_command_is_one_that_autotrain_takes(script: Path, records: Path, capsys: pytest.CaptureFixture[str]):
    assert start(script, records).wait(120) == 0
    assert main([*(records / "autotrain-1").read_text().splitlines(), "--dry-run"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)["params"]
    assert [shown[name] for name in ("nodes", "node_rank", "devices", "master")] == [2, 1, 4, "node3:29500"]


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_code_of_the_run_is_the_code_of_the_job(script: Path, records: Path, code: int):
    assert start(script, records, CODE=str(code)).wait(120) == code
    assert not (records / "scontrol").exists()


@pytest.mark.parametrize(("arguments", "restarts"), [(["--resume"], "0"), ([], "1")], ids=["submitted again", "requeued"])
def test_it_goes_on_from_its_checkpoint(script: Path, records: Path, arguments: list[str], restarts: str):
    assert start(script, records, *arguments, SLURM_RESTART_COUNT=restarts).wait(120) == 0
    assert "--resume" in (records / "autotrain-0").read_text().splitlines()
    assert "--resume" in (records / "autotrain-1").read_text().splitlines()


@pytest.mark.parametrize(
    ("number", "is_requeued"), [(signal.SIGUSR1, True), (signal.SIGTERM, False)], ids=["time limit", "stopped"]
)
def test_a_signal_lets_every_node_save(script: Path, records: Path, number: int, is_requeued: bool):
    job = start(script, records, RUNS_LONG="yes")
    wait_for(records / "all", records / "started-0", records / "started-1")
    job.send_signal(number)
    assert job.wait(120) == 143
    assert (records / "saved").read_text() == "saved\nsaved\n"
    assert (records / "scontrol").exists() is is_requeued
    if is_requeued:
        assert (records / "scontrol").read_text() == "requeue 77\n"


@pytest.mark.parametrize("name", ["USR1", "TERM"])
def test_a_signal_as_the_step_begins_isnt_lost(script: Path, records: Path, name: str):
    text = script.read_text()
    assert text.count("&\nstep=$!\n") == 1
    script.write_text(text.replace("&\nstep=$!\n", f"&\nkill -{name} $$\nstep=$!\n"))
    assert start(script, records, RUNS_LONG="yes").wait(120) == 143


def test_it_says_what_the_nodes_must_see_and_what_to_type(launch, folder: Path):
    printed = launch("--slurm", "--config", "c.yml")
    assert f"\n  {folder}\n  {folder / 'c.yml'}\n  {folder / 'rows'}\n" in printed
    assert "1 machine with 1 GPU" in printed
    for command in ("sbatch my-model.sbatch\n", "tail -F ", "scancel --batch --signal=TERM JOB", "my-model.sbatch --resume"):
        assert command in printed
