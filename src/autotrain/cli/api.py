"""Serve on a machine in the cloud: train what its environment says, and show how far it is.

`/` and `/health` answer that it goes on, `/status` with stage, step, loss and time left.  The run is in the variables that
autotrain sets where it starts a machine (backend: spaces-...): HF_TOKEN, PARAMS and others.  At the end a Space is
paused, and the exit code is the run's.
"""

import argparse
import os
import signal
import time
from types import FrameType

from autotrain import log
from autotrain.errors import ConfigError

_POLL_SECONDS = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--port, --host, and AutoTrain's --task, which decides nothing."""
    parser.add_argument("--port", default="7860", help="port to serve at (default: 7860)")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve at (default: 127.0.0.1; on a Space 0.0.0.0)")
    parser.add_argument("--task", help="accepted for AutoTrain's callers; what is trained is in the variable PARAMS")


def run(args: argparse.Namespace) -> int:
    """Returns the exit code of the run, 0 if there was none."""
    from autotrain.api.remote import run_here
    from autotrain.api.server import serving
    from autotrain.api.watch import Watch
    from autotrain.cloud.environment import is_handed_over

    watch = Watch()
    with serving(watch, args.host, port_of(args.port)) as port:
        log.info(f"serving at http://{args.host}:{port}")
        if not is_handed_over(os.environ):
            wait_for_signal("there is nothing to train: the variable PARAMS isn't set")
            return 0
        ended = run_here(os.environ, watch)
        if ended.is_left_running:
            wait_for_signal()
        return ended.exit_code


def port_of(said: str) -> int:
    if not said.isascii() or not said.isdigit() or int(said) > 65535:
        raise ConfigError(f"--port: must be a number between 0 and 65535 (got '{said}')")
    return int(said)


def wait_for_signal(notice: str = "") -> None:
    """Until Ctrl-C or SIGTERM.  notice: is said once these are heard."""
    arrived: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        arrived.append(number)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    if notice:
        log.notice(notice)
    try:
        while not arrived:
            time.sleep(_POLL_SECONDS)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
