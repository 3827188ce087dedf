"""TRL's side: trains each case of a task with TRL's own trainers, unchanged, and writes what they logged.

Run by the environment of `make parity`, which has TRL, as `python theirs.py FOLDER`.  Reads FOLDER/task.json and the models
beside it; writes FOLDER/theirs.json (case -> ids that TRL made of the texts, and a row of logs for each step) and
FOLDER/CASE.safetensors (the weights after the last step).
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

TRAINERS = {
    "dpo": (DPOTrainer, DPOConfig),
    "orpo": (ORPOTrainer, ORPOConfig),
    "cpo": (CPOTrainer, CPOConfig),
    "reward": (RewardTrainer, RewardConfig),
}
# The columns of a prepared row: what comes before both answers, and each answer.
COLUMNS = {
    "dpo": ("prompt_ids", "chosen_ids", "rejected_ids"),
    "orpo": (None, "chosen_input_ids", "rejected_input_ids"),
    "cpo": (None, "chosen_input_ids", "rejected_input_ids"),
    "reward": (None, "chosen_ids", "rejected_ids"),
}


class Recorder(TrainerCallback):
    """Keeps every row of logs as it is, unrounded."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **rest: Any) -> None:
        if logs and "loss" in logs:
            self.rows.append(dict(logs))


def train(folder: Path, name: str, case: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    """Train one case, in the order of its rows.  Returns what TRL made of the texts, and what it logged."""
    trainer_class, config_class = TRAINERS[case["trainer"]]
    arguments = config_class(
        str(folder / "unused"),
        learning_rate=task["learning_rate"],
        weight_decay=task["weight_decay"],
        max_grad_norm=task["max_grad_norm"],
        max_steps=task["num_steps"],
        per_device_train_batch_size=task["pairs_per_step"],
        lr_scheduler_type="constant",
        optim="adamw_torch",
        train_sampling_strategy="sequential",
        max_length=256,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        disable_tqdm=True,
        **case["arguments"],
    )
    recorder = Recorder()
    reference = {"ref_model": AutoModelForCausalLM.from_pretrained(folder / case["reference"])} if case["reference"] else {}
    trainer = trainer_class(
        model=str(folder / ("scorer" if case["trainer"] == "reward" else "base")),
        args=arguments,
        train_dataset=Dataset.from_list(case["rows"]),
        processing_class=AutoTokenizer.from_pretrained(folder / "base"),
        callbacks=[recorder],
        **reference,
    )
    trainer.train()
    save_file({key: value.clone() for key, value in trainer.model.state_dict().items()}, folder / f"{name}.safetensors")
    return {"ids": prepared_ids(trainer.train_dataset, case["trainer"]), "steps": recorder.rows}


def prepared_ids(dataset: Dataset, trainer: str) -> list[dict[str, list[int]]]:
    """What TRL made of each text: the ids of the dialogue with the chosen and with the rejected answer."""
    prompt, chosen, rejected = COLUMNS[trainer]
    return [
        {"chosen": before + row[chosen], "rejected": before + row[rejected]}
        for row in dataset
        for before in [row[prompt] if prompt else []]
    ]


def main(folder: Path) -> None:
    """Train all cases of the task in `folder`."""
    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    results = {name: train(folder, name, case, task) for name, case in task["cases"].items()}
    (folder / "theirs.json").write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
