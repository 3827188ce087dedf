"""Light or dark, as a browser chose it."""

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType

THEME_COOKIE = "autotrain-theme"
# Cookie -> what NiceGUI is told; "" follows the system.
THEMES: Mapping[str, bool | None] = MappingProxyType({"light": False, "dark": True, "": None})

# Of the request that is being answered; set by the guard.
request_theme: ContextVar[str] = ContextVar("request_theme", default="")


def theme_of(cookies: Mapping[str, str]) -> str:
    """light, dark or ""."""
    chosen = cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else ""
