"""Our side's part before measuring: the model as a folder, and the rows as token ids in the order of training.

Run as a process of its own (it loads torch): `python -m benchmarks.speed.prepare rows CONFIG FOLDER`, or `... model NAME
FOLDER`.  TRL is given what these write, so that both sides train on the same ids, from the same adapter.
"""

import argparse
import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from autotrain import objectives
from autotrain.base_models import find_model
from autotrain.config.load import load_config
from autotrain.data.batches import count
from autotrain.data.tokenizer import load_tokenizer
from autotrain.models.load import load_model
from autotrain.models.network import Network
from autotrain.models.score import choose_pad
from autotrain.objectives.base import Objective
from autotrain.params import LLMTrainingParams
from autotrain.trainers.clm.prepare import Data, choose_machine, find_base, prepare_data
from autotrain.training.floor import Amount, training_flops
from autotrain.training.rate import attended_tokens, matmul_rate, shapes_of
from autotrain.types import Example

ROWS, STEPS, ADAPTER = "rows.json", "steps.json", "adapter"


def write_model(name: str, folder: Path) -> None:
    """The model as transformers stores it, in float32, with its tokenizer: what both sides load."""
    from transformers import AutoModelForCausalLM, GgufConfig

    source = find_model(name)
    dense = {"quantization_config": GgufConfig(dequantize=True)} if source.gguf_file else {}
    model: Any = AutoModelForCausalLM.from_pretrained(source.path, dtype=torch.float32, **source.load_arguments, **dense)
    tokenizer = load_tokenizer(LLMTrainingParams(model=name, trainer="sft"), source, needs_chat=True).tokenizer
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


def write_rows(config: str, folder: Path) -> None:
    """What the run of `config` will train on, and what it begins with.

    ROWS: for TRL.  STEPS: of each optimizer step, what is in it.  ADAPTER: the adapter before the first step.
    """
    params = load_config(config).params
    machine = choose_machine(params)
    objective = objectives.build(params.trainer, params.model_dump())
    with closing(prepare_data(params, find_base(params), objective)) as data:
        steps = [[data.train[index] for index in data.batches.step(step)] for step in range(data.batches.total_steps)]
        policy = load_model(
            params,
            find_base(params),
            vocabulary_size=len(data.tokenizer.tokenizer),
            new_token_ids=data.tokenizer.new_token_ids,
            device=machine.device,
            precision=machine.precision,
            quantization=None,
            seed=params.seed,
            head=objective.head,
            pad_token_id=_pad_of(data) if objective.head == "score" else None,
        )
    if policy.has_adapter:
        network: Any = policy.model
        network.save_pretrained(str(folder / ADAPTER), save_embedding_layers=False)
    rows = [row_of(example) for step in steps for example in step]
    (folder / ROWS).write_text(json.dumps(rows), encoding="utf-8")
    amounts = [amount_of(step, has_score=objective.head == "score") for step in steps]
    described = [
        {
            "tokens": sum(real_tokens(example) for example in step),
            "predictions": amount.predictions,
            "flops": _flops(policy, objective, amount),
        }
        for step, amount in zip(steps, amounts, strict=True)
    ]
    told = {"steps": described, "flops_per_second": matmul_rate(policy)}
    (folder / STEPS).write_text(json.dumps(told), encoding="utf-8")


def _flops(policy: Network, objective: Objective, amount: Amount) -> int:
    shapes = shapes_of(policy)
    if shapes is None:
        return 0
    return training_flops(shapes, amount, trains_base=not policy.has_adapter, has_reference=objective.needs_reference)


def _pad_of(data: Data) -> int | None:
    return choose_pad(data.tokenizer.tokenizer, data.tokenizer.stop_token_ids)


def row_of(example: Example) -> dict[str, list[int]]:
    """A row as TRL's trainers take it."""
    first, *answers = example.segments
    ids = [segment.ids.tolist() for segment in example.segments]
    if not answers:
        labels = [token if is_trained else -100 for token, is_trained in zip(ids[0], first.trained.tolist(), strict=True)]
        return {"input_ids": ids[0], "labels": labels}
    prompt, chosen, rejected = ids
    whole = {"chosen_input_ids": prompt + chosen, "rejected_input_ids": prompt + rejected}
    return {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected, **whole}


def real_tokens(example: Example) -> int:
    """Tokens that are no padding; of a pair both dialogues, prompt and all, whichever way it is computed."""
    first, *answers = example.segments
    return sum(len(first.ids) + len(answer.ids) for answer in answers) if answers else len(first.ids)


def amount_of(examples: Sequence[Example], *, has_score: bool = False) -> Amount:
    """What must be computed.  has_score: a prediction is one score a sequence."""
    predictions = sum(example.num_sequences for example in examples) if has_score else count(examples).tokens
    return Amount(sum(example.num_tokens for example in examples), predictions, attended_tokens(examples))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("rows", "model"))
    parser.add_argument("source", help="rows: the config; model: the model's name")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.what == "model":
        write_model(arguments.source, arguments.folder)
    else:
        write_rows(arguments.source, arguments.folder)


if __name__ == "__main__":
    main()
