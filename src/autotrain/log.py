"""One logger: one line an event, rank 0 only, secrets masked."""

import logging
import os
import re
import sys
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import lru_cache

_LOGGER = logging.getLogger("autotrain")
_TOKEN_SHAPE = r"\bhf_[A-Za-z0-9]{8,}\b"
# A file opened late still gets the beginning; a run says some twenty lines before.
_NUM_EARLY_RECORDS = 500
_secrets: set[str] = set()
_said: set[str] = set()
_collected: list[list[str]] = []


def hide_secret(secret: str | None) -> None:
    """Mask `secret` in every line logged from now on."""
    if secret and len(secret) >= 4:
        _secrets.add(secret)


def mask(text: str) -> str:
    """Return `text` with known secrets, and anything shaped like a hub token, replaced by ****."""
    return _pattern(frozenset(_secrets)).sub(lambda found: "hf_****" if found["shaped"] else "****", text)


@lru_cache(maxsize=8)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str]:
    """The longest first: one secret may stand inside another, and no part of it may be left."""
    known = [re.escape(secret) for secret in sorted(secrets, key=len, reverse=True)]
    return re.compile("|".join([*known, f"(?P<shaped>{_TOKEN_SHAPE})"]))


class _StandardError(logging.Handler):
    """Writes to sys.stderr as it is at that moment: a progress bar on the terminal replaces it.

    That nobody reads it any more (a closed terminal, a pipe whose reader has left) is no fault of what is going on.
    """

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()


class _Early(logging.Handler):
    """Keeps what is said before there is a file to write it to."""

    def __init__(self) -> None:
        super().__init__()
        self.records: deque[logging.LogRecord] = deque(maxlen=_NUM_EARLY_RECORDS)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class _MaskingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


def start_logging() -> None:
    """Send the log to stderr; ranks other than 0 stay silent."""
    _said.clear()
    handler = _StandardError()
    handler.setFormatter(_MaskingFormatter("%(message)s"))
    handler.setLevel(logging.INFO)
    _LOGGER.handlers[:] = [handler, _Early()]
    _LOGGER.propagate = False
    _LOGGER.setLevel(logging.DEBUG if os.environ.get("RANK", "0") == "0" else logging.CRITICAL)


def add_log_file(path: str) -> logging.Handler:
    """Also append the log, with times, to the file at `path`; what was said before begins it."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(_MaskingFormatter("%(asctime)s %(message)s"))
    for early in [one for one in _LOGGER.handlers if isinstance(one, _Early)]:
        for record in early.records:
            handler.handle(record)
        _LOGGER.removeHandler(early)
    _LOGGER.addHandler(handler)
    return handler


def remove_log_file(handler: logging.Handler) -> None:
    """Undo `add_log_file`."""
    _LOGGER.removeHandler(handler)
    handler.close()


def info(message: str) -> None:
    """One line about the course of events."""
    _LOGGER.info(message)


def record(message: str) -> None:
    """One line for the log file alone: what the terminal shows in its own way."""
    _LOGGER.debug(message)


def notice(message: str) -> None:
    """One line the user should know, said once: a setting without effect, a value chosen for them."""
    for collected in _collected:
        collected.append(message)
    if message not in _said:
        _said.add(message)
        _LOGGER.warning("note: %s", message)


@contextmanager
def collect_notices() -> Generator[list[str]]:
    """Also gather what is noticed meanwhile, said before or not, so that it can be said again."""
    collected: list[str] = []
    _collected.append(collected)
    try:
        yield collected
    finally:
        _collected.remove(collected)


def error(message: str) -> None:
    """One line about what went wrong."""
    _LOGGER.error("error: %s", message)
