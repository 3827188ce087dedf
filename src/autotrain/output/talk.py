"""Answers to several people at once from one loaded model, tuned and base, each streamed and stopped for itself."""

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers.generation.stopping_criteria import StoppingCriteria, StoppingCriteriaList

from autotrain.errors import DataError
from autotrain.output.generate import AnswerSettings, LoadedModel, Message, Prompt, continuation, encode
from autotrain.output.pieces import Pieces
from autotrain.output.turns import Turns

ENDED, CUT, STOPPED = "end", "length", "stopped"


@dataclass(frozen=True)
class Question:
    """What is asked.  messages: the conversation, the question last.  of_base: ask the model before training."""

    messages: Sequence[Message]
    settings: AnswerSettings
    seed: int = 42
    system: str | None = None
    of_base: bool = False


@dataclass(frozen=True)
class Reply:
    """reason: why it ended, `end`, `length` or `stopped`.  num_forgotten: oldest messages that were left out to fit."""

    text: str
    reason: str
    num_tokens: int
    num_prompt_tokens: int
    num_forgotten: int = 0


class _Stopped(Exception):
    """Asked to stop within a step."""


class Talker:
    """One loaded model.  `reply` may be called from several threads at once."""

    def __init__(self, loaded: LoadedModel, load_base: Callable[[], Any] | None = None) -> None:
        """load_base: loads the model before training, where it isn't the same one with its adapter off."""
        self._loaded = loaded
        self._load_base = load_base
        self._turns = Turns()
        self._switch = _AdapterSwitch(loaded.model)
        self._current = threading.local()
        _before_layers(loaded.model, self._leave_if_stopped)

    def reply(self, question: Question, on_text: Callable[[str], None], stop: threading.Event) -> Reply:
        """The answer, the same as `answer` gives after `torch.manual_seed`; `on_text` receives it in pieces.

        Raises DataError for a conversation that the template refuses or that is too long.
        """
        with self._turns.turn():
            model = self._model_for(question)
            prompt = _fitting(self._loaded, question)
            torch.manual_seed(question.seed)
            step = _AfterStep(prompt.num_tokens, Pieces(self._loaded.tokenizer, on_text), stop, self._pause(question))
            self._current.stop = stop
            with suppress(_Stopped):
                continuation(model, self._loaded, (prompt.ids, prompt.mask), prompt.settings, StoppingCriteriaList([step]))
        text = step.pieces.end(step.ids)
        return Reply(text, self._reason(step, stop), len(step.ids), prompt.num_tokens, prompt.num_forgotten)

    def _model_for(self, question: Question) -> Any:
        """The model that answers, its adapter on or off."""
        loaded = self._loaded
        if question.of_base and not self._switch.has_adapter:
            if loaded.base_model is None:
                self._loaded = loaded = replace(loaded, base_model=self._base())
                _before_layers(loaded.base_model, self._leave_if_stopped)
            return loaded.base_model
        self._switch.set(is_off=question.of_base)
        return loaded.model

    def _base(self) -> Any:
        if self._load_base is None:
            raise DataError("the model before training isn't known, so it can't be asked")
        return self._load_base()

    def _pause(self, question: Question) -> Callable[[], None]:
        """What an answer does after each step: let others have the model, and find it again as it was."""

        def pause() -> None:
            if not self._turns.is_over():
                return
            with _random_state(self._loaded.model.device):
                self._turns.wait_again()
            self._model_for(question)

        return pause

    def _reason(self, step: "_AfterStep", stop: threading.Event) -> str:
        ends = self._loaded.generation_config.eos_token_id
        if step.ids and step.ids[-1] in (ends if isinstance(ends, list) else [ends]):
            return ENDED
        return STOPPED if stop.is_set() else CUT

    def _leave_if_stopped(self, module: nn.Module, inputs: Any) -> None:
        """Between layers: reading a long prompt is one step, and nobody waits for its end."""
        stop = getattr(self._current, "stop", None)
        if stop is not None and stop.is_set():
            raise _Stopped


@dataclass(frozen=True)
class _Fitted:
    ids: Tensor  # (1, tokens)
    mask: Tensor  # (1, tokens)
    settings: AnswerSettings
    num_forgotten: int

    @property
    def num_tokens(self) -> int:
        return self.ids.shape[1]


def _fitting(loaded: LoadedModel, question: Question) -> _Fitted:
    """The question as tokens; the oldest turns go, then the answer gets shorter, where the model's limit nears."""
    turns, settings, system = list(question.messages), question.settings, question.system
    if turns and turns[0].get("role") == "system":
        system = str(turns.pop(0).get("content") or "")
    num_forgotten = 0
    while True:
        ids, mask = encode(loaded, _prompt(loaded, turns, system))
        room = loaded.max_tokens - ids.shape[1]
        if room >= settings.max_new_tokens or len(turns) <= 1:
            break
        dropped = 2 if len(turns) > 2 else 1
        del turns[:dropped]
        num_forgotten += dropped
    if room < 1:
        raise DataError(
            f"the message has {ids.shape[1]:,} tokens with what belongs to it, and the model takes {loaded.max_tokens:,} "
            "at most, its answer included; shorten it"
        )
    return _Fitted(ids, mask, replace(settings, max_new_tokens=min(settings.max_new_tokens, room)), num_forgotten)


def _prompt(loaded: LoadedModel, turns: Sequence[Message], system: str | None) -> Prompt:
    """As `autotrain generate` asks: messages, or for a model without template the last text alone."""
    if not loaded.is_chat:
        return str(turns[-1].get("content") or "") if turns else ""
    return [{"role": "system", "content": system}, *turns] if system else turns


class _AfterStep(StoppingCriteria):
    """Called with all tokens after each step of an answer."""

    def __init__(self, num_prompt: int, pieces: Pieces, stop: threading.Event, pause: Callable[[], None]) -> None:
        self.ids: list[int] = []
        self.pieces = pieces
        self._num_prompt = num_prompt
        self._stop = stop
        self._pause = pause

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.ids.extend(input_ids[0, self._num_prompt + len(self.ids) :].tolist())
        self.pieces.show(self.ids)
        self._pause()
        return torch.tensor([self._stop.is_set()], device=input_ids.device)


class _AdapterSwitch:
    """Switches a model's adapter off and on; costs something only when it changes."""

    def __init__(self, model: Any) -> None:
        self.has_adapter = isinstance(model, PeftModel)
        self._model = model
        self._off: Any = None

    def set(self, *, is_off: bool) -> None:
        if not self.has_adapter or is_off == (self._off is not None):
            return
        if is_off:
            self._off = self._model.disable_adapter()
            self._off.__enter__()
        else:
            self._off.__exit__(None, None, None)
            self._off = None


@contextmanager
def _random_state(device: torch.device) -> Generator[None]:
    """What sampling draws from is afterwards as it was."""
    states = torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        if states[1] is not None:
            torch.cuda.set_rng_state(states[1], device)


def _before_layers(model: nn.Module, hook: Callable[[nn.Module, Any], None]) -> None:
    for module in model.modules():
        if isinstance(module, nn.ModuleList):
            for layer in module:
                layer.register_forward_pre_hook(hook)
