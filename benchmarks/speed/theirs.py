"""TRL's side of the benchmark: TRL's own trainers, on given token ids or on raw messages.

Run by the environment of `make bench`, which has TRL, as `python theirs.py TASK.json`.  What is replaced is preparation
alone (rows come as ids, so that both sides train on the same ones); what happens in a step is TRL's.  Writes the task's
`result`: seconds and loss of each step, and what of the data was in it.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, load_dataset
from peft import PeftConfig, load_peft_weights, set_peft_model_state_dict
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from benchmarks.speed.clock import Clock
from benchmarks.speed.same import arguments_of


class DPOOnIds(DPOTrainer):
    """Takes rows that are tokenized already, as SFTTrainer and RewardTrainer do by themselves."""

    def _prepare_dataset(self, dataset: Any, *unused: Any) -> Any:
        return dataset


class ORPOOnIds(ORPOTrainer):
    """As above."""

    def tokenize_row(self, feature: Any, model: Any = None) -> dict[str, Any]:
        prompt, row = feature["prompt_ids"], {}
        for answer in ("chosen", "rejected"):
            ids = prompt + feature[f"{answer}_ids"]
            row[f"{answer}_input_ids"] = ids
            row[f"{answer}_attention_mask"] = [1] * len(ids)
            row[f"{answer}_labels"] = [-100] * len(prompt) + feature[f"{answer}_ids"]
        return row | {"prompt_input_ids": prompt, "prompt_attention_mask": [1] * len(prompt)}


TRAINERS = {
    "sft": (SFTTrainer, SFTConfig),
    "dpo": (DPOOnIds, DPOConfig),
    "orpo": (ORPOOnIds, ORPOConfig),
    "reward": (RewardTrainer, RewardConfig),
}


# What a trainer wants otherwise than the rest: whole dialogues, or texts (which aren't looked at) beside the ids.
ROWS_FOR = {
    "reward": lambda row: {"chosen_ids": row["chosen_input_ids"], "rejected_ids": row["rejected_input_ids"]},
    "orpo": lambda row: {**row, "prompt": "", "chosen": "", "rejected": ""},
}


def load(task: dict[str, Any]) -> Any:
    """The base model: frozen in bf16 where it is trained with LoRA in bf16, otherwise in float32."""
    dtype = torch.bfloat16 if task["bf16"] and task["adapter"] else torch.float32
    if task["trainer"] == "reward":
        return AutoModelForSequenceClassification.from_pretrained(task["model"], num_labels=1, dtype=dtype)
    return AutoModelForCausalLM.from_pretrained(task["model"], dtype=dtype)


def config_of(task: dict[str, Any]) -> dict[str, Any]:
    """What all of TRL's trainers are told."""
    return {
        **arguments_of(task),
        "output_dir": task["folder"],
        "train_sampling_strategy": "sequential",
        "max_length": task["block_size"],
        "gradient_checkpointing": False,
        **task["arguments"],
    }


def rows_of(task: dict[str, Any]) -> Dataset:
    """Rows of ids, in the order of training; or, to measure the start, raw messages."""
    if task["raw"]:
        return load_dataset("json", data_files=task["raw"], split="train", cache_dir=f"{task['folder']}/cache")
    rows = json.loads(Path(task["rows"]).read_text(encoding="utf-8"))
    return Dataset.from_list([ROWS_FOR.get(task["trainer"], dict)(row) for row in rows])


def train(task: dict[str, Any]) -> dict[str, Any]:
    """Train on the task's rows; returns what is measured."""
    trainer_class, config_class = TRAINERS[task["trainer"]]
    clock = Clock()
    num_targets: list[int] = []

    class Counting(trainer_class):  # pyright: ignore[reportGeneralTypeIssues]
        """Notes the divisor of each step's loss."""

        def compute_loss(self, *arguments: Any, **named: Any) -> Any:
            divisor = named.get("num_items_in_batch")
            num_targets.append(int(divisor) if divisor is not None else 0)
            return super().compute_loss(*arguments, **named)

    adapter = {"peft_config": PeftConfig.from_pretrained(task["adapter"])} if task["adapter"] else {}
    for config in adapter.values():
        config.inference_mode = False
    trainer = Counting(
        model=load(task),
        args=config_class(**config_of(task)),
        train_dataset=rows_of(task),
        processing_class=AutoTokenizer.from_pretrained(task["model"]),
        callbacks=[clock],
        **adapter,
    )
    if task["adapter"]:
        set_peft_model_state_dict(trainer.model, load_peft_weights(task["adapter"], device="cpu"))
    trainer.train()
    blocks = trainer.train_dataset["input_ids"] if task["packing"] else []
    size = task["batch_size"]
    return {
        "step_seconds": clock.seconds,
        "losses": clock.losses[: len(clock.seconds)],
        "num_targets": num_targets,
        "block_tokens": [sum(map(len, blocks[start : start + size])) for start in range(0, len(blocks), size)],
        "start_cpu_seconds": clock.start_cpu_seconds,
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("trl", "torch", "transformers", "peft", "accelerate")},
    }


def main(file: Path) -> None:
    """Train as the task in `file` says."""
    task = json.loads(file.read_text(encoding="utf-8"))
    if task["onednn"]:
        torch.backends.mkldnn.matmul.fp32_precision = "bf16"  # a misnomer: where there is no AMX it is exact
    result = train(task)
    Path(task["result"]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
