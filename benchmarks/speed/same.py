"""What the trainers that we compare with are told alike; imported in their environments, so it imports nothing."""

from typing import Any


def arguments_of(task: dict[str, Any]) -> dict[str, Any]:
    """By the names of transformers' TrainingArguments."""
    return {
        "learning_rate": task["learning_rate"],
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "lr_scheduler_type": "constant",
        "optim": "adamw_torch",
        "per_device_train_batch_size": task["batch_size"],
        "num_train_epochs": 1,
        "max_steps": task["max_steps"],
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "dataloader_pin_memory": False,
        "bf16": task["bf16"],
        "use_cpu": True,
        "disable_tqdm": True,
    }
