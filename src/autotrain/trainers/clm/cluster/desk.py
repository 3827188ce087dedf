"""Where the driver of a run on a Ray cluster and the processes that train leave word for each other.

It is an actor of its own, since a driver behind ray:// can't be called.  Nothing here waits: both sides come and look.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from autotrain.trainers.clm.cluster.files import Gone, Moved, Piece
from autotrain.training.ending import Ending


@dataclass(frozen=True)
class Said:
    """What a process wrote to its standard output, or to its standard error."""

    text: str
    is_error: bool


@dataclass(frozen=True)
class Ended:
    """How a process of the `attempt`-th start (from 0) ended; `ending.rank` counts all processes of the run."""

    attempt: int
    ending: Ending


@dataclass(frozen=True)
class Began:
    """The workers have found each other, for the `attempt`-th time (from 0)."""

    attempt: int


@dataclass(frozen=True)
class Away:
    """The run folder lies on another machine, and its files will come back through here."""

    machine: str


News = Said | Began | Ended | Away | Piece | Moved | Gone


@dataclass(frozen=True)
class Answer:
    """asked: the signal that ends the run, None for none.  codes: exit codes of those of this start that have ended.

    num_bytes: that the driver hasn't taken yet.
    """

    asked: int | None
    codes: tuple[int, ...]
    num_bytes: int


class Desk:
    """What is for the environment of the processes comes by a call of its own: Ray keeps what actors are made with."""

    def __init__(self) -> None:
        self._variables: dict[str, str] = {}
        self._news: deque[News] = deque()
        self._num_bytes = 0
        self._attempts = 0
        self._codes: dict[int, tuple[int, ...]] = {}
        self._asked: int | None = None
        self._sent: deque[Piece] = deque()
        self._is_wanted = self._is_all_sent = False

    def keep_variables(self, variables: dict[str, str]) -> None:
        self._variables = variables

    def variables(self) -> dict[str, str]:
        return self._variables

    def begin(self) -> int:
        """Called by the leader of each start; returns how many there were before."""
        self._news.append(Began(self._attempts))
        self._attempts += 1
        self._is_wanted = self._is_all_sent = False
        self._sent.clear()
        return self._attempts - 1

    def put(self, attempt: int, news: Sequence[News]) -> Answer:
        """By a process that trains: leave news, and hear what is wanted of it."""
        self._news.extend(news)
        for one in news:
            self._num_bytes += len(one.data) if isinstance(one, Piece) else 0
            if isinstance(one, Ended):
                self._codes[one.attempt] = (*self._codes.get(one.attempt, ()), one.ending.code)
        return Answer(self._asked, self._codes.get(attempt, ()), self._num_bytes)

    def take(self) -> tuple[list[News], bool]:
        """By the driver: the news since the last time, and whether the files of its run folder are wanted."""
        taken, self._num_bytes = list(self._news), 0
        self._news.clear()
        wanted, self._is_wanted = self._is_wanted, False
        return taken, wanted

    def ask(self, number: int) -> int:
        """By the driver: the run is to save and leave as if signal `number` came.  Returns how many starts there were."""
        self._asked = self._asked or number
        return self._attempts

    def want_files(self) -> None:
        """By the leader: the driver is to send what it has of the run."""
        self._is_wanted = True

    def send(self, pieces: Sequence[Piece], *, is_all: bool) -> int:
        """By the driver; returns how many pieces nobody has fetched yet."""
        self._sent.extend(pieces)
        self._is_all_sent = is_all
        return len(self._sent)

    def fetch(self) -> tuple[list[Piece], bool]:
        """By the leader: pieces, and whether they were the last."""
        fetched = list(self._sent)
        self._sent.clear()
        return fetched, self._is_all_sent
