"""A conversation in the terminal: styled and streamed there, plain lines where input or output is no terminal."""

import sys
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from autotrain import log
from autotrain.errors import DataError
from autotrain.output.generate import AnswerSettings, LoadedModel, Message, answer, encode

_HELP = "/reset begins anew, /quit leaves; Ctrl-C stops an answer, Ctrl-D leaves"


@dataclass
class Conversation:
    """The turns so far: one history for the tuned model, one for the base, as each saw its own answers."""

    system: str | None
    turns: list[Message] = field(default_factory=list[Message])
    base_turns: list[Message] = field(default_factory=list[Message])

    def with_question(self, question: str, *, of_base: bool) -> list[Message]:
        start: list[Message] = [{"role": "system", "content": self.system}] if self.system else []
        return [*start, *self._history(of_base), {"role": "user", "content": question}]

    def add(self, question: str, reply: str, *, of_base: bool) -> None:
        self._history(of_base).extend([{"role": "user", "content": question}, {"role": "assistant", "content": reply}])

    def drop_oldest(self, *, of_base: bool) -> bool:
        """Forget the oldest question and answer; False if there is none."""
        history = self._history(of_base)
        del history[:2]
        return bool(history)

    def reset(self) -> None:
        self.turns.clear()
        self.base_turns.clear()

    def _history(self, of_base: bool) -> list[Message]:
        return self.base_turns if of_base else self.turns


def chat(loaded: LoadedModel, name: str, settings: AnswerSettings, *, system: str | None, base: bool) -> None:
    """Read questions and write answers until the user leaves (/quit, end of input, Ctrl-C at the prompt)."""
    view = _StyledView() if sys.stdin.isatty() and sys.stdout.isatty() else _PlainView()
    view.open(name, loaded)
    conversation = Conversation(system)
    while True:
        question = view.ask()
        if question is None or question in ("/quit", "/exit"):
            return
        if question == "/reset":
            conversation.reset()
            view.remark("the conversation begins anew")
        elif question.startswith("/"):
            view.remark(_HELP)
        elif question:
            _reply(loaded, conversation, question, settings, view, base=base)


def _reply(
    loaded: LoadedModel, conversation: Conversation, question: str, settings: AnswerSettings, view: "_View", *, base: bool
) -> None:
    for of_base in (True, False) if base else (False,):
        view.begin(("base" if of_base else "tuned") if base else "")
        try:
            prompt = _fitting_prompt(loaded, conversation, question, settings, of_base=of_base)
            reply = answer(loaded, prompt, settings, on_text=view.write, of_base=of_base)
            conversation.add(question, reply.strip(), of_base=of_base)
        except KeyboardInterrupt:
            view.end()
            view.remark("stopped")
            return
        except DataError as error:
            view.end()
            log.error(str(error))
            return
        view.end()


def _fitting_prompt(
    loaded: LoadedModel, conversation: Conversation, question: str, settings: AnswerSettings, *, of_base: bool
) -> Any:
    """The messages, or the bare text for a model without template; the oldest turns go when the model's limit nears."""
    if not loaded.is_chat:
        return question
    while True:
        messages = conversation.with_question(question, of_base=of_base)
        ids, _ = encode(loaded, messages)
        if ids.shape[1] + settings.max_new_tokens <= loaded.max_tokens:
            return messages
        if not conversation.drop_oldest(of_base=of_base):
            return conversation.with_question(question, of_base=of_base)
        log.notice(f"the conversation nears the model's limit of {loaded.max_tokens} tokens; its oldest turn is forgotten")


class _PlainView:
    """Lines in, lines out: for pipes and files."""

    def open(self, name: str, loaded: LoadedModel) -> None:
        """Nothing: the output holds answers only."""

    def ask(self) -> str | None:
        line = sys.stdin.readline()
        return line.strip() if line else None

    def begin(self, label: str) -> None:
        sys.stdout.write(f"{label}: " if label else "")

    def write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def end(self) -> None:
        self.write("\n")

    def remark(self, text: str) -> None:
        log.info(text)


class _StyledView:
    """A terminal: coloured prompt, the answer as it comes."""

    def __init__(self) -> None:
        import readline  # noqa: F401  # pyright: ignore[reportUnusedImport]  line editing for input()

        self._console = Console(highlight=False)
        self._style = ""

    def open(self, name: str, loaded: LoadedModel) -> None:
        kind = "your messages are a user's turns" if loaded.is_chat else "your text is continued"
        self._console.print(f"[bold]{name}[/bold] [dim]({kind})[/dim]\n[dim]{_HELP}[/dim]")

    def ask(self) -> str | None:
        try:
            return self._console.input("\n[bold cyan]you ›[/bold cyan] ").strip()
        except (EOFError, KeyboardInterrupt):
            self._console.print()
            return None

    def begin(self, label: str) -> None:
        self._style = "dim" if label == "base" else ""
        self._console.print(f"[bold green]{label or 'model'} ›[/bold green] ", end="")

    def write(self, text: str) -> None:
        self._console.print(text, end="", markup=False, style=self._style, soft_wrap=True)

    def end(self) -> None:
        self._console.print()

    def remark(self, text: str) -> None:
        self._console.print(f"[dim]{text}[/dim]")


_View = _PlainView | _StyledView
