"""The recipe, whole: from parameters to a model in the run folder.  The only module that knows everyone."""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from autotrain import log, objectives
from autotrain.base_models import ModelSource
from autotrain.config.notices import ineffective
from autotrain.data.report import RowsReport
from autotrain.errors import Interrupted
from autotrain.models.forward import Policy
from autotrain.models.load import load_model
from autotrain.output.samples import answer_prompts, pick_prompts
from autotrain.run_folder import CHECKPOINTS, FAILED, FINISHED, INTERRUPTED, LOG_FILE, STOPPED, TRAINING, RunFolder, claim
from autotrain.trainers.clm import record
from autotrain.trainers.clm.finish import finish
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.trainers.clm.prepare import Data, Machine, choose_machine, find_base, prepare_data
from autotrain.trainers.clm.quiet import quiet_libraries
from autotrain.trainers.clm.summary import show_plan
from autotrain.training.assemble import Ready, assemble, make_ready
from autotrain.training.checkpoint import Checkpoint, Progress, list_checkpoints, read_checkpoint
from autotrain.training.loop import Loop
from autotrain.training.optim import check_optimizer
from autotrain.training.signals import StopSignal
from autotrain.training.step import Examples
from autotrain.training.terminal import Terminal
from autotrain.training.trackers import check_trackers


def train(params: LLMTrainingParams, *, resume: bool, overwrite: bool) -> None:
    """Fine-tune as `params` say.  Until every check has passed, nothing is written.

    Raises UserError (nothing was written), TrainingError (the run failed), Interrupted (saved).
    """
    started = time.monotonic()
    quiet_libraries()
    for line in ineffective(params):
        log.notice(line)
    folder = Path(params.project_name)
    checkpoint = _last_checkpoint(folder) if resume else None
    if resume:
        record.check_same_run(folder, params)
    machine = choose_machine(params)
    check_trackers(params)
    check_optimizer(params, machine.device)
    objective = objectives.build(params.trainer, params.model_dump())
    source = find_base(params)
    with closing(prepare_data(params, source)) as data:
        if resume:
            record.check_same_data(folder, data.fingerprint)
        policy = _load(params, source, data, machine)
        stores = [store for store in (data.train, data.valid) if store is not None]
        ready = make_ready(policy, objective, params, data.batches, stores, machine.device)
        show_plan(params, data, ready, machine, checkpoint)
        # A run that has no checkpoint yet starts anew.
        run = claim(folder, resume=checkpoint is not None, overwrite=overwrite or (resume and checkpoint is None))
        with StopSignal() as stop:
            _run_in(run, params, source, data, ready, machine, checkpoint, stop, started)


def _last_checkpoint(folder: Path) -> Checkpoint | None:
    steps = list_checkpoints(folder / CHECKPOINTS)
    if not steps:
        log.notice(f"no checkpoint in {folder}: starting anew")
        return None
    return read_checkpoint(folder / CHECKPOINTS, steps[-1])


def _load(params: LLMTrainingParams, source: ModelSource, data: Data, machine: Machine) -> Policy:
    policy = load_model(
        params,
        source,
        vocabulary_size=len(data.tokenizer.tokenizer),
        new_token_ids=data.tokenizer.new_token_ids,
        device=machine.device,
        precision=machine.precision,
        quantization=machine.quantization,
        seed=params.seed,
    )
    policy.row_sizes = data.lengths.sizes if len(data.lengths.sizes) > 1 else ()
    return policy


def _run_in(
    run: RunFolder,
    params: LLMTrainingParams,
    source: ModelSource,
    data: Data,
    ready: Ready,
    machine: Machine,
    checkpoint: Checkpoint | None,
    stop: StopSignal,
    started: float,
) -> None:
    """Train and finish inside the claimed run folder, whose state says at any time how far it is."""
    log_file = log.add_log_file(str(run.path / LOG_FILE))
    total_steps = data.batches.total_steps
    progress = checkpoint.progress if checkpoint else Progress(token_budget=ready.memory.token_budget)
    run.set_state(TRAINING, progress.step, total_steps)
    params.save(run.path)
    data.report.write(run.path / "rows_left_out.jsonl")
    facts = record.facts(params, data, ready, machine)
    record.write(run.path, facts)
    try:
        torch.manual_seed(params.seed)
        with Terminal(total_steps, progress.step) as terminal:
            parts = assemble(
                ready, params, data.batches, Examples(data.train), Examples(data.valid) if data.valid is not None else None, run, progress, terminal,
                _sampler(params, data, ready.policy), machine.device,
            )  # fmt: skip
            loop = Loop(parts, progress, stop)
            if checkpoint:
                loop.restore(checkpoint)
            start_seconds = time.monotonic() - started
            is_complete = loop.run()
        finish(run, params, source, data, ready.policy, loop.progress, facts, start_seconds, started)
        for tracker in parts.trackers:
            tracker.close()
        run.set_state(FINISHED if is_complete else STOPPED, loop.progress.step, total_steps)
    except Interrupted as error:
        run.set_stage(INTERRUPTED, str(error))
        raise
    except BaseException as error:
        run.set_stage(FAILED, log.mask(str(error)))
        log.error(f"the run in {run.path} failed at stage {TRAINING}; continue it with --resume once the cause is mended")
        raise
    finally:
        log.remove_log_file(log_file)
        run.release()


def _sampler(params: LLMTrainingParams, data: Data, policy: Policy) -> Any:
    """A function that answers a few prompts of the validation set; without one, it answers nothing."""
    if data.valid_source is None or params.num_sample_prompts == 0:
        return lambda: ()
    with closing(RowsReport()) as unused:
        prompts = pick_prompts(data.valid_source.samples(unused), params.num_sample_prompts)

    def answer() -> Sequence[Mapping[str, Any]]:
        return answer_prompts(policy, data.tokenizer, prompts)

    return answer
