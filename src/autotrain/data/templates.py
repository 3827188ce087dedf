"""The chat templates that AutoTrain brings, and which one the settings ask for."""

from pathlib import Path
from types import MappingProxyType

from autotrain.errors import ConfigError
from autotrain.trainers.clm.params import LLMTrainingParams

CHATML = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
# Roles other than these three leave no trace, as in AutoTrain.
ZEPHYR_ROLES = ("system", "user", "assistant")
ZEPHYR = (
    "{%- for message in messages -%}"
    "{%- if message['role'] in ('system', 'user', 'assistant') -%}"
    "{{- '<|' + message['role'] + '|>\\n' + message['content'] + '</s>\\n' -}}"
    "{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>\\n' -}}{%- endif -%}"
)
BOS = "{{- bos_token -}}"

OWN_TEMPLATES = MappingProxyType({"chatml": CHATML, "zephyr": ZEPHYR})
# What each template needs as single tokens; the last one ends a turn.
TEMPLATE_TOKENS = MappingProxyType(
    {
        "chatml": ("<|im_start|>", "<|im_end|>"),
        "zephyr": ("<|user|>", "<|assistant|>", "<|system|>", "</s>"),
    }
)
NAMES = ("tokenizer", *OWN_TEMPLATES)


def check_chat_template(params: LLMTrainingParams) -> None:
    """Raise ConfigError unless chat_template is a known name, or a file that is there."""
    name = params.chat_template
    if name is not None and name not in NAMES and not Path(name).expanduser().is_file():
        raise ConfigError(
            f"data.chat_template: no file {name}; give the path to a Jinja file, none, or one of {', '.join(NAMES)}"
        )


def is_explicit_none(params: LLMTrainingParams) -> bool:
    """Whether the user said chat_template: none."""
    return params.chat_template is None and params.is_explicit("chat_template")
