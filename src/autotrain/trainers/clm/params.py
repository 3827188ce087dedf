"""LLMTrainingParams: every parameter of a run, declared once.

Flags, the JSON Schema and docs/reference/parameters.md are made from these fields.
Each field carries its type, default, range, help text, and which trainers use it.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticKnownError

from autotrain.config.base import nearest, unknown_key_message
from autotrain.run_folder import write_text
from autotrain.trainers.clm.machines import MachineParams
from autotrain.trainers.clm.names import (
    ASKED_FAST_PATHS,
    FAST_PATHS,
    FOREIGN_NAMES,
    LOSS_TYPES,
    OPTIMIZERS,
    SCHEDULERS,
    SHORT_OPTIMIZERS,
    SHORT_SCHEDULERS,
)
from autotrain.trainers.clm.values import (
    Finite,
    Joined,
    Listed,
    Lower,
    OneOrSeveral,
    Optional,
    Sizes,
    field,
    joined_fast_paths,
    known,
)

Trainer = Literal["default", "sft", "reward", "dpo", "orpo", "ipo", "simpo", "cpo", "kto"]
# Trainers by what they are trained on or compare with.
PAIRS = ("reward", "dpo", "orpo", "ipo", "simpo", "cpo")
ANSWERS = ("dpo", "orpo", "ipo", "simpo", "cpo", "kto")
REFERRING = ("dpo", "ipo", "kto")
EXPLICIT_KEY = "set_by_user"
PARAMS_FILE = "training_params.json"
CHAT_TEMPLATES = ("zephyr", "chatml", "tokenizer")


def _kinds(annotation: Any) -> set[Any]:
    """The types that a union names."""
    return set(get_args(annotation)) or {annotation}


class LLMTrainingParams(MachineParams):
    """Parameters of one fine-tuning run.  Raises pydantic.ValidationError (a ValueError) on bad values."""

    # What is trained, on what, and where it goes
    model: str = field("gpt2", "Base model: a hub id, a local folder, a GGUF file, or smollm2-135m.", group="model")
    trust_remote_code: bool = field(
        False, "Run code that comes with the model; ALLOW_REMOTE_CODE=1 in the environment does the same.", group="model"
    )
    use_safetensors: bool = field(
        True, "Load weights from safetensors only; false: from pickled files too, which can run any code.", group="model"
    )
    project_name: str = field("project-name", "Name of the run, and the folder that it is written to.", group="model")
    trainer: Annotated[Trainer, Lower] = field("default", "Training method.", group="model")
    data_path: str = field("data", "A data file, a folder of files, or a hub data set.", group="data")
    train_split: str = field("train", "Split to train on: a file's stem, `split`, or `config:split`.", group="data")
    valid_split: Annotated[str | None, Optional] = field(
        None, "Split to validate on; without it there is no validation.", group="data"
    )
    text_column: str = field(
        "text", "Column with the text or the conversation (pairs: the chosen answer; kto: the answer).", group="data"
    )
    prompt_text_column: Annotated[str | None, Optional] = field(None, "Column with the prompt.", group="data")
    rejected_text_column: Annotated[str | None, Optional] = field(
        None, "Column with the rejected answer.", group="data", trainers=PAIRS
    )
    label_column: str = field(
        "label",
        "Column that says whether the answer is good: true or false, 1 or 0, yes or no.",
        group="data",
        trainers=("kto",),
    )
    chat_template: Annotated[str | None, Optional] = field(
        None,
        "How conversations become text: none, zephyr, chatml, tokenizer (the model's own), or a path to a Jinja file.",
        group="data",
    )
    train_on_prompt: bool = field(
        False, "Also train on the prompt and on the turns that aren't the assistant's.", group="data", trainers=("sft",)
    )
    skip_bad_rows: bool = field(False, "Leave malformed rows out and list them, instead of refusing the data.", group="data")
    add_eos_token: bool = field(True, "End each text with the end-of-sequence token.", group="data", trainers=("default",))

    # Lengths
    block_size: Annotated[int | list[int], Sizes] = field(
        -1,
        "Longest sequence; -1 is min(1024, model_max_length, the model's own limit). Of a list, the largest is the limit.",
        group="lengths",
        unit="tokens",
    )
    model_max_length: int = field(2048, "Upper bound for all lengths.", group="lengths", unit="tokens", gt=0)
    max_prompt_length: int = field(
        128, "Longest prompt; its end is kept.", group="lengths", trainers=ANSWERS, unit="tokens", gt=0
    )
    max_completion_length: Annotated[int | None, Optional] = field(
        None, "Longest answer; its beginning is kept.", group="lengths", trainers=ANSWERS, unit="tokens", gt=0
    )
    packing: bool = field(
        False,
        "Fill blocks of block_size with several rows, which never see each other; batch_size then counts blocks.",
        group="lengths",
        trainers=("sft",),
    )
    padding: Annotated[Literal["left", "right"] | None, Optional, Lower] = field(
        "right", "Padding side written into the saved tokenizer; training doesn't depend on it.", group="lengths"
    )

    # Optimisation
    lr: float = field(3e-5, "Highest learning rate.", group="optimisation", ge=0, allow_inf_nan=False)
    epochs: int = field(1, "Passes over the data.", group="optimisation", gt=0)
    batch_size: int = field(2, "Rows (pairs; blocks when packing) of a batch, per device.", group="optimisation", gt=0)
    gradient_accumulation: int = field(4, "Batches that make one optimizer step.", group="optimisation", gt=0)
    auto_find_batch_size: bool = field(
        False, "Search for the largest number of tokens that fits memory; the step stays the same.", group="optimisation"
    )
    optimizer: str = field("adamw_torch", "Optimizer, by its Hugging Face name.", group="optimisation")
    scheduler: str = field("linear", "Learning-rate schedule, by its Hugging Face name.", group="optimisation")
    warmup_ratio: float = field(
        0.1, "Share of the steps in which the learning rate rises.", group="optimisation", ge=0, le=1
    )
    weight_decay: float = field(0.0, "Weight decay; not applied to norms and biases.", group="optimisation", ge=0)
    max_grad_norm: float = field(1.0, "Gradients are scaled down to this norm; 0 leaves them.", group="optimisation", ge=0)
    seed: int = field(42, "Seed of data order, initial weights and dropout.", group="optimisation", ge=0, lt=2**32)

    # Adapters, precision, memory
    peft: bool = field(False, "Train a LoRA adapter instead of all weights.", group="adapter")
    lora_r: int = field(16, "Rank of the adapter.", group="adapter", gt=0)
    lora_alpha: int = field(32, "Scale of the adapter: alpha / r.", group="adapter", gt=0)
    lora_dropout: float = field(0.05, "Dropout before the adapter.", group="adapter", ge=0, lt=1)
    target_modules: Annotated[str | None, Joined, Optional] = field(
        "all-linear", "Layers that get an adapter: all-linear, or names with commas between.", group="adapter"
    )
    use_rslora: bool = field(False, "Scale by alpha / sqrt(r) (rsLoRA, arXiv 2312.03732).", group="adapter")
    use_dora: bool = field(False, "Train magnitude and direction apart (DoRA, arXiv 2402.09353).", group="adapter")
    merge_adapter: bool = field(False, "Merge the adapter into the base model at the end.", group="adapter")
    quantization: Annotated[Literal["int4", "int8"] | None, Optional, Lower] = field(
        "int4", "Hold the frozen base in 4 (nf4) or 8 bits; used with peft only.", group="adapter"
    )
    mixed_precision: Annotated[Literal["fp16", "bf16", "auto"] | None, Optional, Lower] = field(
        None, "Precision of the computation; auto takes what is fast and safe here.", group="adapter"
    )
    use_flash_attention_2: bool = field(False, "Ask for FlashAttention 2.", group="adapter")
    unsloth: bool = field(False, "Ask for unsloth's kernels.", group="adapter", trainers=("default", "sft"))
    disable_gradient_checkpointing: bool = field(
        False, "Never trade computation for memory; otherwise it is done where memory needs it.", group="adapter"
    )
    fast_paths: Annotated[str, Joined] = field(
        "auto",
        f"Faster computation, the same to rounding: auto, none, or of {', '.join((*FAST_PATHS, *ASKED_FAST_PATHS))}.",
        group="adapter",
    )

    # Preference training
    model_ref: Annotated[str | None, Optional] = field(
        None, "Reference model; without it, the base model.", group="preference", trainers=REFERRING
    )
    precompute_reference: bool = field(
        False,
        "Compute the reference's log-probabilities once, before training, and keep them on disk.",
        group="preference",
        trainers=REFERRING,
    )
    dpo_beta: float = field(
        0.1,
        "Strength of the pull to the reference (cpo has none: scale of the log-probabilities).",
        group="preference",
        trainers=(*REFERRING, "cpo"),
        gt=0,
    )
    loss_type: Annotated[str | list[str], OneOrSeveral] = field(
        "sigmoid", "Formula of DPO, or several of them, whose losses are added.", group="preference", trainers=("dpo",)
    )
    loss_weights: Annotated[list[Finite] | None, Listed, Optional] = field(
        None, "A weight for each of loss_type; without them, 1 each.", group="preference", trainers=("dpo",)
    )
    label_smoothing: float = field(
        0.0,
        "Probability that a pair's answers are the wrong way round; of sigmoid, sigmoid_norm, robust, aot and exo_pair "
        "(there 0 means 0.001).",
        group="preference",
        trainers=("dpo",),
        ge=0,
        lt=0.5,
    )
    rpo_alpha: float = field(
        0.0, "Weight of the chosen answers' NLL, added to the loss (RPO).", group="preference", trainers=("dpo", "ipo"), ge=0
    )
    orpo_beta: float = field(0.1, "Weight of the odds ratio.", group="preference", trainers=("orpo",), ge=0)
    orpo_nll_on_prompt: bool = field(
        False,
        "Train on the prompt too, as TRL does, not on the chosen answer alone.",
        group="preference",
        trainers=("orpo",),
    )
    simpo_beta: float = field(2.0, "Scale of the mean log-probabilities.", group="preference", trainers=("simpo",), gt=0)
    simpo_gamma: float = field(
        1.0, "Margin by which the chosen answer should lead, after scaling.", group="preference", trainers=("simpo",), ge=0
    )
    cpo_alpha: float = field(
        1.0, "Weight of the chosen answers' NLL, added to the loss.", group="preference", trainers=("cpo",), ge=0
    )
    kto_desirable_weight: float = field(1.0, "Weight of good answers.", group="preference", trainers=("kto",), ge=0)
    kto_undesirable_weight: float = field(1.0, "Weight of bad answers.", group="preference", trainers=("kto",), ge=0)
    reward_centering: float = field(
        0.0, "Weight of the term that keeps scores near 0; 0.01 is usual.", group="preference", trainers=("reward",), ge=0
    )

    # Watching, saving, stopping
    log: Annotated[str, Joined] = field(
        "none", "Trackers: none, tensorboard, wandb, trackio, mlflow; several with commas.", group="saving"
    )
    logging_steps: int = field(-1, "Steps between logged lines; -1 is steps / 20, between 1 and 25.", group="saving", ge=-1)
    eval_strategy: Annotated[Literal["epoch", "steps", "no"], Lower] = field(
        "epoch", "When to validate, if there is a valid_split.", group="saving"
    )
    eval_steps: Annotated[int | None, Optional] = field(
        None, "Steps between validations; implies eval_strategy: steps.", group="saving", gt=0
    )
    early_stopping_patience: Annotated[int | None, Optional] = field(
        None, "Stop after this many validations without a better eval_loss.", group="saving", gt=0
    )
    num_sample_prompts: int = field(3, "Prompts of the validation set answered at each validation.", group="saving", ge=0)
    save_strategy: Annotated[Literal["epoch", "steps", "no"], Lower] = field(
        "epoch", "When to write a checkpoint, beside one every 5 minutes; no: only the best.", group="saving"
    )
    save_steps: Annotated[int | None, Optional] = field(
        None, "Steps between checkpoints; implies save_strategy: steps.", group="saving", gt=0
    )
    save_total_limit: int = field(1, "Checkpoints kept, beside the best one.", group="saving", gt=0)
    max_hours: Annotated[float | None, Optional] = field(
        None, "Save and stop after this time.", group="saving", unit="hours", gt=0
    )

    # The Hugging Face Hub
    push_to_hub: bool = field(False, "Upload the result to the hub.", group="hub")
    username: Annotated[str | None, Optional] = field(None, "User or organisation that the result belongs to.", group="hub")
    token: Annotated[SecretStr | None, Optional] = field(None, "Hub token; never written anywhere.", group="hub")
    hub_private: bool = field(True, "Only the owner sees the repository; false: everyone does.", group="hub")
    hub_revision: Annotated[str | None, Optional] = field(
        None, "Branch of the repository that is pushed to; made if absent.", group="hub"
    )
    push_checkpoints: bool = field(
        False, "Upload checkpoints while training, so that another machine can go on with --resume.", group="hub"
    )

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, data: Any) -> Any:
        """Refuse unknown names; of a saved file, take only what the user had set."""
        if not isinstance(data, Mapping):
            return data
        data = dict(data)
        explicit = data.pop(EXPLICIT_KEY, None)
        if explicit is not None:
            data = {name: value for name, value in data.items() if name in explicit}
        unknown = [name for name in data if name not in cls.model_fields]
        if unknown:
            raise ValueError("; ".join(unknown_key_message(name, cls.model_fields, FOREIGN_NAMES) for name in unknown))
        return data

    @field_validator("*", mode="before")
    @classmethod
    def _check_switches(cls, value: Any, info: ValidationInfo) -> Any:
        """True is 1 to Python, but nobody means `lr: yes` so."""
        kinds = _kinds(cls.model_fields[str(info.field_name)].annotation)
        if value is True and bool not in kinds and {int, float} & kinds:
            raise PydanticKnownError("int_type" if int in kinds else "float_type")
        return value

    @field_validator("project_name")
    @classmethod
    def _check_project_name(cls, name: str) -> str:
        if not re.fullmatch(r"[^\W_]+(-+[^\W_]+)*-*", name) or len(name) > 50:
            raise ValueError("letters, digits and hyphens only, at most 50 of them, beginning with a letter or digit")
        return name

    @field_validator("block_size")
    @classmethod
    def _check_block_size(cls, size: int | list[int]) -> int | list[int]:
        sizes = size if isinstance(size, list) else [size]
        if not sizes or any(one != -1 and one < 2 for one in sizes) or (isinstance(size, list) and -1 in sizes):
            raise ValueError("-1, a number of tokens of at least 2, or a list of such numbers")
        return size

    @field_validator("chat_template")
    @classmethod
    def _check_chat_template(cls, name: str | None) -> str | None:
        if name is None or "/" in name or "." in name:
            return name
        if name.strip().lower() not in CHAT_TEMPLATES:
            guess = nearest(name, CHAT_TEMPLATES)
            hint = f"; did you mean '{guess}'?" if guess else ""
            raise ValueError(f"must be one of none, {', '.join(CHAT_TEMPLATES)}, or a path to a Jinja file{hint}")
        return name.strip().lower()

    @field_validator("fast_paths")
    @classmethod
    def _check_fast_paths(cls, value: str) -> str:
        return joined_fast_paths(value)

    @field_validator("optimizer")
    @classmethod
    def _check_optimizer(cls, name: str) -> str:
        return known(name, OPTIMIZERS, SHORT_OPTIMIZERS)

    @field_validator("scheduler")
    @classmethod
    def _check_scheduler(cls, name: str) -> str:
        return known(name, SCHEDULERS, SHORT_SCHEDULERS)

    @field_validator("log")
    @classmethod
    def _check_log(cls, log: str) -> str:
        names = [name.strip().lower() for name in log.split(",") if name.strip()]
        for name in names:
            if name not in TRACKERS:
                raise ValueError(f"no tracker '{name}'; allowed: {', '.join(TRACKERS)}")
        return ",".join(name for name in names if name != "none") or "none"

    @field_validator("loss_type")
    @classmethod
    def _check_loss_type(cls, given: str | list[str]) -> str | list[str]:
        names = [given] if isinstance(given, str) else given
        if not names or len(set(names)) < len(names):
            raise ValueError(f"one or several of {', '.join(LOSS_TYPES)}, each once")
        for name in names:
            known(name, frozenset(LOSS_TYPES))
        return given

    @model_validator(mode="after")
    def _check_loss_weights(self) -> "LLMTrainingParams":
        num_types = 1 if isinstance(self.loss_type, str) else len(self.loss_type)
        if self.loss_weights is not None and len(self.loss_weights) != num_types:
            raise ValueError(
                f"loss_weights has {len(self.loss_weights)} numbers for {num_types} of loss_type; give one for each"
            )
        return self

    @model_validator(mode="after")
    def _check_lengths(self) -> "LLMTrainingParams":
        broken = broken_length_rules(self)
        if broken:
            raise ValueError("; ".join(broken))
        return self

    @property
    def trackers(self) -> tuple[str, ...]:
        """Names of the trackers asked for."""
        return () if self.log == "none" else tuple(self.log.split(","))

    @property
    def target_module_names(self) -> str | list[str]:
        """As PEFT takes it: "all-linear", or the names."""
        if self.target_modules is None or self.target_modules.strip() == "all-linear":
            return "all-linear"
        return [name.strip() for name in self.target_modules.split(",") if name.strip()]

    def is_explicit(self, name: str) -> bool:
        """Whether the user set the field `name`, to whatever value."""
        return name in self.model_fields_set

    def to_json(self) -> str:
        """Everything but the token, and which fields the user had set."""
        values = self.model_dump(mode="json", exclude={"token"})
        explicit = sorted(self.model_fields_set - {"token"})
        return json.dumps({**values, EXPLICIT_KEY: explicit}, indent=2, ensure_ascii=False) + "\n"

    def save(self, output_dir: str | Path) -> Path:
        """Write training_params.json into `output_dir` (made if absent); never contains the token."""
        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / PARAMS_FILE
        write_text(path, self.to_json())
        return path


TRACKERS = ("none", "tensorboard", "wandb", "trackio", "mlflow")


def broken_length_rules(params: LLMTrainingParams) -> list[str]:
    """The five length rules, as far as the configuration alone decides; only values the user set can break one.

    block_size <= model_max_length; max_prompt_length and max_completion_length <= model_max_length and
    <= block_size.  The last four are checked for the trainers that use these fields.
    """
    rules = [("block_size", "model_max_length")]
    if params.trainer in ANSWERS:
        rules += [
            (length, bound)
            for length in ("max_prompt_length", "max_completion_length")
            for bound in ("model_max_length", "block_size")
        ]
    broken = []
    for length, bound in rules:
        value, limit = _largest(params, length), _largest(params, bound)
        if value is None or limit is None or not params.is_explicit(length):
            continue
        if value > limit and (params.is_explicit(bound) or bound == "model_max_length"):
            broken.append(f"{length} ({value}) must not be larger than {bound} ({limit}); lower {length} or raise {bound}")
    return broken


def _largest(params: LLMTrainingParams, name: str) -> int | None:
    value = getattr(params, name)
    if isinstance(value, list):
        return max(value)
    return None if value is None or value == -1 else int(value)
