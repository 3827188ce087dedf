"""The port, and the server on it."""

import errno
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import uvicorn

from autotrain import log
from autotrain.errors import DeviceError

# How long requests that go on are waited for at the end.
_SHUTDOWN_SECONDS = 2
_NUM_NEXT_PORTS = 20


@contextmanager
def listening(host: str, port: int, *, may_move: bool) -> Generator[tuple[socket.socket, int]]:
    """A socket at `host`, and its port: `port`, or a free one for 0.

    may_move: to one of the next ports if it is taken.  Raises DeviceError.
    """
    wanted = range(port, min(port + _NUM_NEXT_PORTS, 65536)) if may_move and port else (port,)
    bound = next((one for one in map(lambda number: _bound(host, number), wanted) if one is not None), None)
    if bound is None:
        raise DeviceError(
            f"--port {port}: something is served there already, another page maybe; end it, or choose another --port"
        )
    with bound:
        number = bound.getsockname()[1]
        if port not in (0, number):
            log.notice(f"port {port} is taken; this page has {number}")
        yield bound, number


def _bound(host: str, port: int) -> socket.socket | None:
    """None if the port is taken.  Raises DeviceError if the address can't be had at all."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as problem:
        if isinstance(problem, OSError) and problem.errno == errno.EADDRINUSE:
            return None
        raise DeviceError(f"--host {host} --port {port}: can't be served there ({problem}); choose another") from problem


class Server(uvicorn.Server):
    """Serves `application` on a socket until Ctrl-C or SIGTERM.

    when_ready: called once it answers.  when_ending: called before requests that go on are waited for, to end those that
    would go on for long.
    """

    def __init__(
        self,
        application: Any,
        bound: socket.socket,
        prefix: str,
        when_ready: Callable[[], None],
        when_ending: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                workers=1,
                proxy_headers=False,
                root_path=prefix,
                access_log=False,
                log_level="warning",
                timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            )
        )
        self._bound, self._when_ready, self._when_ending = bound, when_ready, when_ending

    def run_bound(self) -> None:
        self.run(sockets=[self._bound])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._when_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._when_ending()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """As the parent does it, but to be ended by a signal is a good end: it isn't raised again."""
        previous = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
