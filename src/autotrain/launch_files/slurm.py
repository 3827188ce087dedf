"""A batch script for SLURM: one task a node, and a time limit that a run outlives.

Before the limit SLURM signals the script, which lets training save, and puts the job into the queue again; there it
goes on from its checkpoint.  The nodes share the folder of the config.
"""

import re
import shlex
import sys
from pathlib import Path

from pydantic import field_validator

from autotrain.config.document import is_address
from autotrain.launch_files.work import JobFile, Line, Name, Options, Work, described, local_paths, option

SUFFIX = ".sbatch"
# How long before the time limit training is asked to save and leave; SLURM may be up to a minute early.
SECONDS_TO_SAVE = 300
_MIN_MINUTES = 10
_CPUS_A_DEVICE = 4
# The forms that sbatch takes: minutes[:seconds], hours:minutes:seconds, days-hours[:minutes[:seconds]].
_TIME = re.compile(
    r"(?:(?P<days>\d+)-(?P<h>\d+)(?::(?P<m>\d+)(?::\d+)?)?|(?P<hours>\d+):(?P<min>\d+):\d+|(?P<only>\d+)(?::\d+)?)"
)


class SlurmOptions(Options):
    """What only SLURM takes."""

    time: str | None = option(None, "time limit, as sbatch takes it: minutes, H:MM:SS or D-HH:MM", "LIMIT")
    partition: Name | None = option(None, "partition to queue in", "NAME")
    account: Name | None = option(None, "account to charge", "NAME")
    qos: Name | None = option(None, "quality of service", "NAME")
    setup: tuple[Line, ...] = option((), "line of shell to run before, such as 'module load cuda'", "LINE")

    @field_validator("time")
    @classmethod
    def _check_time(cls, limit: str | None) -> str | None:
        found = _TIME.fullmatch(limit) if limit is not None else None
        if limit is not None and not found:
            raise ValueError("minutes, hours:minutes:seconds or days-hours:minutes, such as 24:00:00 or 2-12:00")
        if found and _minutes(found) < _MIN_MINUTES:
            raise ValueError(f"at least {_MIN_MINUTES} minutes: the last {SECONDS_TO_SAVE // 60} are for saving")
        return limit


def job_file(work: Work, options: SlurmOptions, file: Path) -> JobFile:
    """The script and what to do with it."""
    devices = work.devices(options.gpus)
    lines = ["#!/bin/bash", *_directives(work, options, devices), "", *_before(work, options), ""]
    shared = [] if is_address(work.config) else [work.absolute(work.config)]
    shared += [work.absolute(path) for path in local_paths(work.params).values()]
    name = shlex.quote(str(file))
    return JobFile(
        text="\n".join(lines) + "\n" + _RUN.replace("<command>", _command(work, options, devices)),
        notes=(
            f"{described(work, devices, options.gpus)}; every node must see, under the same path:",
            *(f"  {path}" for path in dict.fromkeys([str(work.folder), *shared, _environment_folder()])),
        ),
        told=(
            ("submit", f"sbatch {name}"),
            ("follow", f"tail -F {shlex.quote(f'{work.folder}/{work.name}')}-JOB.log    (JOB: the number that sbatch says)"),
            ("stop", "scancel --batch --signal=TERM JOB    (saves first)"),
            ("resume", f"sbatch {name} --resume    (at the time limit it goes on by itself)"),
        ),
    )


def _directives(work: Work, options: SlurmOptions, devices: int | None) -> list[str]:
    said = {
        "job-name": work.name,
        "nodes": work.nodes,
        "ntasks-per-node": 1,
        "gpus-per-node": devices if options.gpus else None,
        "cpus-per-task": _cpus(options, devices),
        "mem": f"{options.memory}G" if options.memory else None,
        "time": options.time,
        "partition": options.partition,
        "account": options.account,
        "qos": options.qos,
        "chdir": str(work.folder),
        "output": "%x-%j.log",
        "open-mode": "append",
        "signal": f"B:USR1@{SECONDS_TO_SAVE}",
    }
    lines = [f"#SBATCH --{name}={shlex.quote(str(value))}" for name, value in said.items() if value is not None]
    return [*lines, "#SBATCH --requeue"]


def _before(work: Work, options: SlurmOptions) -> list[str]:
    lines = [f'export PATH={shlex.quote(_environment_folder())}:"$PATH"', *options.setup]
    if work.nodes > 1:
        first = '"$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"'
        lines += ["", "# The nodes meet at the first one.", f"master={first}:{options.port}"]
    return lines


def _environment_folder() -> str:
    """Where the command `autotrain` of this environment lies."""
    return str(Path(sys.executable).parent)


def _command(work: Work, options: SlurmOptions, devices: int | None) -> str:
    config = work.config if is_address(work.config) else work.absolute(work.config)
    cpus = f"--cpus-per-task={_cpus(options, devices)}"
    # A node that has ended must not take the others with it: the first one may still be saving or uploading.
    step = shlex.join(["srun", "--kill-on-bad-exit=0", "--wait=0", cpus])
    command = shlex.join(work.words(config, devices))
    if work.nodes == 1:
        return f"{step} {command}"
    on_each = shlex.quote('exec "$@" --node-rank "$SLURM_NODEID"')
    return f'{step} bash -c {on_each} node {command} --master "$master"'


def _cpus(options: SlurmOptions, devices: int | None) -> int:
    """SLURM gives a task one core unless more are asked for."""
    return options.cpus or _CPUS_A_DEVICE * (devices or 1)


def _minutes(found: "re.Match[str]") -> int:
    parts = {name: int(value or 0) for name, value in found.groupdict().items()}
    return parts["days"] * 1440 + (parts["h"] + parts["hours"]) * 60 + parts["m"] + parts["min"] + parts["only"]


_RUN = """\
# A job that was put into the queue again goes on from its checkpoint.
resume=()
if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then resume=(--resume); fi

# USR1: the time limit is near.  TERM: somebody stops the job.  Both let training save and leave.
step=
asked=
out_of_time=
save_and_leave() { asked=yes; [ -z "$step" ] || kill -TERM "$step" 2>/dev/null; }
trap save_and_leave TERM
trap 'out_of_time=yes; save_and_leave' USR1

<command> "${resume[@]}" "$@" &
step=$!
[ -z "$asked" ] || save_and_leave  # a signal that came before the step had a number
# A signal ends `wait` before the step has ended.
while wait "$step"; code=$?; kill -0 "$step" 2>/dev/null; do :; done
wait "$step"; last=$?
if [ "$last" -ne 127 ]; then code=$last; fi

# 0: finished; 2 and 3: somebody has to mend something.
if [ -n "$out_of_time" ]; then
    case $code in
        0 | 2 | 3) ;;
        *) scontrol requeue "$SLURM_JOB_ID" ;;
    esac
fi
exit "$code"
"""
