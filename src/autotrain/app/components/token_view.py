"""A text as the model sees it: token by token, what it is trained on in another colour and underlined."""

import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from nicegui import ui

from autotrain.app.words import t

_CSS = Path(__file__).with_suffix(".css")

Piece = Sequence[object]  # the text, and whether it is trained on
Part = tuple[str, Iterable[Piece]]


def token_view(parts: Iterable[Part], label: str) -> None:
    """parts: names, already in words, and the tokens of each."""
    ui.add_css(_CSS)
    text = "".join(_part(name, pieces) for name, pieces in parts)
    ui.html(text, sanitize=False).classes("at-tokens").props(f'tabindex=0 role=group aria-label="{html.escape(label)}"')


def token_legend() -> None:
    """What the colours mean."""
    ui.add_css(_CSS)
    spans = (("at-token at-token-on", "token.trained"), ("at-token", "token.read"))
    with ui.element("div").classes("at-row at-small"):
        for classes, key in spans:
            ui.html(f'<span class="{classes}">&nbsp;{html.escape(t(key))}&nbsp;</span>', sanitize=False)


def _part(name: str, pieces: Iterable[Piece]) -> str:
    title = f'<span class="at-token-part">{html.escape(name)}</span>' if name else ""
    return title + "".join(_token(str(piece[0]), is_trained=bool(piece[1])) for piece in pieces)


def _token(text: str, *, is_trained: bool) -> str:
    """Line ends are shown, since they are tokens too."""
    shown = html.escape(text).replace("\n", '<span class="at-token-end">↵</span>\n')
    return f'<span class="at-token{" at-token-on" if is_trained else ""}">{shown}</span>'
