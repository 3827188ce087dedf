"""The two summaries of a run: what will be trained, and what came out."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from autotrain.trainers.clm import record
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.trainers.clm.prepare import Data
from autotrain.trainers.clm.work import Work
from autotrain.training.checkpoint import Progress
from autotrain.training.terminal import duration, show_facts


def _console() -> Console:
    return Console(file=sys.stdout, highlight=False, soft_wrap=True)


def show_plan(work: Work) -> None:
    """Rows, tokens, steps, trainable parameters, device, precision."""
    params, data, ready, machine, checkpoint = work.params, work.data, work.ready, work.machine, work.checkpoint
    policy, batches = ready.policy, data.batches
    method = "LoRA" if params.peft else "all weights"
    if machine.quantization:
        method += f" on a base in {machine.quantization}"
    share = 100 * policy.num_trainable / policy.num_parameters
    facts = [
        (
            "model",
            f"{params.model}, {method}: {policy.num_trainable:,} of {policy.num_parameters:,} parameters ({share:.2f} %)",
        ),
        ("task", f"{params.trainer}, chat template: {data.tokenizer.template or 'none'}"),
        ("training data", _amount(params, data, "train")),
        (
            "validation data",
            _amount(params, data, "valid") if data.valid is not None else "none (set valid_split to know if it gets better)",
        ),
        (
            "steps",
            f"{batches.total_steps:,} ({params.epochs} x {batches.steps_per_epoch:,}, up to {_step_size(params)} each)",
        ),
        ("device", f"{record.device_name(machine.device)}, {machine.precision.name}; {ready.memory.reason}"),
        ("result goes to", f"{params.project_name}/"),
    ]
    if checkpoint:
        facts.append(("resumed", f"from step {checkpoint.progress.step}"))
    show_facts(_console(), "What will be trained", facts)


def _step_size(params: LLMTrainingParams) -> str:
    number = params.batch_size * params.gradient_accumulation
    return f"{number} {'blocks' if params.packing or params.trainer == 'default' else 'rows'}"


def _amount(params: LLMTrainingParams, data: Data, split: str) -> str:
    store = data.train if split == "train" else data.valid
    assert store is not None
    kind = "blocks" if params.trainer == "default" else "rows"
    text = (
        f"{len(store):,} {kind}, {int(store.num_tokens.sum()):,} tokens, {int(store.num_trained.sum()):,} of them trained on"
    )
    source = data.train_source if split == "train" else data.valid_source
    counts = data.report.counts().get(source.split if source else split, {})
    if counts.get("left_out"):
        text += "; left out: " + ", ".join(f"{number} ({reason})" for reason, number in counts["left_out"].items())
    if counts.get("rows_cut"):
        text += f"; cut at {data.lengths.block_size:,} tokens: {counts['rows_cut']:,} rows, {counts['tokens_cut']:,} tokens"
    return text


def show_result(
    params: LLMTrainingParams,
    folder: Path,
    progress: Progress,
    samples: Sequence[Mapping[str, Any]],
    timings: Mapping[str, float],
) -> None:
    """Losses before and after, answers before and after, where the model lies, and what to do next."""
    console = _console()
    facts = [
        ("loss on the training data", f"{progress.first_loss:.4f} (first step) -> {progress.last_loss:.4f} (last step)")
    ]
    if progress.eval_loss_before is not None and progress.best_eval_loss is not None:
        facts.append(("loss on the validation data", _verdict(progress.eval_loss_before, progress.best_eval_loss)))
    for sample in samples:
        facts += [("asked", sample["prompt"]), ("before", sample["base_answer"]), ("after", sample["answer"])]
    kind = "model" if params.merge_adapter or not params.peft else "adapter"
    facts += [
        ("time", f"{duration(timings['total_seconds'])}; training steps alone {duration(timings['train_seconds'])}"),
        (f"the {kind} is in", f"{folder}/"),
        ("talk to it", f"autotrain chat {folder}" + (" --base" if params.peft and not params.merge_adapter else "")),
        ("ask many questions", f"autotrain generate {folder} --prompts FILE"),
    ]
    if params.peft and not params.merge_adapter:
        facts.append(
            (
                "make one model of it",
                f"autotrain tools merge-llm-adapter --adapter-path {folder} --output-folder {folder}-merged",
            )
        )
    show_facts(console, "Done", facts)


def _verdict(before: float, after: float) -> str:
    change = 100 * (after - before) / before
    word = "better" if after < before else "NOT better: try fewer epochs, a lower lr, or more data"
    return f"{before:.4f} before -> {after:.4f} after ({change:+.0f} %, {word})"
