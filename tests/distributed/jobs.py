"""Run by torchrun in each process of a test: several trainings, one after the other, in the current folder.

Argument: a JSON file with a list of {"params": {...}, "resume": bool}.
"""

import json
import operator
import os
import sys
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from torchrun import checkpoint_all, keep_small, stop_after


def main(jobs: list[dict[str, object]]) -> None:
    from autotrain.errors import Interrupted
    from autotrain.models.network import Network
    from autotrain.params import LLMTrainingParams
    from autotrain.trainers.clm import rank
    from autotrain.trainers.clm.train import train
    from autotrain.training.loop import Loop
    from autotrain.training.place import FOLDER_VARIABLE, START_VARIABLE

    root = Path(os.environ[FOLDER_VARIABLE])
    for number, job in enumerate(jobs):
        os.environ[FOLDER_VARIABLE] = str(root / f"job-{number}")
        os.environ[START_VARIABLE] = str(number)  # names in the store, which all of them share, are told apart by it
        rank.begin()
        keep_small(job, operator.setitem)
        before, of_some = Loop._take_step, Network.checkpoint_layers
        checkpoint_all(job, setattr)
        stop_after(job, setattr)
        with suppress(Interrupted):
            train(LLMTrainingParams(**job["params"]), resume=bool(job.get("resume")), overwrite=False)
        Loop._take_step, Network.checkpoint_layers = before, of_some


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
