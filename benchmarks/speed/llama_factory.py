"""LLaMA-Factory's side of the benchmark: its own SFT run, on given token ids.

Run by an environment that has LLaMA-Factory, as `python llama_factory.py TASK.json`.  What is replaced is tokenizing alone:
rows come as ids through its own option `tokenized_path`, the adapter through its `adapter_name_or_path`.  Packing, batches
and steps are LLaMA-Factory's.  Writes the task's `result`, as theirs.py does.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, DatasetDict
from llamafactory.data.processor.supervised import PackedSupervisedDatasetProcessor
from llamafactory.hparams import DataArguments
from llamafactory.train.tuner import run_exp
from transformers import AutoTokenizer

from benchmarks.speed.clock import Clock
from benchmarks.speed.same import arguments_of

NOT_TRAINED = -100
UNUSED = ("_system", "_tools", "_images", "_videos", "_audios")


class PackingOnIds(PackedSupervisedDatasetProcessor):
    """Packs rows that are tokenized already; a row stands where the response would."""

    def _encode_data_example(self, prompt: Any, response: Any, **unused: Any) -> tuple[list[int], list[int]]:
        (row,) = response
        return row["input_ids"], row["labels"]


def base_of(task: dict[str, Any]) -> Path:
    """A folder of links to the model: LLaMA-Factory loads it in the type that the config names, so the config is another."""
    source, folder = Path(task["model"]), Path(task["folder"]) / "model"
    folder.mkdir()
    for file in source.iterdir():
        if file.name != "config.json":
            (folder / file.name).symlink_to(file)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)
    config["dtype"] = "bfloat16" if task["bf16"] else "float32"
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def rows_of(task: dict[str, Any]) -> Dataset:
    """Rows of ids in the order of training; with packing, LLaMA-Factory's blocks of them."""
    rows = json.loads(Path(task["rows"]).read_text(encoding="utf-8"))
    if not task["packing"]:
        return Dataset.from_list([{**row, "attention_mask": [1] * len(row["input_ids"])} for row in rows])
    arguments = DataArguments(template="empty", cutoff_len=task["block_size"], packing=True, neat_packing=True)
    tokenizer = AutoTokenizer.from_pretrained(task["model"])
    examples: dict[str, list[Any]] = {"_prompt": [[""]] * len(rows), "_response": [[row] for row in rows]}
    examples |= {name: [None] * len(rows) for name in UNUSED}
    packing = PackingOnIds(template=None, tokenizer=tokenizer, processor=None, data_args=arguments)
    return Dataset.from_dict(dict(packing.preprocess_dataset(examples)))


def config_of(task: dict[str, Any], rows: Path) -> dict[str, Any]:
    """What a user would write into LLaMA-Factory's YAML."""
    return {
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "model_name_or_path": str(base_of(task)),
        "adapter_name_or_path": task["adapter"],
        "dataset": "given",
        "tokenized_path": str(rows),
        "template": "empty",
        "cutoff_len": task["block_size"],
        "packing": task["packing"],
        "neat_packing": task["packing"],
        "disable_shuffling": True,
        "disable_gradient_checkpointing": True,
        **arguments_of(task),
        "output_dir": f"{task['folder']}/out",
    }


def train(task: dict[str, Any]) -> dict[str, Any]:
    """Train on the task's rows; returns what is measured."""
    rows, folder, clock = rows_of(task), Path(task["folder"]) / "rows", Clock()
    DatasetDict({"train": rows}).save_to_disk(str(folder))
    run_exp(config_of(task, folder), callbacks=[clock])
    size = task["batch_size"]
    starts = range(0, len(rows), size)
    targets = [sum(label != NOT_TRAINED for label in labels) for labels in rows["labels"]]
    tokens = [sum(mask != 0 for mask in masks) for masks in rows["attention_mask"]]
    return {
        "step_seconds": clock.seconds,
        "losses": clock.losses[: len(clock.seconds)],
        "num_targets": [sum(targets[start : start + size]) for start in starts],
        "block_tokens": [sum(tokens[start : start + size]) for start in starts] if task["packing"] else [],
        "start_cpu_seconds": clock.start_cpu_seconds,
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("llamafactory", "torch", "transformers", "peft", "accelerate")},
    }


if __name__ == "__main__":
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(task["result"]).write_text(json.dumps(train(task)), encoding="utf-8")
