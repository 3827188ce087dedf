"""The command, run as a user runs it, with several processes that tests end in bad ways."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SECONDS = 450  # of a busy machine; a wait that is this long fails


class Run:
    """`autotrain --config` of a long run in a folder of its own."""

    def __init__(self, folder: Path, params: dict[str, Any], *options: str, prefix: Sequence[str] = ()) -> None:
        self.folder, self.project = folder, folder / str(params["project_name"])
        self.log = folder / f"log-{time.monotonic_ns()}"
        environment = {**os.environ, "AUTOTRAIN_HOME": str(folder / "home"), "PYTHONPATH": os.pathsep.join(sys.path)}
        flags = [flag for name, value in params.items() if value is not None for flag in _flags(name, value)]
        command = [*prefix, sys.executable, "-m", "autotrain", "llm", "--train", *flags, *options]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + SECONDS
        while not re.search(text, self.said):
            assert self.process.poll() is None and time.monotonic() < end, self.said[-3000:]
            time.sleep(0.1)

    def processes(self, entry: str = "train") -> list[int]:
        """Of the ranks, or of the launcher (`crew`), in the order of their start.

        In this folder: somebody else may run the same test on the same machine.
        """
        listed = subprocess.run(
            ["pgrep", "-f", rf"autotrain\.trainers\.clm {entry} .*{self.project.name}-"], capture_output=True, text=True
        )
        return [pid for pid in map(int, listed.stdout.split()) if self._is_in_folder(pid)]

    def _is_in_folder(self, pid: int) -> bool:
        if not Path("/proc/self").exists():
            return True  # nobody says
        try:
            return Path(f"/proc/{pid}/cwd").samefile(self.folder)
        except OSError:  # it has ended meanwhile
            return False

    def end(self) -> int:
        """Wait for it, and for all that it started."""
        code = self.process.wait(SECONDS)
        end = time.monotonic() + 120
        while left := [*self.processes(), *self.processes("crew")]:
            assert time.monotonic() < end, f"processes {left} are left behind"
            time.sleep(0.1)
        return code

    def state(self) -> dict[str, Any]:
        return json.loads((self.project / "state.json").read_text())

    def checkpoints(self) -> list[int]:
        return sorted(int(entry.name.split("-")[1]) for entry in (self.project / "checkpoints").glob("checkpoint-*"))


def _flags(name: str, value: Any) -> list[str]:
    option = name.replace("_", "-")
    return [f"--{option}" if value else f"--no-{option}"] if isinstance(value, bool) else [f"--{option}={value}"]
