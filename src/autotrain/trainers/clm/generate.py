"""The worker entry `generate`: chat, answers to prompts, scores of answers, merging, talks with a program.

Arguments: what to do, and a JSON object with the fields of the request (the front door has parsed the user's flags).
The hub token comes in the environment (HF_TOKEN).  Errors are worded and turned into exit codes by __main__.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from autotrain import log
from autotrain.errors import ConfigError, Interrupted, ModelError
from autotrain.trainers.clm.quiet import quiet_warnings


@dataclass(frozen=True)
class ChatRequest:
    """A conversation in the terminal with the model in `model`."""

    model: str
    base: bool = False
    system: str | None = None
    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 42


@dataclass(frozen=True)
class AnswersRequest(ChatRequest):
    """Answers to `prompt`, or to the prompts in the file `prompts`; as JSON lines into `output`, or onto standard output."""

    prompt: str | None = None
    prompts: str | None = None
    output: str | None = None


@dataclass(frozen=True)
class ScoreRequest:
    """The answers in the file `data`, scored by the reward model `model`, as JSONL into `output` or onto stdout."""

    model: str
    data: str
    output: str | None = None


def main(argv: Sequence[str]) -> int:
    """Do what `argv` asks: ["chat" | "answers" | "score" | "merge" | "talk", JSON]."""
    entries = {"chat": _chat, "answers": _answers, "score": _score, "merge": _merge, "talk": _talk}
    if len(argv) != 2 or argv[0] not in entries:
        raise ConfigError(
            "generate takes chat, answers, score or merge, and a JSON object; use autotrain chat | generate | score | tools"
        )
    _quiet_libraries()
    try:
        entries[argv[0]](json.loads(argv[1]))
    except ModelError as error:  # worded for a config: here nobody wrote that key
        raise ModelError(str(error).removeprefix("base_model: ")) from error
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted", signal.SIGINT) from error
    return 0


def _chat(fields: dict[str, Any]) -> None:
    from autotrain.output.chat import chat

    request = ChatRequest(**fields)
    loaded, settings = _load(request)
    chat(loaded, request.model, settings, system=request.system, base=request.base)


def _answers(fields: dict[str, Any]) -> None:
    from autotrain.output.prompts import read_prompts

    request = AnswersRequest(**fields)
    # Read before the model is loaded: a bad file costs no wait.
    prompts = read_prompts(Path(request.prompts)) if request.prompts else [request.prompt or ""]
    loaded, settings = _load(request)
    if request.output is None:
        _write_answers(loaded, settings, request, prompts, None)
        return
    with Path(request.output).open("w", encoding="utf-8") as file:
        _write_answers(loaded, settings, request, prompts, file)
    log.info(f"{len(prompts)} answers in {request.output}")


def _score(fields: dict[str, Any]) -> None:
    from autotrain.output.score import load_scorer, open_answers
    from autotrain.output.targets import find_target

    request = ScoreRequest(**fields)
    # Read before the model is loaded: a bad file costs no wait.
    answers = open_answers(Path(request.data), find_target(request.model))
    log.info(f"loading {request.model} …")
    scorer = load_scorer(request.model, token=os.environ.get("HF_TOKEN"))
    with Path(request.output).open("w", encoding="utf-8") if request.output else nullcontext(sys.stdout) as file:
        for line in scorer.lines(answers):
            file.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
            file.flush()


def _merge(fields: dict[str, Any]) -> None:
    from autotrain.trainers.clm.merge import merge

    merge(fields)


def _talk(fields: dict[str, Any]) -> None:
    from autotrain.trainers.clm.talk import talk

    talk(**fields)


def _load(request: ChatRequest) -> Any:
    """The model and the settings of its answers."""
    import torch

    from autotrain.output.generate import AnswerSettings, load_for_generation

    log.info(f"loading {request.model} …")
    loaded = load_for_generation(request.model, base=request.base, token=os.environ.get("HF_TOKEN"))
    torch.manual_seed(request.seed)  # now: loading draws random numbers, too
    return loaded, AnswerSettings(request.max_new_tokens, request.temperature, request.top_p)


def _write_answers(loaded: Any, settings: Any, request: AnswersRequest, prompts: Sequence[Any], file: TextIO | None) -> None:
    """One after another, each written whole before the next begins.

    Each prompt has a seed of its own, so that an answer doesn't hang on the prompts before it; tuned and base share it.
    """
    import torch

    from autotrain.output.answers import answer_writer
    from autotrain.output.generate import answer
    from autotrain.output.pieces import tidy

    write, progress = answer_writer(file, len(prompts)), _Progress(len(prompts), file)
    for number, prompt in enumerate(prompts):
        turns = _with_system(prompt, request.system) if loaded.is_chat else prompt
        try:
            torch.manual_seed(request.seed + number)
            line = {"prompt": prompt, "answer": tidy(answer(loaded, turns, settings))}
            if request.base:
                torch.manual_seed(request.seed + number)
                line["base_answer"] = tidy(answer(loaded, turns, settings, of_base=True))
        except KeyboardInterrupt as error:
            raise Interrupted(f"interrupted; {number} of {len(prompts)} answers were written", signal.SIGINT) from error
        write(line)
        progress.show(number + 1)


def _with_system(prompt: Any, system: str | None) -> Any:
    if not system:
        return prompt
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    if turns and turns[0].get("role") == "system":
        return turns
    return [{"role": "system", "content": system}, *turns]


class _Progress:
    """How many answers are done, on stderr: a line that is rewritten in a terminal, else a line now and then.

    Says nothing where the answers themselves come onto the terminal.
    """

    def __init__(self, total: int, file: TextIO | None) -> None:
        self._total = total
        self._start = time.monotonic()
        self._is_needed = total > 1 and not (file is None and sys.stdout.isatty())
        self._is_terminal = sys.stderr.isatty()

    def show(self, done: int) -> None:
        if not self._is_needed:
            return
        left_seconds = (time.monotonic() - self._start) / done * (self._total - done)
        line = f"{done} of {self._total} answers, about {left_seconds:.0f} s left"
        if self._is_terminal:
            sys.stderr.write(f"\r\x1b[K{line}" + ("\n" if done == self._total else ""))
            sys.stderr.flush()
        elif done == self._total or done % max(1, self._total // 10) == 0:
            log.info(line)


def _quiet_libraries() -> None:
    """Keep the libraries' own bars and remarks out of a conversation.  Works before they are imported."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    quiet_warnings()
