"""Where an answer ends: the token ids that stop generation, and the generation config that names them."""

from copy import deepcopy
from typing import Any

from jinja2 import TemplateError
from transformers import GenerationConfig, PreTrainedModel

_ANSWER = "an answer"


def generation_config_of(model: PreTrainedModel) -> GenerationConfig:
    """The model's own generation config."""
    config = model.generation_config
    return config if isinstance(config, GenerationConfig) else GenerationConfig.from_model_config(model.config)


def end_of_turn_id(tokenizer: Any) -> int | None:
    """The special token that the template writes right after an assistant's answer; None without one."""
    if not tokenizer.chat_template:
        return None
    turns = [{"role": "user", "content": "a question"}, {"role": "assistant", "content": _ANSWER}]
    try:
        text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    except TemplateError:
        return None
    ids = tokenizer(text[text.rfind(_ANSWER) + len(_ANSWER) :], add_special_tokens=False)["input_ids"]
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    return next((index for index in ids if index in special), None)


def with_ends(config: GenerationConfig, tokenizer: Any, *first_ids: int | None) -> GenerationConfig:
    """A copy of `config` that stops at each known end: `first_ids`, the template's, the tokenizer's, its own."""
    own = config.eos_token_id
    own_ids = own if isinstance(own, list) else [own]
    candidates = [*first_ids, end_of_turn_id(tokenizer), tokenizer.eos_token_id, *own_ids]
    ends = list(dict.fromkeys(index for index in candidates if index is not None))
    result = deepcopy(config)
    result.eos_token_id = ends
    if tokenizer.pad_token_id is not None:
        result.pad_token_id = tokenizer.pad_token_id
    elif ends:
        result.pad_token_id = ends[0]
    if result.bos_token_id is None:
        result.bos_token_id = tokenizer.bos_token_id
    if _samples(result):
        result.do_sample = True  # transformers refuses to save sampling settings beside greedy decoding
    return result


def _samples(config: GenerationConfig) -> bool:
    return config.temperature not in (None, 1.0) or config.top_p not in (None, 1.0) or config.top_k not in (None, 0, 50)
