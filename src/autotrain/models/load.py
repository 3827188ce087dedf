"""Load a base model and make a Policy, or a ScorePolicy, of it."""

import contextlib
import copy
import functools
import io
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GgufConfig,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from autotrain import log
from autotrain.base_models import ModelSource
from autotrain.errors import ModelError
from autotrain.models.adapters import add_adapter, leave_casting_to_autocast
from autotrain.models.embeddings import grow_to
from autotrain.models.failures import explained
from autotrain.models.fast.onednn import use_onednn
from autotrain.models.fast.switch import fast_paths_of
from autotrain.models.forward import Policy
from autotrain.models.kernels import library as kernels
from autotrain.models.network import Network
from autotrain.models.precision import Precision, choose_device, choose_precision
from autotrain.models.quantize import Quantization, keep_plain_layout, quantization_config
from autotrain.models.score import SCORE_HEAD, ScorePolicy, check_has_scores, with_one_score
from autotrain.trainers.clm.params import LLMTrainingParams

__all__ = ["Precision", "choose_device", "choose_precision", "load_model", "model_limit", "read_model_config"]

Head = Literal["causal", "score"]

_ROPE_BY_LONGEST = ("longrope", "dynamic")  # frequencies depend on the longest position of the batch


def read_model_config(source: ModelSource, token: str | None) -> PretrainedConfig:
    """The base model's configuration.  Raises ModelError where there is none, or where it is no causal language model."""
    with explained(source.path):
        config = _read_gguf_config(source) if source.gguf_file else _read_config(source, token)
    _check_is_causal(config, source)
    return config


def _read_config(source: ModelSource, token: str | None) -> PretrainedConfig:
    return AutoConfig.from_pretrained(source.path, token=token, **source.load_arguments)


def _read_gguf_config(source: ModelSource) -> PretrainedConfig:
    return copy.deepcopy(_read_gguf_config_once(source))


@functools.lru_cache(maxsize=2)
def _read_gguf_config_once(source: ModelSource) -> PretrainedConfig:
    """Reading it takes seconds, since the whole vocabulary stands before the weights."""
    return _read_config(source, None)


def model_limit(config: PretrainedConfig) -> int | None:
    """The most tokens of a sequence that this model takes, None where it sets no limit.

    Where rotary frequencies change with the longest sequence of a batch, it is the length up to which they don't: beyond,
    a loss would depend on how batches are cut.
    """
    fields = config.get_text_config().to_dict()
    named = [fields.get(name) for name in ("max_position_embeddings", "n_positions", "max_seq_len")]
    limits = [size for size in named if isinstance(size, int) and size > 0]
    rope = _rope_limit(config)
    return min([*limits[:1], *([rope] if rope else [])], default=None)


def _rope_limit(config: PretrainedConfig) -> int | None:
    fields = config.get_text_config().to_dict()
    rope: Any = fields.get("rope_parameters") or fields.get("rope_scaling") or {}
    settings: list[dict[str, Any]] = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    for setting in settings:
        if setting.get("rope_type", setting.get("type")) in _ROPE_BY_LONGEST:
            original = setting.get("original_max_position_embeddings") or fields.get("original_max_position_embeddings")
            return int(original or fields["max_position_embeddings"])
    return None


def load_model(
    params: LLMTrainingParams,
    source: ModelSource,
    *,
    vocabulary_size: int,
    new_token_ids: Sequence[int],
    device: torch.device,
    precision: Precision,
    quantization: Quantization | None,
    seed: int,
    head: Head = "causal",
    pad_token_id: int | None = None,
) -> Network:
    """The base model on `device`, with an adapter if params.peft, self-tested: a Policy, or with head "score" a ScorePolicy.

    A frozen base is held in the precision of the computation; what is trained is float32.  The same seed gives the same
    adapter and the same new score head; a base's own head of one score is kept.  pad_token_id: with head "score", what
    `choose_pad` found.  Raises ModelError.
    """
    fast = fast_paths_of(params)
    use_onednn(fast.onednn and device.type == "cpu")
    kernels.allow(fast.kernels)
    config = read_model_config(source, _token(params))
    if head == "score":
        check_has_scores(config, source)
        config = with_one_score(config, pad_token_id)
    torch.manual_seed(seed)
    dtype = precision.compute if params.peft else torch.float32
    model = load_pretrained(params, source, config, head=head, dtype=dtype, device=device, quantization=quantization)
    grow_to(model, vocabulary_size)
    torch.manual_seed(seed)
    kind = ScorePolicy if head == "score" else Policy
    if params.peft:
        adapted = add_adapter(model, params, new_token_ids, has_scores=head == "score", fast=fast)
        if precision.autocast:
            leave_casting_to_autocast(adapted)
        return kind(adapted, precision, _rope_limit(config), fast)
    model.requires_grad_(True)
    return kind(model, precision, _rope_limit(config), fast)


def load_frozen(
    params: LLMTrainingParams,
    source: ModelSource,
    *,
    vocabulary_size: int,
    device: torch.device,
    precision: Precision,
    quantization: Quantization | None,
) -> Policy:
    """A model to compare with: in the precision of the computation, without gradient, in evaluation mode."""
    config = read_model_config(source, _token(params))
    model = load_pretrained(
        params, source, config, head="causal", dtype=precision.compute, device=device, quantization=quantization
    )
    grow_to(model, vocabulary_size)
    return Policy(model.requires_grad_(False), precision, _rope_limit(config), fast_paths_of(params)).eval()


def _token(params: LLMTrainingParams) -> str | None:
    return params.token.get_secret_value() if params.token else None


def load_pretrained(
    params: LLMTrainingParams,
    source: ModelSource,
    config: PretrainedConfig,
    *,
    head: Head,
    dtype: torch.dtype,
    device: torch.device,
    quantization: Quantization | None,
) -> PreTrainedModel:
    """transformers' own model, its own dropout off; the configuration, which is saved with the result, keeps its values.

    A shared prompt would share its dropout, and batches couldn't be cut freely.
    """
    dropout = _dropout_of(config)
    silent = _with_dropout(config, [(part, name, 0.0) for part, name, _ in dropout])
    with explained(source.path):
        model = _load_weights(source, silent, head, dtype, device, quantization, _token(params))
    _set_dropout(model.config, dropout)
    _announce(config, dropout)
    return model


def _load_weights(
    source: ModelSource,
    config: PretrainedConfig,
    head: Head,
    dtype: torch.dtype,
    device: torch.device,
    quantization: Quantization | None,
    token: str | None,
) -> PreTrainedModel:
    loader: Any = AutoModelForSequenceClassification if head == "score" else AutoModelForCausalLM
    made = SCORE_HEAD if head == "score" else None
    arguments: dict[str, Any] = {"config": config, "dtype": dtype}
    stored = {"token": token, **source.weight_arguments}
    quantized: dict[str, Any] = {}
    if quantization:
        left_whole = [made] if made else None
        quantized = {
            "quantization_config": quantization_config(quantization, dtype, left_whole=left_whole),
            "device_map": {"": device},
        }
    if source.gguf_file:
        dense = {"quantization_config": GgufConfig(dequantize=True)}
        model = _from_pretrained(loader, source.path, made, **arguments, **stored, **dense)
        if quantization:  # transformers can't read GGUF and quantize in one go
            model = _from_pretrained(type(model), None, None, **arguments, **quantized, state_dict=model.state_dict())
    else:
        model = _from_pretrained(loader, source.path, made, **arguments, **stored, **quantized)
    if quantization:
        keep_plain_layout(model)
        return model
    return model.to(device)  # pyright: ignore[reportArgumentType]


def _from_pretrained(loader: Any, path: str | None, made: str | None, **arguments: Any) -> PreTrainedModel:
    """Load a model; raises ModelError where the file lacks some of its weights, which transformers only logs.

    made: a module that is made anew where the file has none, or one of another size.
    """
    with _bars_on_terminals_only():
        model, info = loader.from_pretrained(
            path, output_loading_info=True, ignore_mismatched_sizes=made is not None, **arguments
        )
    lacking = {*info["missing_keys"], *(str(name[0]) for name in info["mismatched_keys"])}
    missing = sorted(name for name in lacking if made is None or not name.startswith(f"{made}."))
    if missing:
        raise ModelError(f"base_model: the file lacks weights of its own model: {', '.join(missing[:3])}")
    return model


@contextmanager
def _bars_on_terminals_only() -> Generator[None]:
    """Keep transformers' progress bars out of files and pipes, where each of their updates would be a line."""
    if sys.stderr.isatty():
        yield
        return
    was_shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # reading GGUF shows its bar whatever the switch says
            yield
    finally:
        if was_shown:
            transformers_logging.enable_progress_bar()


# Kinds that the library would load as a causal model, though their weights look both ways.
_NOT_CAUSAL = ("MaskedLM", "ForPreTraining", "TokenClassification", "QuestionAnswering", "ForMultipleChoice")


def _check_is_causal(config: PretrainedConfig, source: ModelSource) -> None:
    fields = config.to_dict()
    kinds: list[str] = config.architectures or []
    is_known = type(config) in AutoModelForCausalLM._model_mapping  # pyright: ignore[reportPrivateUsage]
    is_known = is_known or "AutoModelForCausalLM" in (fields.get("auto_map") or {})
    is_other = bool(kinds) and all(kind.endswith(_NOT_CAUSAL) for kind in kinds)
    if fields.get("is_encoder_decoder") or is_other or not is_known:
        raise ModelError(
            f"base_model: {source.path} is a {kinds[0] if kinds else config.model_type}, not a causal language model, and "
            "can't be trained to continue text; choose a model whose kind ends in ForCausalLM"
        )


Dropout = tuple[str, str, float]  # sub-configuration ("" for the whole), field, value


def _dropout_of(config: PretrainedConfig) -> list[Dropout]:
    """The dropouts that a configuration asks for."""
    parts = {"": config, **{name: getattr(config, name) for name in config.sub_configs}}
    return [
        (part, name, value)
        for part, settings in parts.items()
        if isinstance(settings, PretrainedConfig)
        for name, value in settings.to_dict().items()
        if "drop" in name and isinstance(value, float) and value > 0
    ]


def _with_dropout(config: PretrainedConfig, dropout: Sequence[Dropout]) -> PretrainedConfig:
    """A copy of the configuration with other dropouts."""
    changed = copy.deepcopy(config)
    _set_dropout(changed, dropout)
    return changed


def _set_dropout(config: PretrainedConfig, dropout: Sequence[Dropout]) -> None:
    for part, name, value in dropout:
        setattr(getattr(config, part) if part else config, name, value)


def _announce(config: PretrainedConfig, dropout: Sequence[Dropout]) -> None:
    if dropout:
        log.notice(f"dropout of the base model ({', '.join(name for _, name, _ in dropout)}) is off")
    if config.get_text_config().to_dict().get("router_aux_loss_coef"):
        log.notice("the router's auxiliary loss is off: it would depend on how a step is cut into batches")
