"""Ports for programs that are told theirs before they open it."""

import random
import socket

_LOWEST, _HIGHEST = 20_000, 32_000  # the system gives those above 32767 to everybody who asks for any


def free_port() -> int:
    """One that nobody has, and that nobody gets by chance until it is opened."""
    while True:
        port = random.SystemRandom().randint(_LOWEST, _HIGHEST)
        with socket.socket() as trial:
            try:
                trial.bind(("", port))
            except OSError:
                continue
            return port
