"""Answers from a trained model, streamed as they come; optionally the answer of the model before training."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jinja2 import TemplateError
from peft import PeftModel
from transformers import GenerationConfig
from transformers.generation.stopping_criteria import StoppingCriteriaList
from transformers.generation.streamers import TextStreamer

from autotrain.errors import DataError, ModelError
from autotrain.models.embeddings import grow_to
from autotrain.models.precision import choose_device, choose_precision
from autotrain.output import bases
from autotrain.output.ends import generation_config_of, with_ends
from autotrain.output.targets import Target, find_target
from autotrain.trainers.clm.params import LLMTrainingParams

Message = Mapping[str, Any]
Prompt = str | Sequence[Message]
OnText = Callable[[str], None]
_DEFAULT_LIMIT = 2048


@dataclass(frozen=True)
class AnswerSettings:
    """temperature 0 is greedy.  max_new_tokens: tokens of an answer, at most."""

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to answer.  base_model: the same weights' state before training, if asked for and held apart.

    is_chat: whether a prompt is a user's turn; otherwise it is text to go on with.
    """

    model: Any
    tokenizer: Any
    generation_config: GenerationConfig
    is_chat: bool
    base_model: Any = None

    @property
    def max_tokens(self) -> int:
        """Longest sequence that the model was built for."""
        config = self.model.config.get_text_config()
        limit = config.to_dict().get("max_position_embeddings") or config.to_dict().get("n_positions")
        return int(limit or _DEFAULT_LIMIT)


def load_for_generation(name: str, *, base: bool = False, token: str | None = None) -> LoadedModel:
    """Load a run folder, an adapter, a model folder, a GGUF file, a hub id or an embedded model.

    base: the model before training must be at hand too (for an adapter it is the same one, the adapter switched off).
    Raises ModelError, RunFolderError.
    """
    target = find_target(name)
    if target.has_scores:
        raise ModelError(
            f"{name} is a reward model: it scores answers and writes none; use autotrain score {name} --data FILE"
        )
    if base and target.base is None:
        raise ModelError(f"--base: the model that {name} was made from isn't known; give a run folder or leave --base out")
    device = choose_device()
    tokenizer = bases.load_tokenizer(target.folder, target.model, token)
    model: Any = bases.load_base(target.model, dtype=_dtype_on(device), token=token)
    if target.adapter is not None:
        model = bases.attach(model, bases.read_adapter(target.adapter), len(tokenizer))
    base_model = load_base_beside(name, len(tokenizer), token) if base and target.adapter is None else None
    return LoadedModel(
        model=model.to(device).eval(),
        tokenizer=tokenizer,
        generation_config=_ends_of(target, model, tokenizer),
        is_chat=bool(tokenizer.chat_template) if target.is_chat is None else target.is_chat,
        base_model=base_model,
    )


def answer(
    loaded: LoadedModel,
    prompt: Prompt,
    settings: AnswerSettings,
    *,
    on_text: OnText | None = None,
    of_base: bool = False,
) -> str:
    """The answer to `prompt` (text, or messages), without special tokens; `on_text` receives it piece by piece."""
    ids, mask = encode(loaded, prompt)
    model = loaded.base_model if of_base and loaded.base_model is not None else loaded.model
    switched_off = model.disable_adapter() if of_base and isinstance(model, PeftModel) else nullcontext()
    streamer = _CallbackStreamer(loaded.tokenizer, on_text) if on_text else None
    with switched_off:
        output = continuation(model, loaded, (ids, mask), settings, streamer=streamer)
    return str(loaded.tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True))


def continuation(
    model: Any,
    loaded: LoadedModel,
    prompt: tuple[torch.Tensor, torch.Tensor],
    settings: AnswerSettings,
    stopping_criteria: StoppingCriteriaList | None = None,
    *,
    streamer: TextStreamer | None = None,
) -> torch.Tensor:
    """Token ids (1, tokens) of a prompt as `encode` gave it, and of the answer that `model` gives to it."""
    with torch.no_grad():
        return model.generate(
            input_ids=prompt[0],
            attention_mask=prompt[1],
            generation_config=_configure(loaded.generation_config, settings),
            stopping_criteria=stopping_criteria,
            streamer=streamer,
        )


def encode(loaded: LoadedModel, prompt: Prompt) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask (1, tokens) of a prompt, as training wrote it.  Raises DataError if the template refuses."""
    if not loaded.is_chat:
        text = prompt if isinstance(prompt, str) else as_text(prompt)
        encoded = loaded.tokenizer(text or loaded.tokenizer.bos_token or " ", return_tensors="pt")
        return encoded["input_ids"].to(loaded.model.device), encoded["attention_mask"].to(loaded.model.device)
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(turn) for turn in prompt]
    try:
        encoded = loaded.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
    except (TemplateError, TypeError) as error:
        roles = ", ".join(str(turn.get("role")) for turn in messages)
        raise DataError(f"the chat template refuses the conversation (roles: {roles}): {error}") from error
    return encoded["input_ids"].to(loaded.model.device), encoded["attention_mask"].to(loaded.model.device)


def as_text(messages: Sequence[Message]) -> str:
    """The contents of the messages, for a model without a chat template."""
    return "\n".join(str(turn.get("content") or "") for turn in messages)


def load_base_beside(name: str, num_tokens: int, token: str | None = None) -> Any:
    """The model that `name` was made from, with rows for `num_tokens` tokens, for a result that isn't an adapter.

    Raises ModelError.
    """
    source = find_target(name).base
    if source is None:
        raise ModelError(f"--base: the model that {name} was made from isn't known; give a run folder or leave --base out")
    device = choose_device()
    model: Any = bases.load_base(source, dtype=_dtype_on(device), token=token)
    grow_to(model, num_tokens)
    return model.to(device)


def _dtype_on(device: torch.device) -> torch.dtype:
    return choose_precision(LLMTrainingParams(mixed_precision="auto"), device).compute


def _ends_of(target: Target, model: Any, tokenizer: Any) -> GenerationConfig:
    if target.folder is not None and (target.folder / "generation_config.json").is_file():
        return with_ends(GenerationConfig.from_pretrained(target.folder), tokenizer)
    base: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    return with_ends(generation_config_of(base), tokenizer)


def _configure(ends: GenerationConfig, settings: AnswerSettings) -> GenerationConfig:
    sampling: dict[str, Any] = {"do_sample": False}
    if settings.temperature > 0:
        sampling = {"do_sample": True, "temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0}
    return GenerationConfig(
        max_new_tokens=settings.max_new_tokens,
        eos_token_id=ends.eos_token_id,
        pad_token_id=ends.pad_token_id,
        bos_token_id=ends.bos_token_id,
        **sampling,
    )


class _CallbackStreamer(TextStreamer):
    """Hands finished pieces of text to a function, in the thread that generates (so that Ctrl-C stops it)."""

    def __init__(self, tokenizer: Any, on_text: OnText) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._on_text = on_text

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        if text:
            self._on_text(text)
