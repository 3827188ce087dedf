"""A text as the model sees it: token by token, what it is trained on in another colour and underlined."""

import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from nicegui import ui

from autotrain.app.words import t

_CSS = Path(__file__).with_suffix(".css")

Piece = Sequence[object]  # the text, and whether it is trained on
LEARNT, AVOIDED = "on", "off"
# A name, already in words; the tokens; and what training does with those of them that count: LEARNT or AVOIDED.
Part = tuple[str, Iterable[Piece], str]


def token_view(parts: Iterable[Part], label: str) -> None:
    """The tokens of a row, part by part."""
    ui.add_css(_CSS)
    text = "".join(_part(name, pieces, effect) for name, pieces, effect in parts)
    ui.html(text, sanitize=False).classes("at-tokens").props(f'tabindex=0 role=group aria-label="{html.escape(label)}"')


def token_legend(*, compares: bool) -> None:
    """What the colours mean.  compares: better answers with worse ones."""
    ui.add_css(_CSS)
    counting = [(LEARNT, "token.better"), (AVOIDED, "token.worse")] if compares else [(LEARNT, "token.trained")]
    spans = [*((f"at-token at-token-{effect}", key) for effect, key in counting), ("at-token", "token.read")]
    with ui.element("div").classes("at-row at-small"):
        for classes, key in spans:
            ui.html(f'<span class="{classes}">&nbsp;{html.escape(t(key))}&nbsp;</span>', sanitize=False)


def _part(name: str, pieces: Iterable[Piece], effect: str) -> str:
    title = f'<span class="at-token-part">{html.escape(name)}</span>' if name else ""
    return title + "".join(_token(str(piece[0]), effect if piece[1] else "") for piece in pieces)


def _token(text: str, effect: str) -> str:
    """Line ends are shown, since they are tokens too."""
    shown = html.escape(text).replace("\n", '<span class="at-token-end">↵</span>\n')
    return f'<span class="at-token{f" at-token-{effect}" if effect else ""}">{shown}</span>'
