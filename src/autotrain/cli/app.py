"""Open the web page: train, watch and use models without a line of code.

It is for this machine's user and needs no account and no internet.  Served at another address it demands a login.
"""

import argparse
import os
from importlib.util import find_spec
from pathlib import Path

from pydantic import SecretStr

from autotrain import log
from autotrain.cli.api import port_of
from autotrain.cli.refused import app_refusal
from autotrain.errors import ConfigError
from autotrain.home import home

DEFAULT_PORT = 7860
PASSWORD_VARIABLE = "AUTOTRAIN_PASSWORD"
_MIN_PASSWORD = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where it is served, and what it works on; and AutoTrain's others, which are refused or decide nothing."""
    parser.add_argument("--port", help=f"port to serve at (default: {DEFAULT_PORT}, or the next free one)")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve at (default: 127.0.0.1, this machine only)")
    parser.add_argument("--workspace", default=".", metavar="FOLDER", help="folder of runs and data (default: this one)")
    parser.add_argument(
        "--password",
        action="store_true",
        help=f"demand a login on this machine too; the password is in {PASSWORD_VARIABLE}, or is made and printed",
    )
    parser.add_argument("--domain", action="append", default=[], metavar="NAME", help="a name that a proxy serves it under")
    parser.add_argument("--prefix", default="", metavar="PATH", help="a path that a proxy serves it under, such as /tuner")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at once on this machine (default: 1)")
    for option in ("--share", "--colab"):
        parser.add_argument(option, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--workers", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM.  Raises UserErrors."""
    refusal = app_refusal([f"--{name}" for name in ("share", "colab") if vars(args)[name]])
    if refusal:
        raise ConfigError(refusal)
    if find_spec("nicegui") is None:
        raise ConfigError("the page needs more libraries: pip install 'autotrain-llm[app]'")
    if args.workers not in (None, "1"):
        log.notice(f"--workers {args.workers} has no effect: the page is one process, and runs are processes of their own")
    from autotrain.app.serve import serve
    from autotrain.app.settings import Settings

    space = os.environ.get("SPACE_HOST", "") if os.environ.get("SPACE_ID") else ""
    settings = Settings(
        workspace=_workspace(args.workspace),
        home=home(),
        host=args.host,
        port=DEFAULT_PORT if args.port is None else port_of(args.port),
        password=_password(),
        demands_login=args.password,
        prefix=_prefix(args.prefix),
        domains=tuple(name.lower() for name in (*args.domain, *([space] if space else []))),
        capacity=_jobs(args.jobs),
        on_space=bool(os.environ.get("SPACE_ID")),
        custom_models=tuple(os.environ.get("AUTOTRAIN_CUSTOM_MODELS", "").replace(",", " ").split()),
    )
    serve(settings, may_move=args.port is None)
    return 0


def _password() -> SecretStr | None:
    said = os.environ.pop(PASSWORD_VARIABLE, "")  # workers don't inherit it
    if not said:
        return None
    log.hide_secret(said)
    if len(said) < _MIN_PASSWORD:
        raise ConfigError(f"{PASSWORD_VARIABLE}: at least {_MIN_PASSWORD} characters, so that it can't be guessed")
    return SecretStr(said)


def _workspace(said: str) -> Path:
    folder = Path(said).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ConfigError(f"--workspace {said}: {problem}; name a folder that can be written") from problem
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"--workspace {said}: can't be written; name another folder")
    return folder


def _prefix(said: str) -> str:
    if said and not all(part.replace("-", "").replace("_", "").isalnum() for part in said.strip("/").split("/")):
        raise ConfigError(f"--prefix: a path of letters, digits, - and _ such as /tuner (got '{said}')")
    return f"/{said.strip('/')}" if said.strip("/") else ""


def _jobs(said: int) -> int:
    if not 1 <= said <= 64:
        raise ConfigError(f"--jobs: must be between 1 and 64 (got {said})")
    return said
