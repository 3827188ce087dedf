"""The machine: what it is, whether it is idle, and what a process took of it.  Linux."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

BUSY_SHARE = 0.03  # of all processors, taken by others: from here on a measurement is marked
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Of a command and all that it waited for.

    own_cpu_seconds: of the command itself without its children.  others_share: how much of all processors other
    processes took meanwhile, 0 to 1.
    """

    exit_code: int
    seconds: float
    cpu_seconds: float
    own_cpu_seconds: float
    peak_bytes: int
    others_share: float


def processor() -> str:
    """Model, and how many of it: `AMD EPYC 9B45, 2 cores`."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    named = {name.strip(): value.strip() for name, value in fields.items()}
    family = f" (family {named.get('cpu family', '?')}, model {named.get('model', '?')})"
    return f"{named.get('model name', 'unknown processor')}{family}, {os.cpu_count()} cores"


def busy_seconds() -> float:
    """CPU seconds that all processes have taken since the machine started."""
    user, nice, system, _, _, irq, softirq, *_ = _first_counters()
    return (user + nice + system + irq + softirq) / _TICKS_PER_SECOND


def _first_counters() -> list[int]:
    return [int(value) for value in Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:]]


def share_of_others(busy: float, own: float, seconds: float, num_processors: int) -> float:
    """Of all processors over `seconds`, what was busy without being ours.  The counters are coarse: never below 0."""
    return max(0.0, busy - own) / (seconds * num_processors)


def load_now(seconds: float = 1.0) -> float:
    """The share of all processors that is taken while this process sleeps."""
    before, started = busy_seconds(), time.perf_counter()
    time.sleep(seconds)
    return share_of_others(busy_seconds(), before, time.perf_counter() - started, os.cpu_count() or 1)


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str], log_file: Path) -> Usage:
    """Run a command in `folder` with its output in `log_file`, and measure it from outside."""
    own = os.times()
    busy, started = busy_seconds(), time.perf_counter()
    with log_file.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        own_cpu_seconds = _own_cpu_seconds(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    cpu_seconds = usage.ru_utime + usage.ru_stime
    after = os.times()
    mine = after.user + after.system - own.user - own.system
    others = share_of_others(busy_seconds() - busy, cpu_seconds + mine, seconds, os.cpu_count() or 1)
    return Usage(process.returncode, seconds, cpu_seconds, own_cpu_seconds, usage.ru_maxrss * 1024, others)


def _own_cpu_seconds(process_id: int) -> float:
    """Of a process that has ended but isn't yet waited for."""
    stat = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8")
    fields = stat.rpartition(")")[2].split()  # the name may contain anything
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND
