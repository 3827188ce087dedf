"""The two summaries of a run: what will be trained, and what came out."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from autotrain.trainers.clm import record
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.trainers.clm.prepare import Data
from autotrain.trainers.clm.work import Work
from autotrain.training.estimate import estimate_seconds
from autotrain.training.terminal import duration, show_facts

_ACCURACY = "eval_rewards/accuracies"


def _console() -> Console:
    return Console(file=sys.stdout, highlight=False, soft_wrap=True)


def show_plan(work: Work) -> None:
    """Rows, tokens, steps, trainable parameters, device, precision.  Of several processes, all call it and one shows it."""
    seconds = _seconds_left(work)
    if not work.ready.ranks.leads:
        return
    params, data, ready, machine, checkpoint = work.params, work.data, work.ready, work.machine, work.checkpoint
    policy, batches, total_bytes = ready.policy, data.batches, ready.memory.total_bytes
    method = "LoRA" if params.peft else "all weights"
    if machine.quantization:
        method += f" on a base in {machine.quantization}"
    step_size = _step_size(params, data.num_devices)
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
        ("steps", f"{batches.total_steps:,} ({params.epochs} x {batches.steps_per_epoch:,}, up to {step_size} each)"),
        ("device", f"{record.device_name(machine.device)}, {machine.precision.name}"),
        ("memory", f"about {_gigabytes(work.forecast.peak_bytes)} of {_gigabytes(total_bytes)}; {ready.memory.reason}"),
        ("estimated time", f"about {duration(seconds)} of training, validation not counted"),
        ("result goes to", f"{params.project_name}/"),
    ]
    if ready.ranks.total > 1:
        facts.insert(-3, ("processes", f"{ready.ranks.total}, {ready.ranks.way}: {ready.ranks.why}"))
    if checkpoint:
        facts.append(("resumed", f"from step {checkpoint.progress.step}"))
    show_facts(_console(), "What will be trained", facts)


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:.1f} GB"


def _seconds_left(work: Work) -> float:
    steps_done = work.checkpoint.progress.step if work.checkpoint else 0
    data, ready = work.data, work.ready
    return estimate_seconds(ready.policy, data.train, data.batches, steps_done) / ready.ranks.total


def _step_size(params: LLMTrainingParams, num_devices: int) -> str:
    number = params.batch_size * params.gradient_accumulation * num_devices
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


def show_result(params: LLMTrainingParams, folder: Path, run: Mapping[str, Any]) -> None:
    """Losses before and after, answers before and after, where the model lies, and what to do next.

    run: as in run.json.
    """
    facts = [*_results(run["results"]), *_scores(run.get("evaluation"))]
    for sample in run["samples"]:
        facts += [("asked", sample["prompt"]), ("before", sample["base_answer"]), ("after", sample["answer"])]
    timings = run["timings"]
    facts.append(
        ("time", f"{duration(timings['total_seconds'])}; training steps alone {duration(timings['train_seconds'])}")
    )
    show_facts(_console(), "Done", [*facts, *_next_steps(params, folder)])


def _results(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [
        (
            "loss on the training data",
            f"{results['train_loss_first']:.4f} (first step) -> {results['train_loss_last']:.4f} (last step)",
        )
    ]
    before, after = results.get("validation_before"), results.get("validation")
    if before and after:
        facts.append(("loss on the validation data", _verdict(before["eval_loss"], after["eval_loss"])))
        if _ACCURACY in after:
            facts.append(("validation pairs ranked right", _shares(before, after)))
    return facts


def _shares(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Rewards against a reference are all 0 before training: there is nothing to be right about yet."""
    share = f"{100 * after[_ACCURACY]:.0f} %"
    return share if not before["eval_rewards/margins"] else f"{100 * before[_ACCURACY]:.0f} % before -> {share} after"


def _scores(evaluation: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """How far a reward model's scores can be trusted."""
    if not evaluation:
        return []
    interval, correlation = evaluation["accuracy_interval"], evaluation["length_correlation"]["spearman"]
    sure = f"{100 * interval['low']:.0f} to {100 * interval['high']:.0f} % (95 % interval, {evaluation['pairs']} pairs)"
    lengths = [] if correlation is None else [("score and length", f"rank correlation {correlation:+.2f}")]
    return [("ranks right between", sure), *lengths]


def _next_steps(params: LLMTrainingParams, folder: Path) -> list[tuple[str, str]]:
    is_adapter = params.peft and not params.merge_adapter
    facts = [(f"the {'adapter' if is_adapter else 'model'} is in", f"{folder}/")]
    if params.trainer == "reward":
        facts.append(("score answers", f"autotrain score {folder} --data FILE"))
    else:
        facts += [
            ("talk to it", f"autotrain chat {folder}" + (" --base" if is_adapter else "")),
            ("ask many questions", f"autotrain generate {folder} --prompts FILE"),
        ]
    if is_adapter:
        merge = f"autotrain tools merge-llm-adapter --adapter-path {folder} --output-folder {folder}-merged"
        facts.append(("make one model of it", merge))
    return facts


def _verdict(before: float, after: float) -> str:
    change = 100 * (after - before) / before
    word = "better" if after < before else "NOT better: try fewer epochs, a lower lr, or more data"
    return f"{before:.4f} before -> {after:.4f} after ({change:+.0f} %, {word})"
