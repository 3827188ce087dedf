"""How long a sequence may be: the settings, the tokenizer and the model agree on one number."""

from dataclasses import dataclass

from autotrain import log
from autotrain.errors import ConfigError
from autotrain.trainers.clm.params import LLMTrainingParams

DEFAULT_BLOCK_SIZE = 1024
# Tokenizers without a limit of their own report a huge one.
NO_LIMIT = 10_000_000


@dataclass(frozen=True, slots=True)
class Lengths:
    """In tokens.  block_size: longest sequence, the last of `sizes`; model_max_length: bound of all lengths."""

    block_size: int
    sizes: tuple[int, ...]
    model_max_length: int


def resolve_lengths(params: LLMTrainingParams, tokenizer_limit: int, model_limit: int | None) -> Lengths:
    """Settle block_size and model_max_length; what the user set is obeyed or refused, never changed in silence.

    model_limit: positions that the model has, where it has a limit.  Raises ConfigError.
    """
    own_limit, owner = _own_limit(tokenizer_limit, model_limit)
    longest = params.model_max_length
    if own_limit is not None and longest > own_limit:
        if params.is_explicit("model_max_length"):
            log.notice(f"model_max_length {longest} is lowered to {own_limit}, the limit of the {owner}")
        longest = own_limit
    sizes = params.block_size if isinstance(params.block_size, list) else [params.block_size]
    if sizes == [-1]:
        sizes = [min(DEFAULT_BLOCK_SIZE, longest)]
        if sizes[0] < min(DEFAULT_BLOCK_SIZE, params.model_max_length):
            log.notice(f"block_size is {sizes[0]}, the limit of the {owner}")
    largest = max(sizes)
    if own_limit is not None and largest > own_limit:
        raise ConfigError(
            f"block_size ({largest}) is larger than the limit of the {owner} ({own_limit} tokens); lower block_size"
        )
    if largest > longest:
        raise ConfigError(
            f"block_size ({largest}) must not be larger than model_max_length ({longest}); "
            "lower block_size or raise model_max_length"
        )
    return Lengths(largest, tuple(sorted(sizes)), longest)


def _own_limit(tokenizer_limit: int, model_limit: int | None) -> tuple[int | None, str]:
    if model_limit is not None:
        return model_limit, "model"
    return (tokenizer_limit, "tokenizer") if tokenizer_limit < NO_LIMIT else (None, "model")


@dataclass(frozen=True, slots=True)
class AnswerLengths:
    """In tokens.  prompt: its end is kept.  answer: its beginning is kept.  Together at most `block_size`.

    cuts: otherwise, whatever is longer is left out, and prompt and answer have no limit of their own.
    """

    prompt: int | None
    answer: int | None
    block_size: int
    cuts: bool


def resolve_answer_lengths(params: LLMTrainingParams, lengths: Lengths) -> AnswerLengths:
    """The limits of prompts and of answers to them, of each trainer.  Raises ConfigError.

    A reward model can't judge an answer that was cut.
    """
    block_size = lengths.block_size
    if params.trainer == "reward":
        return AnswerLengths(None, None, block_size, cuts=False)
    for name, value in (
        ("max_prompt_length", params.max_prompt_length),
        ("max_completion_length", params.max_completion_length),
    ):
        if value is not None and value > block_size and params.is_explicit(name):
            raise ConfigError(
                f"{name} ({value}) must not be larger than block_size ({block_size}); lower {name} or raise block_size"
            )
    longest_prompt = params.max_prompt_length
    if longest_prompt >= block_size and not params.is_explicit("max_prompt_length"):
        longest_prompt = max(1, block_size // 2)
        log.notice(
            f"max_prompt_length is {longest_prompt}, half of block_size, because {params.max_prompt_length}, its default, "
            "leaves no room for an answer"
        )
    return AnswerLengths(longest_prompt, params.max_completion_length, block_size, cuts=True)
