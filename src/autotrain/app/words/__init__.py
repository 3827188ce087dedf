"""What the page says, in the language of who reads it.

A table is `words/<language>/<page>.py` with `WORDS`, whose keys begin with the page's name; tests hold the tables of both
languages equal.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache
from types import MappingProxyType

ENGLISH, CHINESE = "en", "zh"
LANGUAGES = MappingProxyType({ENGLISH: "English", CHINESE: "中文"})
LANGUAGE_COOKIE = "autotrain-language"

# Of the request that is being answered; set by the guard.
request_language: ContextVar[str] = ContextVar("request_language", default=ENGLISH)


def t(key: str, **values: object) -> str:
    """The text `key` with `values` put in, in the language of the page that is being built or of the request."""
    return _table(language())[key].format_map(values)


def translated(key: str) -> str | None:
    """The text `key` in the language of the page, or None if its table lacks it (a parameter's help in English)."""
    return _table(language()).get(key)


def as_said(problem: object) -> str:
    """A sentence of the program itself, which is English: marked as that for readers of another language."""
    text = str(problem)
    return text if not text or "。" in text else t("errors.as_said", text=text)


def language() -> str:
    """en or zh: of the page whose function runs, or of the request."""
    page = _page_language()
    return page if page is not None else request_language.get()


def language_of(cookies: Mapping[str, str], accepted: str) -> str:
    """What a browser asks for.  accepted: its header Accept-Language."""
    chosen = cookies.get(LANGUAGE_COOKIE)
    if chosen is not None and chosen in LANGUAGES:
        return chosen
    wanted = (part.partition(";")[0].strip().lower()[:2] for part in accepted.split(","))
    return next((code for code in wanted if code in LANGUAGES), ENGLISH)


def _page_language() -> str | None:
    from nicegui import context

    # A task of its own (a timer, a callback of a run) has the page, but not the request.
    if not context.slot_stack:
        return None
    request = context.client._request  # pyright: ignore[reportPrivateUsage]  # None on NiceGUI's own pages
    return language_of(request.cookies, request.headers.get("accept-language", "")) if request else None


@cache
def _table(code: str) -> Mapping[str, str]:
    package = importlib.import_module(f"{__name__}.{code}")
    words: dict[str, str] = {}
    for module in pkgutil.iter_modules(package.__path__):
        words |= importlib.import_module(f"{package.__name__}.{module.name}").WORDS
    return MappingProxyType(words)
