"""The recipe, whole: from parameters to a model in the run folder.  The only module that knows everyone."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from autotrain import log, objectives
from autotrain.base_models import ModelSource
from autotrain.config.notices import ineffective
from autotrain.data.report import RowsReport
from autotrain.errors import Interrupted
from autotrain.hub.checkpoints import CheckpointPush
from autotrain.hub.repo import told_if_left_empty
from autotrain.models.load import load_model
from autotrain.models.network import Network
from autotrain.models.score import choose_pad
from autotrain.objectives.base import Objective
from autotrain.output.samples import answer_prompts, pick_prompts
from autotrain.run_folder import (
    CHECKPOINTS,
    FAILED,
    FINISHED,
    INTERRUPTED,
    LEFT_OUT_FILE,
    LOG_FILE,
    STOPPED,
    TRAINING,
    RunFolder,
    claim,
)
from autotrain.trainers.clm import record
from autotrain.trainers.clm.compare import open_comparison
from autotrain.trainers.clm.finish import finish
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.trainers.clm.prepare import Data, Machine, choose_machine, find_base, prepare_data
from autotrain.trainers.clm.push import open_target, pull_checkpoint, push_checkpoints, push_result
from autotrain.trainers.clm.quiet import quiet_libraries
from autotrain.trainers.clm.summary import show_plan
from autotrain.trainers.clm.together import (
    Joined,
    Together,
    check_together,
    check_together_on,
    choose_way,
    place_of_loading,
    whole_again,
)
from autotrain.trainers.clm.work import Work
from autotrain.training.assemble import assemble, foresee, make_ready, tried_budget
from autotrain.training.checkpoint import Checkpoint, Progress, list_checkpoints, read_checkpoint
from autotrain.training.loop import Loop, Samples
from autotrain.training.optim import check_optimizer
from autotrain.training.place import find_place
from autotrain.training.signals import StopSignal
from autotrain.training.terminal import Terminal
from autotrain.training.trackers import check_trackers


def train(params: LLMTrainingParams, *, resume: bool, overwrite: bool, started: float | None = None) -> None:
    """Fine-tune as `params` say.  Until every check has passed, nothing is written.

    started: seconds of the monotonic clock when the program began, None for now.
    Raises UserError (nothing was written), TrainingError (the run failed), Interrupted (saved), PushError (trained).
    """
    started = time.monotonic() if started is None else started
    quiet_libraries()
    team = Together(find_place())
    check_together(params, team.total)
    for line in ineffective(params):
        log.notice(line)
    team.wait_for_data()
    folder = Path(params.project_name)
    checkpoint = _last_checkpoint(folder, params) if resume else None
    if checkpoint:
        record.check_same_run(folder, params)
        record.note_other_versions(folder)
    machine = choose_machine(params, team.place)
    check_trackers(params)
    check_optimizer(params, machine.device)
    objective = objectives.build(params.trainer, params.model_dump())
    source = find_base(params)
    day = record.day_of(folder) if checkpoint else None
    devices = record.devices_of(folder, team.total) if checkpoint else team.total
    with closing(prepare_data(params, source, objective, day, team.handover, devices)) as data:
        if checkpoint:
            record.check_same_data(folder, data.fingerprint)
        team.data_are_ready()
        way, why = choose_way(params, source, machine, objective.head) if team.place else ("alone", "")
        with StopSignal() as stop, team.joined(params, machine.device) as joined:
            policy = _load(params, source, data, place_of_loading(machine, way), objective)
            ranks = joined.share(way, why, policy, params)
            check_together_on(ranks, data, checkpoint)
            ready = make_ready(
                policy, params, data.batches, data.longest_example, machine.device, machine.memory_bytes, ranks
            )
            budget = ready.memory.token_budget
            with open_comparison(policy, objective, params, data, machine, budget, stop, ranks) as comparison:
                forecast = foresee(ready, data.train, data.batches, comparison.model_bytes)
                work = Work(params, source, machine, objective, data, ready, comparison, forecast, checkpoint, started)
                _run(work, folder, team, joined, stop, resume=resume, overwrite=overwrite)


def _run(
    work: Work, folder: Path, team: Together, joined: Joined, stop: StopSignal, *, resume: bool, overwrite: bool
) -> None:
    """Train, write and push.  Of several processes only the leader does the last two."""
    params, policy, checkpoint = work.params, work.ready.policy, work.checkpoint
    show_plan(work)
    target = None
    if team.leads:
        target = open_target(params, num_parameters=policy.num_parameters, num_trainable=policy.num_trainable)
    with told_if_left_empty(target), push_checkpoints(folder, params, target) as checkpoints:
        # A run that has no checkpoint yet starts anew.
        anew = overwrite or (resume and checkpoint is None)
        run = claim(team.own_folder(folder), resume=team.leads and checkpoint is not None, overwrite=anew)
        team.run = run
        work.comparison.keep_in(run.path)
        is_complete = _run_in(run, work, joined, stop, checkpoints)
    if target:
        push_result(folder, params, target, is_complete=is_complete)


def _last_checkpoint(folder: Path, params: LLMTrainingParams) -> Checkpoint | None:
    if not list_checkpoints(folder / CHECKPOINTS):
        pull_checkpoint(folder, params)
    steps = list_checkpoints(folder / CHECKPOINTS)
    if not steps:
        log.notice(f"no checkpoint in {folder}: starting anew")
        return None
    return read_checkpoint(folder / CHECKPOINTS, steps[-1])


def _load(params: LLMTrainingParams, source: ModelSource, data: Data, machine: Machine, objective: Objective) -> Network:
    tokenizer = data.tokenizer.tokenizer
    policy = load_model(
        params,
        source,
        vocabulary_size=len(tokenizer),
        new_token_ids=data.tokenizer.new_token_ids,
        device=machine.device,
        precision=machine.precision,
        quantization=machine.quantization,
        seed=params.seed,
        head=objective.head,
        pad_token_id=choose_pad(tokenizer, data.tokenizer.stop_token_ids) if objective.head == "score" else None,
    )
    policy.row_sizes = data.lengths.sizes if len(data.lengths.sizes) > 1 else ()
    return policy


def _run_in(run: RunFolder, work: Work, joined: Joined, stop: StopSignal, checkpoints: CheckpointPush) -> bool:
    """Train and finish inside the claimed run folder, whose state says at any time how far it is.

    Returns whether no steps are left.
    """
    log_file = log.add_log_file(str(run.path / LOG_FILE))
    total_steps = work.data.batches.total_steps
    progress = work.checkpoint.progress if work.checkpoint else Progress(token_budget=work.ready.memory.token_budget)
    run.set_state(TRAINING, progress.step, total_steps)
    work.params.save(run.path)
    work.data.report.write(run.path / LEFT_OUT_FILE)
    facts = record.facts(work)
    record.write(run.path, facts)
    try:
        with joined.explained():
            loop, start = _fit(run, work, progress, stop, checkpoints)
        is_complete = loop.progress.stopped_early or loop.progress.step == total_steps
        trained = whole_again(work, partial(_load, work.params, work.source, work.data, objective=work.objective))
        if trained is None:
            return is_complete  # the leader does the rest
        finish(run, trained, loop.progress, facts, start)
        run.set_state(FINISHED if is_complete else STOPPED, loop.progress.step, total_steps)
        if is_complete:
            checkpoints.discard()
        return is_complete
    except (Interrupted, KeyboardInterrupt) as error:
        run.set_stage(INTERRUPTED, str(error))
        raise
    except BaseException as error:
        run.set_stage(FAILED, log.mask(str(error)))
        log.error(f"the run in {run.path} failed; once the cause is mended, --resume goes on from its last checkpoint")
        raise
    finally:
        log.remove_log_file(log_file)
        run.release()


def _fit(
    run: RunFolder, work: Work, progress: Progress, stop: StopSignal, checkpoints: CheckpointPush
) -> tuple[Loop, record.Start]:
    """Returns the loop after its last step, and what passed before its first."""
    data = work.data
    train = work.comparison.examples(data.train, "train")
    valid = work.comparison.examples(data.valid, "valid") if data.valid is not None else None
    # Each process draws its own dropout; of the leader's numbers a run of one process draws the same.
    torch.manual_seed(work.params.seed + 1_000_003 * work.ready.ranks.rank)
    console = None if work.ready.ranks.leads else Console(quiet=True)
    with Terminal(data.batches.total_steps, progress.step, console) as terminal:
        answer = _sampler(work)
        parts = assemble(work.ready, work.objective, work.params, data.batches, run, progress, terminal)
        parts = replace(parts, after_save=partial(_offer, checkpoints, data.batches.total_steps))
        with parts:
            loop = Loop(parts, train, valid, answer, progress, stop)
            if work.checkpoint:
                loop.restore(work.checkpoint)
            else:
                budget = tried_budget(work.ready, work.forecast, work.objective, train)
                loop.progress = progress.with_(token_budget=budget)
            start = record.Start(time.monotonic() - work.started, time.process_time())
            loop.run()
    return loop, start


def _offer(checkpoints: CheckpointPush, total_steps: int, saved: Progress) -> None:
    """After the last step the result itself goes to the hub."""
    if saved.step < total_steps and not saved.stopped_early:
        checkpoints.offer(saved.step, saved.best_step)


def _sampler(work: Work) -> Callable[[], Samples]:
    """A function that answers a few prompts of the validation set; without one, it answers nothing."""
    data, policy, number = work.data, work.ready.policy, work.params.num_sample_prompts
    if data.valid_source is None or number == 0 or work.objective.head == "score":
        return lambda: ()
    if work.ready.ranks.way == "ddp" and not work.ready.ranks.leads:
        return lambda: ()
    with closing(RowsReport()) as unused:
        prompts = pick_prompts(data.valid_source.samples(unused), number)
    return lambda: answer_prompts(policy, data.tokenizer, prompts)
