"""An answer's text as it grows, in pieces that hold whole characters only."""

import time
from collections.abc import Callable, Sequence
from typing import Any

_INTERVAL_SECONDS = 0.04  # a reader sees no difference, and long answers aren't decoded anew for each token
_BROKEN = "\N{REPLACEMENT CHARACTER}"  # what the bytes of a character are until the last of them is there


def tidy(text: str) -> str:
    """An answer without the blanks around it, and without the half of a character that it was cut in."""
    return text.strip().rstrip(_BROKEN).rstrip()


class Pieces:
    """Decodes the tokens of one answer and hands on what is new."""

    def __init__(self, tokenizer: Any, on_text: Callable[[str], None]) -> None:
        self._tokenizer = tokenizer
        self._on_text = on_text
        self._sent = ""
        self._last = 0.0

    def show(self, ids: Sequence[int]) -> None:
        """ids: all tokens so far.  Hands on what is new of their text, now and then."""
        if time.monotonic() - self._last < _INTERVAL_SECONDS:
            return
        self._hand_on(self._decode(ids).rstrip(_BROKEN).lstrip())
        self._last = time.monotonic()

    def end(self, ids: Sequence[int]) -> str:
        """Hand on the rest; returns the whole text."""
        text = tidy(self._decode(ids))
        self._hand_on(text)
        return text

    def _hand_on(self, text: str) -> None:
        # Where a tokenizer tidies up behind itself, earlier text may change: then the whole comes at the end.
        if text.startswith(self._sent) and text != self._sent:
            self._on_text(text[len(self._sent) :])
            self._sent = text

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))
