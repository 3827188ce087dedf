"""How many weights a base model has, by its configuration alone: no weight is read, and torch isn't needed."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from autotrain.base_models import EMBEDDED
from autotrain.hub.client import hub_errors

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CONFIG = "config.json"
# A model in a GGUF file has no config.json.
_EMBEDDED_CONFIGS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "smollm2-135m": {
            "model_type": "llama",
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "vocab_size": 49_152,
        }
    }
)
# Kinds whose layers have two matrices after attention instead of three.
_TWO_MATRICES = frozenset({"gpt2", "gpt_neo", "gpt_neox", "gptj", "opt", "phi", "bloom", "falcon", "starcoder2"})


def config_here(name: str) -> Mapping[str, Any] | None:
    """The configuration of an embedded model, of a local folder, or of one in this machine's cache; nobody is asked."""
    if name in EMBEDDED:
        return _EMBEDDED_CONFIGS.get(name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _read(folder / CONFIG)
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    with suppress(HFValidationError):
        cached = try_to_load_from_cache(name, CONFIG)
        return _read(Path(cached)) if isinstance(cached, str) else None
    return None


def config_on_hub(api: "HfApi", name: str) -> Mapping[str, Any] | None:
    """As `config_here`, else as the hub has it; None where it doesn't say: why is found and told by other checks."""
    found = config_here(name)
    if found is not None or Path(name).expanduser().exists():
        return found
    with suppress(*hub_errors()):
        return _read(Path(api.hf_hub_download(name, CONFIG)))
    return None


def num_weights(config: Mapping[str, Any]) -> int | None:
    """About; None for what isn't an ordinary transformer, such as one with experts, or doesn't say its sizes."""
    inside = config.get("text_config")
    told: dict[str, Any] = {**config, **(inside if isinstance(inside, dict) else {})}
    if any("expert" in name or name.startswith("ssm_") for name in told) or told.get("is_encoder_decoder"):
        return None
    width, layers, heads, words = (
        _size(told, *names)
        for names in (
            ("hidden_size", "n_embd"),
            ("num_hidden_layers", "n_layer"),
            ("num_attention_heads", "n_head"),
            ("vocab_size",),
        )
    )
    if not (width and layers and heads and words):
        return None
    inner = _size(told, "intermediate_size", "n_inner", "ffn_dim") or 4 * width
    head_size = _size(told, "head_dim") or width // heads
    keys = (_size(told, "num_key_value_heads") or heads) * head_size
    matrices = 2 if told.get("model_type") in _TWO_MATRICES else 3
    return layers * (2 * width * heads * head_size + 2 * width * keys + matrices * width * inner) + words * width


def _size(told: Mapping[str, Any], *names: str) -> int | None:
    found = next((told[name] for name in names if told.get(name) is not None), None)
    return found if isinstance(found, int) and found > 0 else None


def _read(file: Path) -> Mapping[str, Any] | None:
    with suppress(OSError, ValueError):
        found = json.loads(file.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None  # pyright: ignore[reportUnknownVariableType]
    return None
