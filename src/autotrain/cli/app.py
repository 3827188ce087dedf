"""Serve the web page: in this version on a Space only, where it is a sign-in and no more yet.

`autotrain space create` makes such a Space.
"""

import argparse
import os

from autotrain import log
from autotrain.cli.api import port_of, wait_for_signal
from autotrain.cli.refused import app_refusal
from autotrain.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--port and --host; and AutoTrain's others, which are refused or decide nothing."""
    parser.add_argument("--port", default="7860", help="port to serve at (default: 7860)")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve at (default: 127.0.0.1; on a Space 0.0.0.0)")
    for option in ("--share", "--colab"):
        parser.add_argument(option, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--workers", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM.  Raises ConfigError anywhere but on a Space with sign-in."""
    refusal = app_refusal([f"--{name}" for name in ("share", "colab") if vars(args)[name]])
    if refusal or not os.environ.get("SPACE_ID"):
        raise ConfigError(refusal or "autotrain app: the web page is not in this version; use autotrain --config FILE")
    from autotrain.api.page import build_page
    from autotrain.api.server import serving_app

    with serving_app(lambda: build_page(os.environ), args.host, port_of(args.port)) as port:
        log.info(f"serving at http://{args.host}:{port}")
        wait_for_signal()
    return 0
