"""All of a data set, counted: rows, tokens, steps, what is left out; and what training would take, without a weight."""

from contextlib import closing
from typing import Any

from autotrain import log, objectives
from autotrain.config.notices import ineffective
from autotrain.hub.look import check_models
from autotrain.models.load import read_model_config
from autotrain.trainers.clm.inspect.needs import estimate_needs
from autotrain.trainers.clm.inspect.preview import counted
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.trainers.clm.prepare import Data, choose_machine, find_base, prepare_data
from autotrain.training.optim import check_optimizer
from autotrain.training.trackers import check_trackers


def measure(params: LLMTrainingParams) -> dict[str, Any]:
    """Raises AutoTrainError for everything that would keep the run from starting here, but for memory."""
    with log.collect_notices() as notices:
        for line in ineffective(params):
            log.notice(line)
        check_models(params)
        machine = choose_machine(params)
        check_trackers(params)
        check_optimizer(params, machine.device)
        objective = objectives.build(params.trainer, params.model_dump())
        source = find_base(params)
        with closing(prepare_data(params, source, objective)) as data:
            config = read_model_config(source, None)
            needs = estimate_needs(params, source, config, objective, data, machine)
            amounts = _amounts(params, data)
    return {**amounts, **needs, "notices": list(dict.fromkeys(notices))}


def _amounts(params: LLMTrainingParams, data: Data) -> dict[str, Any]:
    train, valid = data.train, data.valid
    return {
        "unit": "blocks" if params.trainer == "default" else "rows",
        "num_rows": len(train),
        "num_tokens": int(train.num_tokens.sum()),
        "num_trained": int(train.num_trained.sum()),
        "longest": int(train.num_tokens.max()),
        "num_valid_rows": None if valid is None else len(valid),
        "steps_per_epoch": data.batches.steps_per_epoch,
        "total_steps": data.batches.total_steps,
        "block_size": data.lengths.block_size,
        **counted(data.report, data.train_source.split),
    }
