"""Three optimizer steps of ours equal three of TRL's, from the same token ids and weights: `make parity`.

TRL pads chosen and rejected into one batch, prompt and all; ours lays the prompt out once, and here cuts each step in two
or three.  The gradients' norm and the weights after the last step are compared beside what the two log.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from autotrain.base_models import ModelSource
from autotrain.data.store import ExampleStore
from autotrain.models.load import choose_precision, load_model
from autotrain.models.reference import LiveReference
from autotrain.objectives import build
from autotrain.params import LLMTrainingParams
from autotrain.training.optim import build_optimizer
from autotrain.training.step import Examples, accumulate
from autotrain.types import Example, Origin, Segment

HERE = Path(__file__).parent
PYTHON_WITH_TRL = HERE.parents[2] / ".venv-parity" / "bin" / "python"

RELATIVE = 1e-3
FLOOR = 1e-2  # what is smaller is held to RELATIVE of this: a reward of 0 is noise in float32
OF_MOVEMENT = 1e-3  # of the weights: how far apart they end, by how far they went
LEARNING_RATE, WEIGHT_DECAY, MAX_GRAD_NORM = 1e-3, 0.01, 1.0
TOKEN_BUDGET = 64  # of a micro-batch: a step has more than twice as many
CPU = torch.device("cpu")

REWARDS = {f"rewards/{name}": f"rewards/{name}" for name in ("chosen", "rejected", "accuracies", "margins")}
LOGPS = {"logps/chosen": "logps/chosen", "logps/rejected": "logps/rejected"}
ODDS = {name: name for name in ("nll_loss", "log_odds_ratio", "log_odds_chosen")}
SCORES = {"rewards/accuracies": "accuracy", "rewards/margins": "margin"}


@dataclass(frozen=True)
class Case:
    """ours: our parameters.  theirs: fields of TRL's config.  names: metric of ours -> TRL's name for it.

    reference: the folder of the reference model.
    """

    trainer: str
    theirs_trainer: str
    ours: Mapping[str, Any]
    theirs: Mapping[str, Any]
    names: Mapping[str, str]
    with_margin: bool = False
    reference: str = "base"


def dpo(ours: Mapping[str, Any], theirs: Mapping[str, Any] | None = None, reference: str = "base") -> Case:
    """theirs: where TRL's settings are other ones than ours."""
    config = {"beta": 0.1, **(ours if theirs is None else theirs)}
    return Case("dpo", "dpo", {"dpo_beta": 0.1, **ours}, config, REWARDS | LOGPS, reference=reference)


PLAIN = ("sigmoid", "ipo", "hinge", "apo_zero", "apo_down", "nca_pair", "sppo_hard", "sigmoid_norm")
BOTH = {"loss_type": ["sigmoid", "ipo"], "loss_weights": [0.7, 0.3]}
RPO = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.4]}
CASES: Mapping[str, Case] = {
    **{f"dpo-{loss_type}": dpo({"loss_type": loss_type}) for loss_type in PLAIN},
    "dpo-sigmoid-other-reference": dpo({"loss_type": "sigmoid"}, reference="other"),
    "dpo-aot-other-reference": dpo({"loss_type": "aot"}, reference="other"),
    "dpo-robust": dpo({"loss_type": "robust", "label_smoothing": 0.1}),
    "dpo-exo_pair": dpo({"loss_type": "exo_pair", "label_smoothing": 0.1}),
    "dpo-sigmoid-and-ipo": dpo(BOTH),
    "dpo-rpo": dpo({"rpo_alpha": 0.4}, RPO),
    "orpo": Case("orpo", "orpo", {"orpo_beta": 0.5, "orpo_nll_on_prompt": True}, {"beta": 0.5}, REWARDS | LOGPS | ODDS),
    "cpo": Case(
        "cpo",
        "cpo",
        {"dpo_beta": 0.5, "cpo_alpha": 0.4},
        {"beta": 0.5, "cpo_alpha": 0.4},
        REWARDS | LOGPS | {"nll_loss": "nll_loss"},
    ),
    "simpo": Case(
        "simpo",
        "cpo",
        {"simpo_beta": 2.0, "simpo_gamma": 0.5},
        {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 0.5, "cpo_alpha": 0.0},
        REWARDS | LOGPS,
    ),
    "reward": Case("reward", "reward", {}, {}, SCORES),
    "reward-margin-centered": Case(
        "reward", "reward", {"reward_centering": 0.1}, {"center_rewards_coefficient": 0.1}, SCORES, with_margin=True
    ),
}


@pytest.fixture(scope="module")
def theirs(world) -> Mapping[str, Any]:
    """What TRL logged, case by case, and the ids it made."""
    if not PYTHON_WITH_TRL.exists():
        pytest.skip(reason="TRL isn't here; `make parity` installs it into an environment of its own")
    task = {
        "learning_rate": LEARNING_RATE,
        "weight_decay": WEIGHT_DECAY,
        "max_grad_norm": MAX_GRAD_NORM,
        "num_steps": len(world.steps),
        "pairs_per_step": len(world.steps[0]),
        "cases": {
            name: {
                "trainer": case.theirs_trainer,
                "arguments": case.theirs,
                "reference": case.reference if case.trainer == "dpo" else None,
                "rows": world.rows(with_margin=case.with_margin),
            }
            for name, case in CASES.items()
        },
    }
    (world.folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
    run = subprocess.run([PYTHON_WITH_TRL, HERE / "theirs.py", world.folder], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-4000:]
    return json.loads((world.folder / "theirs.json").read_text(encoding="utf-8"))


def compare(
    ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]], names: Mapping[str, str]
) -> dict[str, float]:
    """Of each quantity the largest relative difference over the steps.  names: ours -> theirs."""
    return {
        name: max(
            abs(row[name] - other[theirs_name]) / max(abs(other[theirs_name]), FLOOR)
            for row, other in zip(ours, theirs, strict=True)
        )
        for name, theirs_name in names.items()
    }


@dataclass(frozen=True)
class Trained:
    """metrics: of each step.  start, end: the weights before the first step and after the last."""

    metrics: Sequence[Mapping[str, float]]
    start: Mapping[str, torch.Tensor]
    end: Mapping[str, torch.Tensor]


def train(world, case: Case) -> Trained:
    """The steps of `world` as the loop takes them."""
    fixed = {"lr": LEARNING_RATE, "weight_decay": WEIGHT_DECAY}
    params = LLMTrainingParams(model="base", trainer=case.trainer, **fixed, **case.ours)
    objective = build(params.trainer, params.model_dump())
    policy = load(world, params, "scorer" if objective.head == "score" else "base").train()
    start = policy.trainable_state()
    optimizer = build_optimizer(policy, params)
    examples = Examples(
        make_store(world, objective, with_margin=case.with_margin),
        make_reference(world, params, case.reference) if objective.needs_reference else None,
    )
    metrics, first = [], 0
    for step in world.steps:
        optimizer.zero_grad(set_to_none=True)
        result = accumulate(policy, objective, examples, range(first, first + len(step)), TOKEN_BUDGET)
        grad_norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), MAX_GRAD_NORM)
        optimizer.step()
        metrics.append({"loss": result.loss, "grad_norm": float(grad_norm), **result.metrics})
        first += len(step)
    return Trained(metrics, start, policy.trainable_state())


def distance(ours: Trained, theirs: Mapping[str, torch.Tensor]) -> float:
    """How far apart the weights end, by how far ours went."""
    apart = torch.cat([(ours.end[name] - theirs[name]).flatten() for name in ours.end])
    went = torch.cat([(ours.end[name] - ours.start[name]).flatten() for name in ours.end])
    return float(apart.norm() / went.norm())


def load(world, params: LLMTrainingParams, folder: str):
    return load_model(
        params,
        ModelSource(str(world.folder / folder)),
        vocabulary_size=0,
        new_token_ids=(),
        device=CPU,
        precision=choose_precision(params, CPU),
        quantization=None,
        seed=0,
        head="score" if folder == "scorer" else "causal",
        pad_token_id=0,
    )


def make_reference(world, params: LLMTrainingParams, folder: str):
    return LiveReference(load(world, params, folder), "model_ref", is_policy=False).of


def make_store(world, objective, *, with_margin: bool) -> ExampleStore:
    """The pairs as trees.  Three sequences an example: the prompt is trained on too, as a sequence of its own."""
    num_sequences = objective.sequences_per_example
    store = ExampleStore()
    for step in world.steps:
        for pair in step:
            prompt = segment(pair.prompt, trained=num_sequences == 3, sequence=2 if num_sequences == 3 else 0)
            answers = segment(pair.chosen, parent=0), segment(pair.rejected, parent=0, sequence=1)
            store.append(
                Example((prompt, *answers), num_sequences, pair.margin if with_margin else 0.0),
                Origin("pairs", len(store) + 1),
            )
    return store


def segment(ids: Sequence[int], *, trained: bool = True, parent: int | None = None, sequence: int = 0) -> Segment:
    return Segment(np.array(ids, dtype=np.int32), np.full(len(ids), trained), parent, sequence)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_both_are_given_the_same_ids(world, theirs, name):
    pairs = [pair for step in world.steps for pair in step]
    ids = [{"chosen": [*pair.prompt, *pair.chosen], "rejected": [*pair.prompt, *pair.rejected]} for pair in pairs]
    assert theirs[name]["ids"] == ids


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_three_steps_give_what_trl_logs_and_its_weights(world, theirs, name, record_property):
    case = CASES[name]
    ours = train(world, case)
    differences = compare(ours.metrics, theirs[name]["steps"], {"loss": "loss", "grad_norm": "grad_norm", **case.names})
    apart = distance(ours, load_file(world.folder / f"{name}.safetensors"))
    losses = [" ".join(f"{row['loss']:.5f}" for row in rows) for rows in (ours.metrics, theirs[name]["steps"])]
    worst = max(differences, key=lambda quantity: differences[quantity])
    record_property("parity", f"| {name} | {losses[0]} | {losses[1]} | {differences[worst]:.0e} ({worst}) | {apart:.0e} |")
    assert {quantity: error for quantity, error in differences.items() if error > RELATIVE} == {}
    assert apart < OF_MOVEMENT
