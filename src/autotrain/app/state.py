"""What every page and route is handed: the settings, and the services behind them."""

from dataclasses import dataclass

from autotrain.app.access import Access, access_of
from autotrain.app.feeds import Feeds
from autotrain.app.previews import Previews
from autotrain.app.queue import Queue
from autotrain.app.results import Results
from autotrain.app.settings import Settings
from autotrain.app.talks import Talks
from autotrain.app.tokens import Tokens
from autotrain.app.uploads import Datasets
from autotrain.app.workspace import Workspace


@dataclass(frozen=True)
class AppState:
    """Made once, by `build_state`."""

    settings: Settings
    workspace: Workspace
    tokens: Tokens
    access: Access
    queue: Queue
    feeds: Feeds
    talks: Talks
    results: Results
    datasets: Datasets
    previews: Previews

    def start(self) -> None:
        """Begin what goes on beside requests; in the event loop, when serving starts."""
        self.queue.start()
        self.feeds.start()
        self.previews.start()

    def end_streams(self) -> None:
        """End the requests that would go on for long, before the server waits for those that are left."""
        self.talks.close()
        self.feeds.close()

    def close(self) -> None:
        """End it, when serving ends."""
        self.queue.close()
        self.feeds.close()
        self.results.close()
        self.talks.close()
        self.previews.close()


def build_state(settings: Settings, access: Access | None = None) -> AppState:
    """access: None for the one that the settings demand.  Raises ConfigError."""
    workspace = Workspace(settings.workspace)
    tokens = Tokens(is_shared=settings.on_space)
    queue = Queue(workspace, settings.capacity, tokens.current, settings.custom_models)
    talks = Talks(tokens)
    return AppState(
        settings=settings,
        workspace=workspace,
        tokens=tokens,
        access=access if access is not None else access_of(settings),
        queue=queue,
        feeds=Feeds(queue.is_stopping),
        talks=talks,
        results=Results(tokens, talks),
        datasets=Datasets(workspace, settings.upload_bytes),
        previews=Previews(workspace, tokens.current),
    )
