"""The small server beside a run: `/` and `/health` as AutoTrain had them, and `/status`."""

import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from autotrain.api.watch import IDLE, PUSHING, STARTING, Watch
from autotrain.cloud.report import FAILED, FINISHED, STOPPED
from autotrain.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.applications import Starlette

_TRAINED = "Your model is being trained..."  # AutoTrain's words
_SENTENCES = MappingProxyType(
    {
        IDLE: "There is nothing to train here.",
        STARTING: _TRAINED,
        PUSHING: "Your model is trained and waits to be uploaded; see /status.",
        FINISHED: "Your model is trained; see /status.",
        FAILED: "The training failed; see /status.",
        STOPPED: "The training was stopped; see /status.",
    }
)
_START_SECONDS, _POLL_SECONDS = 30.0, 0.01


def build_app(watch: Watch) -> "FastAPI":
    """The application: says where `watch`'s run stands, and takes nothing."""
    from fastapi import FastAPI

    def root() -> str:
        return _SENTENCES.get(watch.status().stage, _TRAINED)

    def health() -> str:
        return "OK"

    def status() -> dict[str, Any]:
        return asdict(watch.status())

    app = FastAPI(title="AutoTrain", docs_url=None, redoc_url=None, openapi_url=None)
    for path, answer in (("/", root), ("/health", health), ("/status", status)):
        app.add_api_route(path, answer, methods=["GET"])
    return app


@contextmanager
def serving(watch: Watch, host: str, port: int) -> Generator[int]:
    """Serve where `watch`'s run stands.  See `serving_app`."""
    with serving_app(lambda: build_app(watch), host, port) as port_had:
        yield port_had


@contextmanager
def serving_app(make_app: "Callable[[], Starlette]", host: str, port: int) -> Generator[int]:
    """Serve in a thread of its own, so that the run has the main one, and with it the signals.

    Yields the port, which is chosen if `port` is 0.  Raises ConfigError if the libraries aren't there, and DeviceError if
    the port can't be had.
    """
    missing = [name for name in ("fastapi", "uvicorn") if find_spec(name) is None]
    if missing:
        raise ConfigError(f"serving needs {' and '.join(missing)}: pip install 'autotrain-llm[api]'")
    with _bound(host, port) as listening:
        server, thread = _start(make_app(), listening)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(_START_SECONDS)


def _bound(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as problem:
        raise DeviceError(
            f"--host {host} --port {port}: can't be served there ({problem}); choose another --port"
        ) from problem


def _start(app: "Starlette", listening: socket.socket) -> "tuple[Any, threading.Thread]":
    """A running server and its thread."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="server", daemon=True)
    thread.start()
    started = time.monotonic()
    while not server.started:
        if not thread.is_alive() or time.monotonic() - started > _START_SECONDS:
            raise DeviceError("the server doesn't start; it says above why")
        time.sleep(_POLL_SECONDS)
    return server, thread
