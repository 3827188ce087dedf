"""What a page shows follows what happens, as long as the page is there."""

from collections.abc import Callable

from nicegui import context

from autotrain.errors import RunFolderError

Watch = Callable[[Callable[[], None]], Callable[[], None]]


def follow(watch: Watch, update: Callable[[], None], lost: Callable[[], None]) -> None:
    """Call `update` when what `watch` looks at changed, in the page that is being built, until it is gone.

    lost: is called instead, once, when the run isn't in the list any more.
    """
    client, place = context.client, context.slot
    ends: list[Callable[[], None]] = []

    def changed() -> None:
        if client.is_deleted:
            return end()
        with place:
            try:
                update()
            except RunFolderError:
                end()
                lost()

    def end() -> None:
        while ends:
            ends.pop()()

    ends.append(watch(changed))
    client.on_delete(end)
