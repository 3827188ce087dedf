"""Settings for who wants none of them: a fast try, balanced, best quality; by the method that is trained."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from autotrain.trainers.clm.params import ANSWERS

FAST, BALANCED, BEST = "fast", "balanced", "best"
PRESETS = (FAST, BALANCED, BEST)
# Methods that compare answers move a model with far smaller steps than those that imitate; all with LoRA.
_LEARNING_RATES: Mapping[str, float] = MappingProxyType(
    {
        "default": 2e-4,
        "sft": 2e-4,
        "reward": 1e-4,
        "orpo": 5e-5,
        "dpo": 2e-5,
        "ipo": 2e-5,
        "kto": 2e-5,
        "cpo": 1e-5,
        "simpo": 1e-5,
    }
)
_IMITATING = ("default", "sft")
_SHARED: Mapping[str, Any] = MappingProxyType({"peft": True, "mixed_precision": "auto"})
_OF: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        FAST: {"epochs": 1, "lora_r": 8, "lora_alpha": 16, "max_hours": 0.5},
        BALANCED: {"lora_r": 16, "lora_alpha": 32},
        BEST: {"lora_r": 64, "lora_alpha": 128, "scheduler": "cosine"},
    }
)
# (of methods that imitate, of others)
_EPOCHS: Mapping[str, tuple[int, int]] = MappingProxyType({FAST: (1, 1), BALANCED: (3, 1), BEST: (3, 2)})
_LONGEST_PROMPT = 512  # the class's own 128 cuts most questions


def preset_values(preset: str, trainer: str, *, has_validation: bool) -> dict[str, Any]:
    """The parameters that a preset sets, in the order in which a config would have them."""
    imitates = trainer in _IMITATING
    rate = _LEARNING_RATES[trainer] / (2 if preset == BEST else 1)
    values = {**_SHARED, "lr": rate, "epochs": _EPOCHS[preset][0 if imitates else 1], **_OF[preset]}
    if trainer in ANSWERS:
        values["max_prompt_length"] = _LONGEST_PROMPT
    if preset == BEST and has_validation:
        values["early_stopping_patience"] = 2
    return values
