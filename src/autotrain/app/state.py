"""What every page and route is handed: the settings, and the services behind them."""

from dataclasses import dataclass

from autotrain.app.access import Access, access_of
from autotrain.app.settings import Settings
from autotrain.app.tokens import Tokens
from autotrain.app.workspace import Workspace


@dataclass(frozen=True)
class AppState:
    """Made once, by `build_state`."""

    settings: Settings
    workspace: Workspace
    tokens: Tokens
    access: Access

    def start(self) -> None:
        """Begin what goes on beside requests; in the event loop, when serving starts."""

    def close(self) -> None:
        """End it, when serving ends."""


def build_state(settings: Settings, access: Access | None = None) -> AppState:
    """access: None for the one that the settings demand.  Raises ConfigError."""
    return AppState(
        settings=settings,
        workspace=Workspace(settings.workspace),
        tokens=Tokens(is_shared=settings.on_space),
        access=access if access is not None else access_of(settings),
    )
