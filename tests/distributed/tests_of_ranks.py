"""What is trained in tests of several processes."""

from pathlib import Path
from typing import Any

TRAINERS = ("default", "sft", "reward", "dpo", "orpo", "ipo", "simpo", "cpo", "kto")
PAIRS = {"text_column": "chosen", "rejected_text_column": "rejected"}
COLUMNS: dict[str, dict[str, Any]] = {
    "default": {"train_split": "chats", "valid_split": "valid", "text_column": "messages", "block_size": 24},
    "sft": {"train_split": "chats", "valid_split": "valid", "text_column": "messages"},
    "kto": {
        "train_split": "labelled",
        "valid_split": "valid-labelled",
        "prompt_text_column": "prompt",
        "text_column": "completion",
    },
}


def job(trainer: str, name: str, folder: Path, model: Path, *, devices: int, **changes: Any) -> dict[str, Any]:
    """13 rows, 4 a device and step: the last step has one row, so most ranks get none."""
    of_pairs = {"train_split": "pairs", "valid_split": "valid-pairs", **PAIRS}
    params = {
        "model": str(model),
        "trainer": trainer,
        "project_name": name,
        "data_path": str(folder),
        **COLUMNS.get(trainer, of_pairs),
        "epochs": 1,
        "batch_size": 12 // devices,
        "gradient_accumulation": 1,
        "lr": 2e-3,
        "logging_steps": 1,
        "num_sample_prompts": 1,
        "lora_dropout": 0.0,
        "max_prompt_length": 64,
        "mixed_precision": None,
        **changes,
    }
    return {"params": params}


KINDS = {"lora": {"peft": True}, "full": {"peft": False, "lr": 1e-4}}
