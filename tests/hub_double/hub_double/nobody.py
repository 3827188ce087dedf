"""A port where a hub should be: every connection is closed without a word."""

import socket
import threading
from contextlib import suppress
from typing import Self


class Nobody:
    """url: for HF_ENDPOINT. num_tries: connections until now."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.num_tries = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._close_all, name="nobody", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # it wakes who accepts, where the system lets it
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _close_all(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # closed
                return
            self.num_tries += 1
            connection.close()
