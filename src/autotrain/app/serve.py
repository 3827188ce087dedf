"""From settings to a server: the API, the pages, the guard in front."""

import importlib
import os
import pkgutil
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from autotrain import __version__, log
from autotrain.app.access import Password
from autotrain.app.guard import Guard
from autotrain.app.key import derived, page_key
from autotrain.app.settings import Settings
from autotrain.app.state import AppState, build_state

if TYPE_CHECKING:
    from fastapi import FastAPI

_STATIC = Path(__file__).parent / "static"
# A browser that lost its connection finds its page as it was within this time.
_RECONNECT_SECONDS = 120.0
_PING_SECONDS = 8
_SESSION_SECONDS = 30 * 86_400


def serve(settings: Settings, *, may_move: bool) -> None:
    """Serve until Ctrl-C or SIGTERM.  may_move: to a free port, if the wanted one is taken.

    Raises ConfigError and DeviceError.
    """
    from autotrain.app.listen import Server, listening

    if settings.on_space:
        os.environ.pop("HF_TOKEN", None)  # the Space's own, which no visitor's worker may inherit
    with listening(settings.host, settings.port, may_move=may_move) as (bound, port):
        state = build_state(settings)
        Server(build(state), bound, settings.prefix, lambda: greet(state, port), state.end_streams).run_bound()


def greet(state: AppState, port: int) -> None:
    """Say how one gets in, and where the page is."""
    settings = state.settings
    if isinstance(state.access, Password):
        _say_password(state.access, settings)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    log.info(f"serving at http://{host}:{port}{settings.prefix}")


def _say_password(access: Password, settings: Settings) -> None:
    if not settings.is_loopback:
        log.info("other machines reach this page, and what they send isn't encrypted: use it in a network that you trust")
    if access.token is None:
        log.info("a login is demanded; the password is the one in AUTOTRAIN_PASSWORD")
    else:
        # To the terminal, and past the log, which masks it.
        sys.stderr.write(f"a login is demanded; the password is {access.token.get_secret_value()}\n")
        sys.stderr.flush()


def build(state: AppState) -> "Guard":
    """The whole as one ASGI application.  Once a process: NiceGUI keeps its pages in its modules."""
    settings = state.settings
    os.environ["NICEGUI_STORAGE_PATH"] = str(settings.home / "page")  # read when NiceGUI is imported
    from nicegui import app as nicegui_app
    from nicegui import core, ui

    from autotrain.app.pages.frame import set_defaults

    api = build_api(state)
    for module in _modules("autotrain.app.pages", "register"):
        module.register(state)
    set_defaults()
    nicegui_app.config.quasar_config["loadingBar"]["skipHijack"] = True  # else a line creeps over the page at each request
    core.sio.eio.cors_allowed_origins = []  # the guard has looked; its own look fails behind a proxy with TLS
    is_framed = settings.on_space

    @nicegui_app.on_startup
    def notice_lost_connections_soon() -> None:  # pyright: ignore[reportUnusedFunction]
        core.sio.eio.ping_interval = core.sio.eio.ping_timeout = _PING_SECONDS  # NiceGUI sets its own when it starts

    ui.run_with(
        api,
        title="AutoTrain",
        favicon=_STATIC / "favicon.svg",
        storage_secret=derived(page_key(settings.home), "drafts"),
        dark=None,
        language="en-US",
        tailwind=False,
        reconnect_timeout=_RECONNECT_SECONDS,
        show_welcome_message=False,
        session_middleware_kwargs={
            "session_cookie": "autotrain-tab",
            "same_site": "none" if is_framed else "lax",
            "https_only": is_framed,
            "max_age": _SESSION_SECONDS,
        },
    )
    return Guard(api, settings, state.access, public=("/static/", f"/_nicegui/{_nicegui_version()}/"))


def build_api(state: AppState) -> "FastAPI":
    """The API alone, unguarded."""
    from fastapi import FastAPI
    from fastapi.staticfiles import StaticFiles

    from autotrain.app.pages import login
    from autotrain.app.rest.problems import PROBLEMS, add_problem_answers

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        state.start()
        try:
            yield
        finally:
            state.close()

    api = FastAPI(
        title="AutoTrain",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=lifespan,
    )
    add_problem_answers(api)
    for path in ("/health", "/api/health"):
        api.add_api_route(path, _health, include_in_schema=False)
    api.include_router(login.routes(state))
    for module in _modules("autotrain.app.rest", "routes"):
        api.include_router(module.routes(state), prefix="/api", responses=PROBLEMS)
    api.mount(f"/static/{__version__}", StaticFiles(directory=_STATIC))
    return api


def _health() -> str:
    return "OK"


def _modules(package: str, name: str) -> Iterator[ModuleType]:
    """Modules of `package` that have a function `name`."""
    folder = importlib.import_module(package)
    for found in pkgutil.iter_modules(folder.__path__):
        module = importlib.import_module(f"{package}.{found.name}")
        if name in vars(module):
            yield module


def _nicegui_version() -> str:
    from nicegui import __version__ as version

    return version
