"""TRL's side: its own trainers on the same rows, which come as ids; what happens in a step is TRL's."""

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from benchmarks.on_gpu.models import LORA_ALPHA, LORA_RANK, build_model, missing
from benchmarks.on_gpu.ours import LEARNING_RATE
from benchmarks.on_gpu.rows import END, PAD, Row
from benchmarks.on_gpu.works import SHAPES, Side, Work


class Watch(Protocol):
    """Where a run is, and who looks at clock and memory.  longest: tokens of a row, or of a block with packing."""

    @property
    def device(self) -> torch.device: ...
    @property
    def longest(self) -> int: ...
    def now(self) -> float: ...
    def forget_peak(self) -> None: ...


@dataclass(frozen=True)
class Run:
    """Seconds, loss and tokens (without padding, prompts once) of each step."""

    seconds: list[float]
    losses: list[float]
    tokens: list[int]


def why_not(side: Side) -> str:
    """What this side lacks here, or ""."""
    return missing("trl", "datasets", *(["liger_kernel"] if side.liger else []))


def uses_flash_attention(device: torch.device) -> bool:
    """Whether TRL can be given flash attention: then it is, for it makes packing cheap."""
    return device.type == "cuda" and not missing("flash_attn")


def train(work: Work, side: Side, rows: Sequence[Row], setting: Watch) -> Run:
    """Train on all rows, once."""
    import datasets
    from peft import LoraConfig
    from transformers import PrinterCallback

    datasets.disable_progress_bars()
    has_adapter = work.tuning != "full"
    device = setting.device
    flash = uses_flash_attention(device)
    model = build_model(
        SHAPES[work.shape],
        device,
        torch.bfloat16 if has_adapter else torch.float32,
        int4=work.tuning == "int4",
        attention="flash_attention_2" if flash else "sdpa",
    )
    adapter = LoraConfig(
        r=LORA_RANK, lora_alpha=LORA_ALPHA, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    clock = _clock(setting)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer_class, config = _trainer(work, side, folder, device, setting.longest)
        trainer = trainer_class(
            model=model,
            args=config,
            train_dataset=_dataset(work, rows),
            processing_class=_tokenizer(SHAPES[work.shape].vocabulary),
            callbacks=[clock],
            **({"peft_config": adapter} if has_adapter else {}),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    lengths = [row.num_tokens for row in rows]
    if side.packing:
        lengths = [len(block) for block in trainer.train_dataset["input_ids"]]
    size = trainer.args.per_device_train_batch_size
    tokens = [sum(lengths[start : start + size]) for start in range(0, len(lengths), size)]
    return Run(clock.seconds, clock.losses, tokens[: len(clock.seconds)])


def _clock(watch: Watch) -> Any:
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        """Times what lies between a step's begin and its end; reading and collating the batch come before it."""

        def __init__(self) -> None:
            self.seconds: list[float] = []
            self.losses: list[float] = []
            self._began = 0.0

        def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            self._began = watch.now()

        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            self.seconds.append(watch.now() - self._began)
            if len(self.seconds) == 1:
                watch.forget_peak()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
            if logs and "loss" in logs:
                self.losses.append(float(logs["loss"]))

    return Clock()


def _trainer(work: Work, side: Side, folder: str, device: torch.device, longest: int) -> tuple[Any, Any]:
    """The trainer's class and its settings: no checkpointing, one micro-batch a step, TRL's defaults otherwise."""
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    class DPOOnIds(DPOTrainer):
        """Takes rows that are tokenized already, as SFTTrainer does by itself."""

        def _prepare_dataset(self, dataset: Any, *unused: Any) -> Any:
            return dataset

    arguments: dict[str, Any] = {
        "output_dir": folder,
        "learning_rate": LEARNING_RATE,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "lr_scheduler_type": "constant",
        "optim": "adamw_torch_fused",
        "per_device_train_batch_size": work.num_rows,
        "num_train_epochs": 1,
        "train_sampling_strategy": "sequential",
        "max_length": longest,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "gradient_checkpointing": False,
        "dataloader_pin_memory": device.type == "cuda",
        "bf16": True,
        "use_cpu": device.type == "cpu",
        "disable_tqdm": True,
    }
    if side.liger:
        arguments["use_liger_kernel"] = True
    if work.trainer == "dpo":
        return DPOOnIds, DPOConfig(**arguments, beta=0.1)
    if side.packing:
        # Blocks are full where rows are a third to half as long: steps are of about the same size.
        arguments |= {"packing": True, "per_device_train_batch_size": max(1, work.num_rows // 3)}
    return SFTTrainer, SFTConfig(**arguments)


def _dataset(work: Work, rows: Sequence[Row]) -> Any:
    from datasets import Dataset

    if work.trainer == "dpo":
        pairs = [{"prompt_ids": row.prompt, "chosen_ids": row.answers[0], "rejected_ids": row.answers[1]} for row in rows]
        return Dataset.from_list(pairs)
    texts = [
        {"input_ids": [*row.prompt, *row.answers[0]], "labels": [-100] * len(row.prompt) + list(row.answers[0])}
        for row in rows
    ]
    return Dataset.from_list(texts)


def _tokenizer(vocabulary: int) -> Any:
    """TRL asks for one; it is only asked what pads and what ends."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": PAD, "</s>": END, **{f"w{number}": number for number in range(END + 1, min(vocabulary, 64))}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>")
