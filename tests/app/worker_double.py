"""A worker that trains nothing: it does to its run folder what the real one does, in a blink.

Steps take 0.02 s, and there are ten times as many as epochs.  `data_path: data/none` is refused; a project whose name holds
"tree" starts a child that is deaf to SIGTERM, and one whose name holds "slow" takes 1 s a step until it is resumed.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

arguments = sys.argv[1:]
given = json.loads(Path(arguments[arguments.index("--training_config") + 1]).read_text())
explicit = given.pop("set_by_user")
folder = Path(given["project_name"])
total = given["epochs"] * 10
if given["data_path"] == "data/none":
    Path(os.environ["AUTOTRAIN_REASON_FILE"]).write_text("data.path: no file or folder data/none")
    sys.exit(2)

stopped: list[int] = []
signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
if "tree" in folder.name:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", deaf])


def write(name: str, text: str) -> None:
    (folder / f".tmp-{name}").write_text(text)
    (folder / f".tmp-{name}").replace(folder / name)


def set_state(stage: str, step: int, message: str = "") -> None:
    state = {"stage": stage, "step": step, "total_steps": total, "pid": os.getpid(), "heartbeat": time.time()}
    write("state.json", json.dumps({**state, "message": message}))


first = 0
if "--resume" in arguments and (folder / "state.json").is_file():
    first = json.loads((folder / "state.json").read_text())["step"]
seconds = 1.0 if "slow" in folder.name and "--resume" not in arguments else 0.02
folder.mkdir(exist_ok=True)
if "--overwrite" in arguments:
    (folder / "metrics.jsonl").unlink(missing_ok=True)
# What the test wants to know of the environment that the worker was started in.
write("run.json", json.dumps({name: os.environ.get(name) for name in ("HF_TOKEN",)} | {"cwd": os.getcwd()}))
write("training_params.json", json.dumps({**given, "set_by_user": explicit}))
with (folder / "train.log").open("a") as log, (folder / "metrics.jsonl").open("a") as metrics:
    for step in range(first + 1, total + 1):
        set_state("training", step - 1)
        if stopped:
            set_state("interrupted", step - 1, f"interrupted at step {step - 1} of {total}; saved")
            sys.exit(143)
        time.sleep(seconds)
        row = {"step": step, "loss": 1 / step, "tokens": step * 100, "seconds": step * seconds}
        metrics.write(json.dumps(row) + "\n")
        metrics.flush()
        log.write(f"step {step}/{total}\n")
        log.flush()
set_state("finished", total)
