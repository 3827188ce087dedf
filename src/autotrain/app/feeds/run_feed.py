"""One run, for everybody who looks at it: read once, however many tabs show it."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from autotrain.app.cloud_watch import cloud_log
from autotrain.app.feeds.known import Known, file_signature
from autotrain.app.feeds.lines import Found, Lines
from autotrain.app.feeds.rows import Page, Row, last_rows, page
from autotrain.app.feeds.series import Points, Series
from autotrain.app.feeds.tail import News, read_since
from autotrain.app.feeds.view import RunView, place_in_queue, view_entry
from autotrain.app.feeds.watch import Watches
from autotrain.app.inside import PATHS
from autotrain.config.written import command_text, config_text
from autotrain.errors import RunFolderError
from autotrain.run_folder import LEFT_OUT_FILE, METRICS_FILE, RUN_FILE, SAMPLES_FILE, STATE_FILE, read_json
from autotrain.runs import Entry
from autotrain.runs.logs import log_file
from autotrain.runs.parameters import raw_parameters
from autotrain.runs.processes import find_worker
from autotrain.runs.registry import NoSuchRun
from autotrain.trainers.clm.params import LLMTrainingParams

MAX_SAMPLES = 2_000
# A view asked for by many tabs at once is made once.
_FRESH_SECONDS = 0.1

Watcher = Callable[[], None]


class RunFeed:
    """See the package.  Every method raises NoSuchRun once the run is no longer in the registry."""

    pause_seconds = 0.0

    def __init__(self, number: int, known: Known, is_stopping: Callable[[int], bool], watches: Watches) -> None:
        self.number = number
        self._known, self._is_stopping, self.watches = known, is_stopping, watches
        self._log = Lines()
        self._series: Series | None = None
        self._era = object()  # another one after each change
        self._view: tuple[object, float, RunView] | None = None
        self._lock = threading.Lock()

    def view(self) -> RunView:
        """Where the run stands now."""
        had, era, begun = self._view, self._era, time.monotonic()
        if had and had[0] is era and begun - had[1] < _FRESH_SECONDS:
            return had[2]
        entry = self._entry()
        place = place_in_queue(entry, self._known.entries()) if entry.queued else 0
        view = view_entry(entry, position_in_queue=place, is_stopping=self._is_stopping(self.number))
        self._view = (era, begun, view)  # if anything has changed since, it is of an earlier era
        return view

    def watch(self, callback: Watcher) -> Watcher:
        """Call `callback` in the running event loop when anything changed, at most every 0.25 s; returns what ends that."""
        return self.watches.watch(self, callback)

    # Metrics

    def metric_names(self) -> list[str]:
        """In the order in which they appeared."""
        return self._metrics().names()

    def history(
        self, names: Sequence[str], first: float | None = None, last: float | None = None, points: int = 1000
    ) -> dict[str, Points]:
        """name -> [[step, value], ...] between two steps, thinned to about `points`; lowest and highest stay."""
        return self.history_from(names, first, last, points)[1]

    def history_from(
        self, names: Sequence[str], first: float | None = None, last: float | None = None, points: int = 1000
    ) -> tuple[int, dict[str, Points]]:
        """The same, and the position from which `since` goes on."""
        return self._metrics().history(names, first, last, points)

    def since(self, position: int) -> News:
        """Rows that came after `position`, the first few hundred of them."""
        return read_since(self.metrics_path(), position)

    def metrics_path(self) -> Path:
        """The file, whether it is there or not."""
        return self._entry().folder / METRICS_FILE

    # The log

    def log_path(self) -> Path | None:
        """The file, None if there's none (yet)."""
        entry = self._entry()
        if entry.cloud:
            file = cloud_log(entry.id)
            return file if file.is_file() else None
        return None if entry.queued else log_file(entry)

    def log_size(self) -> int:
        """Number of lines."""
        return self._log.size(self.log_path())

    def log_lines(self, first: int, count: int) -> list[str]:
        """Lines from number `first` on, counted from 0."""
        return self._log.lines(self.log_path(), first, count)

    def log_find(self, text: str, from_line: int, backwards: bool = False) -> Found:
        """The nearest line with `text`, of whatever case, and how many there are."""
        return self._log.find(self.log_path(), text, from_line, backwards)

    # What else lies in the folder

    def samples(self, most: int = MAX_SAMPLES) -> list[Row]:
        """The latest sample answers: {"step", "prompt", "reference", "answer"}."""
        return last_rows(self._entry().folder / SAMPLES_FILE, most)

    def left_out(self, offset: int = 0, limit: int = 100) -> Page:
        """Rows of the data that were left out or cut: {"split", "file", "line", "what", "reason", ...}."""
        return page(self._entry().folder / LEFT_OUT_FILE, offset, limit)

    def facts(self) -> Row:
        """What run.json says: sizes, memory, versions, times; {} before the first step."""
        return read_json(self._entry().folder / RUN_FILE)

    def params(self) -> LLMTrainingParams:
        """What the run was started with.  Raises RunFolderError if that isn't known, or written by another version."""
        entry = self._entry()
        values = raw_parameters(entry)
        if not values:
            raise RunFolderError(f"{entry.name}: what it was started with isn't known (any more)")
        try:
            return LLMTrainingParams(**values)
        except ValueError as problem:
            raise RunFolderError(f"{entry.name}: another version of AutoTrain started it: {problem}") from problem

    def params_to_repeat(self, place_to_be: Path) -> LLMTrainingParams:
        """The same for a run in `place_to_be`: paths that count from another folder, where this run was started, whole."""
        params, place = self.params(), self._entry().folder.parent
        if place == place_to_be:
            return params
        local = {name: place / value for name in PATHS if (value := getattr(params, name))}
        return params.model_copy(update={name: str(path) for name, path in local.items() if path.exists()})

    def config_yaml(self) -> str:
        """The run as a config file.  Raises as `params`."""
        return config_text(self.params(), self._entry().backend)

    def command(self) -> str:
        """The run as a command.  Raises as `params`."""
        return command_text(self.params(), self._entry().backend)

    # For Feeds

    def signature(self) -> tuple[object, ...]:
        """Differs when something changed.  Cheap: no file is read."""
        entry = self._entry()
        names = (STATE_FILE, METRICS_FILE, SAMPLES_FILE, LEFT_OUT_FILE)
        files = [file_signature(str(entry.folder / name)) for name in names]
        log = self.log_path()
        worker = find_worker(entry.pid, entry.born)
        queue = place_in_queue(entry, self._known.entries()) if entry.queued else 0
        is_paused = worker.is_paused if worker else None
        return entry, *files, file_signature(str(log)) if log else None, is_paused, queue, self._is_stopping(self.number)

    def forget_view(self) -> None:
        """What was seen is no longer so."""
        self._era = object()

    def _entry(self) -> Entry:
        entry = self._known.entry(self.number)
        if entry is None:
            raise NoSuchRun(self.number)
        return entry

    def _metrics(self) -> Series:
        file = self.metrics_path()
        with self._lock:
            if self._series is None or self._series.file != file:
                self._series = Series(file)
            return self._series
