"""Everything that is checked and made ready before a weight is loaded."""

import gc
import os
from dataclasses import dataclass
from datetime import date
from functools import partial

import torch

from autotrain import log
from autotrain.base_models import ModelSource, find_model
from autotrain.data.batches import Batches, make_batches
from autotrain.data.handover import Handover
from autotrain.data.lengths import Lengths, resolve_lengths
from autotrain.data.report import RowsReport
from autotrain.data.samples import Source, open_split
from autotrain.data.store import ExampleStore
from autotrain.data.tokenize import load_examples
from autotrain.data.tokenizer import LoadedTokenizer, load_tokenizer
from autotrain.models.load import Precision, choose_device, choose_precision, model_limit, read_model_config
from autotrain.models.quantize import Quantization, choose_quantization
from autotrain.objectives.base import Objective
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.training.place import Place
from autotrain.training.plan import total_memory_bytes


@dataclass(frozen=True)
class Machine:
    """Where and how it is computed.  num_sharing: processes of the run that share this device's memory."""

    device: torch.device
    precision: Precision
    quantization: Quantization | None
    num_sharing: int = 1

    @property
    def memory_bytes(self) -> int:
        """What this process may count on."""
        return total_memory_bytes(self.device) // self.num_sharing


@dataclass(frozen=True)
class Data:
    """What is trained and validated on, and how it got there.  num_devices: that a step's size was multiplied by."""

    train: ExampleStore
    valid: ExampleStore | None
    train_source: Source
    valid_source: Source | None
    batches: Batches
    tokenizer: LoadedTokenizer
    lengths: Lengths
    report: RowsReport
    fingerprint: dict[str, str]
    num_devices: int = 1

    @property
    def longest_example(self) -> int:
        """Tokens of the longest example to train or validate on."""
        return max(int(store.num_tokens.max()) for store in (self.train, self.valid) if store is not None)

    def close(self) -> None:
        self.train.close()
        if self.valid is not None:
            self.valid.close()
        self.report.close()


def choose_machine(params: LLMTrainingParams, place: Place | None = None) -> Machine:
    """Device, precision and quantization; raises DeviceError for what was asked for and can't be had.

    place: of this process among others, each of which takes a device.
    """
    device = choose_device(place.local if place else None)
    num_sharing = place.num_local if place and device.type != "cuda" else 1
    return Machine(device, choose_precision(params, device), choose_quantization(params, device), num_sharing)


def prepare_data(
    params: LLMTrainingParams,
    model: ModelSource,
    objective: Objective,
    day: date | None = None,
    handover: Handover | None = None,
    num_devices: int = 1,
) -> Data:
    """Read, recognise, tokenize.  Raises DataError, ConfigError, ModelError before any weight is loaded.

    day: what a template that writes the date takes for today, None for today.
    handover: where one process tokenizes for others.  num_devices: that share a step.
    """
    gc.freeze()  # what is there now stays: looking for garbage in it while rows are read costs a fifth of the time
    report = RowsReport()
    train_source = open_split(params, "train", objective.sample)
    valid_source = open_split(params, "valid", objective.sample) if params.valid_split else None
    config = read_model_config(model, os.environ.get("HF_TOKEN"))
    needs_chat = any(source.is_conversation for source in (train_source, valid_source) if source)
    tokenizer = load_tokenizer(params, model, needs_chat=needs_chat, day=day)
    limit = model_limit(config)
    lengths = resolve_lengths(params, tokenizer.tokenizer.model_max_length, limit)
    load = partial(load_examples, params, loaded=tokenizer, lengths=lengths, report=report, handover=handover)
    trains_prompt = objective.sequences_per_example == 3
    train = load(train_source, trains_prompt=trains_prompt)
    valid = load(valid_source, trains_prompt=trains_prompt) if valid_source else None
    fingerprint = {"train": train.fingerprint} | ({"valid": valid.fingerprint} if valid is not None else {})
    batches = make_batches(train, params, lengths, num_devices=num_devices)
    return Data(train, valid, train_source, valid_source, batches, tokenizer, lengths, report, fingerprint, num_devices)


def find_base(params: LLMTrainingParams) -> ModelSource:
    """The base model's place; says so when a short name stands for it."""
    source = find_model(params.model, trusts_code=params.trust_remote_code, takes_pickle=not params.use_safetensors)
    if source.gguf_file:
        log.info(f"base model: {params.model} ({source.gguf_file})")
    return source
