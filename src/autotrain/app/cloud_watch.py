"""Runs in the cloud, asked for every few seconds while they go on; what is heard goes into the registry and a log here."""

import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import SecretStr

from autotrain import log
from autotrain.cloud.live import ask, lines_of
from autotrain.errors import AutoTrainError
from autotrain.home import home
from autotrain.run_folder import write_text
from autotrain.runs import Entry
from autotrain.runs.registry import ENDED, entries

POLL_SECONDS = 15.0
_CLOSE_SECONDS = 2.0
_NUM_LINES = 20_000


def cloud_log(number: int) -> Path:
    """Where the log of a run in the cloud is kept on this machine, if it was heard of."""
    return home() / "logs" / f"cloud-{number}.log"


class CloudWatch:
    """token_of: the hub's token to ask for the run of this number with."""

    def __init__(self, token_of: Callable[[int], SecretStr | None]) -> None:
        self._token_of = token_of
        self._is_closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._work, name="cloud", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """A request that is on its way is waited for a moment: it still writes to the registry and the log."""
        self._is_closed.set()
        if self._thread:
            self._thread.join(_CLOSE_SECONDS)

    def look(self, known: Sequence[Entry]) -> None:
        """Ask for those that go on, as far as is known."""
        for entry in known:
            seen = entry.cloud.seen if entry.cloud else None
            if entry.cloud and (seen is None or seen.stage not in ENDED) and not self._is_closed.is_set():
                token = self._token_of(entry.id)
                ask(entry, token)
                _keep_log(entry, token)

    def _work(self) -> None:
        while not self._is_closed.is_set():
            try:
                self.look(entries())
            except AutoTrainError as problem:
                log.notice(str(problem))
            except Exception:  # noqa: BLE001  the outermost frame of the thread: the hub may answer otherwise next time
                log.error(f"runs in the cloud couldn't be asked for:\n{traceback.format_exc()}")
            self._is_closed.wait(POLL_SECONDS)


def _keep_log(entry: Entry, token: SecretStr | None) -> None:
    """A hub that can't be asked leaves the log as it was."""
    try:
        text = "".join(f"{log.mask(line)}\n" for line in lines_of(entry, _NUM_LINES, token))
    except AutoTrainError:
        return
    file = cloud_log(entry.id)
    if text and (not file.is_file() or file.read_text(encoding="utf-8") != text):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, text, waits_for_disk=False)
