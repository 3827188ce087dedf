"""From trained weights to something usable: the result, the card, the record, and what to do next."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autotrain import log
from autotrain.models.score import ScorePolicy
from autotrain.output.card import write_card
from autotrain.output.curve import write_curve
from autotrain.output.evaluate_reward import evaluate_reward
from autotrain.output.merge import merge_adapter
from autotrain.output.save import save_result
from autotrain.run_folder import CHECKPOINTS, FINISHING, METRICS_FILE, SAMPLES_FILE, RunFolder
from autotrain.trainers.clm import record
from autotrain.trainers.clm.summary import show_result
from autotrain.trainers.clm.work import Work
from autotrain.training.checkpoint import Progress, read_checkpoint
from autotrain.training.metrics import read_json_lines
from autotrain.training.peak import peak_bytes
from autotrain.training.shards import weights_of


def finish(run: RunFolder, work: Work, progress: Progress, facts: Mapping[str, Any], start: record.Start) -> None:
    """Write the best weights, merged if asked for, with card and record; can be done again after an interruption."""
    folder, params, policy = run.path, work.params, work.ready.policy
    run.set_stage(FINISHING)
    memory = {**facts["memory"], "measured_peak_bytes": peak_bytes(work.ready.device)}
    if progress.best_step is not None and progress.best_step != progress.step:
        log.info(f"the best validation loss was at step {progress.best_step}: its weights are the result")
        policy.load_trainable_state(weights_of(read_checkpoint(folder / CHECKPOINTS, progress.best_step)))
    save_result(policy, work.data.tokenizer, params, work.source, folder)
    if params.merge_adapter and params.peft:
        log.info("merging the adapter into the base model ...")
        merge_adapter(work.source, folder, folder)
    samples = _before_and_after(folder, progress.best_step or progress.step)
    floor_seconds = record.floor_seconds(work, progress)
    timings = record.timings(progress, start, time.monotonic() - work.started, floor_seconds)
    validations = _before_and_best(folder, progress.best_step)
    whole = {
        **facts,
        "memory": memory,
        "results": {**record.results(progress), **validations},
        "samples": samples,
        "timings": timings,
    }
    if isinstance(policy, ScorePolicy) and work.data.valid is not None:
        whole["evaluation"] = evaluate_reward(policy, work.data.valid, progress.token_budget)
    record.write(folder, whole)
    write_curve(folder, read_json_lines(folder / METRICS_FILE))
    write_card(folder, params, whole)
    show_result(params, folder, whole)


def _before_and_best(folder: Path, best_step: int | None) -> dict[str, Any]:
    """All validation metrics of the base model and of the best step."""
    rows = {row["step"]: row for row in read_json_lines(folder / METRICS_FILE) if "eval_loss" in row}
    steps = {"validation_before": 0, "validation": best_step}
    return {
        name: {key: value for key, value in rows[step].items() if key.startswith("eval_") and key != "eval_seconds"}
        for name, step in steps.items()
        if step in rows
    }


def _before_and_after(folder: Path, step: int) -> list[dict[str, Any]]:
    """Sample prompts with the base model's answer and the answer at `step`."""
    rows = read_json_lines(folder / SAMPLES_FILE)
    before = {row["prompt"]: row["answer"] for row in rows if row["step"] == 0}
    return [
        {"prompt": row["prompt"], "base_answer": before.get(row["prompt"], ""), "answer": row["answer"]}
        for row in rows
        if row["step"] == step
    ]
