"""The tokenizer, with the chat template and the special tokens that it needs."""

import os
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from huggingface_hub.errors import HTTPError
from jinja2.exceptions import TemplateError, TemplateSyntaxError
from transformers import AddedToken, AutoTokenizer

from autotrain import log
from autotrain.base_models import ModelSource, code_refusal
from autotrain.data.chat import ChatTemplate
from autotrain.data.templates import BOS, OWN_TEMPLATES, TEMPLATE_TOKENS, check_chat_template
from autotrain.errors import ConfigError, ModelError
from autotrain.hub.client import fault_of
from autotrain.hub.look import reaching
from autotrain.trainers.clm.params import LLMTrainingParams


@dataclass(frozen=True)
class LoadedTokenizer:
    """tokenizer: with the template installed, padding side and pad token set.

    template: "tokenizer", "chatml", "zephyr" or "jinja": what conversations are rendered with; None: no conversations.
    new_token_ids: ids whose embedding rows are new and must be trained.
    eos_token_id: ends a text, or an assistant's turn.  stop_token_ids: where generation should stop, that one first.
    prefix_ids: what the tokenizer puts before a text by habit, such as BOS.
    day: what templates that write the date take for today, all through the run and after it is resumed.
    """

    tokenizer: Any
    template: str | None
    new_token_ids: tuple[int, ...]
    eos_token_id: int
    stop_token_ids: tuple[int, ...]
    prefix_ids: tuple[int, ...]
    day: date = field(default_factory=date.today)


def load_tokenizer(
    params: LLMTrainingParams, source: ModelSource, *, needs_chat: bool, day: date | None = None
) -> LoadedTokenizer:
    """Load the tokenizer of `source`.  needs_chat: the data are conversations.  day: see LoadedTokenizer; None is today.

    Raises ModelError if it can't be had, ConfigError for a template that can't be read.
    """
    check_chat_template(params)
    tokenizer = _load(source)
    prefix_ids = _habit(tokenizer)
    template, new_token_ids = None, ()
    if needs_chat:
        template, new_token_ids = _install_template(tokenizer, params.chat_template or "tokenizer", prefix_ids)
    end_of_turn_id = _end_of_turn(tokenizer) if needs_chat else None
    if tokenizer.eos_token_id is None and end_of_turn_id is not None:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end_of_turn_id)
    if tokenizer.eos_token_id is None:
        raise ModelError(f"{source.path}: the tokenizer has no end-of-sequence token, and without it no text can end")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if params.padding is not None:
        tokenizer.padding_side = params.padding
    eos_token_id = int(tokenizer.eos_token_id) if end_of_turn_id is None else end_of_turn_id
    stop_token_ids = tuple(dict.fromkeys((eos_token_id, int(tokenizer.eos_token_id))))
    return LoadedTokenizer(tokenizer, template, new_token_ids, eos_token_id, stop_token_ids, prefix_ids, day or date.today())


def _load(source: ModelSource) -> Any:
    token = os.environ.get("HF_TOKEN")
    try:
        with reaching(source.path):
            return AutoTokenizer.from_pretrained(source.path, **source.load_arguments, token=token)
    except (OSError, ValueError, KeyError, ImportError, HTTPError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        if "trust_remote_code" in str(error):
            raise ModelError(f"base_model: {code_refusal(source.path)}") from error
        fault = None if Path(source.path).exists() else fault_of(error)
        why = fault.text if fault else " ".join(lines[:3])
        raise ModelError(f"base_model: the tokenizer of {source.path} can't be loaded: {why}") from error


def _habit(tokenizer: Any) -> tuple[int, ...]:
    """What the tokenizer puts before a text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return tuple(whole[:start])
    return ()


def _install_template(tokenizer: Any, wanted: str, prefix_ids: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Set the tokenizer's chat template; returns its name and the ids of tokens that it adds."""
    if wanted == "tokenizer" and not tokenizer.chat_template:
        log.notice("the tokenizer has no chat template of its own: chatml is used")
        wanted = "chatml"
    if wanted in OWN_TEMPLATES:
        renders_bos = tokenizer.bos_token_id is not None and tokenizer.bos_token_id in prefix_ids
        tokenizer.chat_template = (BOS if renders_bos else "") + OWN_TEMPLATES[wanted]
        new_token_ids = _add_missing(tokenizer, TEMPLATE_TOKENS[wanted])
        tokenizer.eos_token = TEMPLATE_TOKENS[wanted][-1]
        return wanted, new_token_ids
    if wanted == "tokenizer":
        return wanted, ()
    try:
        tokenizer.chat_template = Path(wanted).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"data.chat_template: {wanted} can't be read: {error}") from None
    _check_syntax(tokenizer, wanted)
    return "jinja", ()


def _check_syntax(tokenizer: Any, file: str) -> None:
    """Raise ConfigError with the line if the template read from `file` is no Jinja."""
    try:
        tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False)
    except TemplateSyntaxError as error:
        raise ConfigError(f"data.chat_template: {file}:{error.lineno}: not valid Jinja: {error.message}") from None
    except (TemplateError, TypeError, ValueError):
        return  # it needs more than one turn; the data will show


def _add_missing(tokenizer: Any, tokens: tuple[str, ...]) -> tuple[int, ...]:
    """Make each of `tokens` one token; returns the ids that didn't exist before."""
    known = tokenizer.get_vocab()
    broken = [
        token for token in tokens if len(tokenizer(token, add_special_tokens=False)["input_ids"]) != 1 or token not in known
    ]
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in broken], special_tokens=True)
    new_tokens = [token for token in broken if token not in known]
    if new_tokens:
        log.notice(f"tokens added for the chat template, their embeddings will be trained: {' '.join(new_tokens)}")
    return tuple(int(tokenizer.convert_tokens_to_ids(token)) for token in new_tokens)


def _end_of_turn(tokenizer: Any) -> int | None:
    """The special token with which the template closes an assistant's turn, if it does."""
    closing = ChatTemplate(tokenizer).closing()
    for token_id in tokenizer(closing, add_special_tokens=False)["input_ids"] if closing else []:
        if token_id in tokenizer.all_special_ids or token_id in tokenizer.added_tokens_decoder:
            return int(token_id)
    log.notice("the chat template closes an assistant's turn with no special token: the model won't learn where to stop")
    return None
