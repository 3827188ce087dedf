"""How often somebody may do something."""

import time
from collections import defaultdict, deque

_MAX_REMEMBERED = 1000


class Pace:
    """At most `count` times in `seconds`, each for itself."""

    def __init__(self, count: int, seconds: float) -> None:
        self._count, self._seconds = count, seconds
        self._noted: defaultdict[str, deque[float]] = defaultdict(deque)

    def is_free(self, who: str) -> bool:
        """Whether `who` may once more."""
        times = self._noted.get(who)
        if times is None:
            return True
        while times and times[0] <= time.monotonic() - self._seconds:
            times.popleft()
        if not times:
            del self._noted[who]
        return len(times) < self._count

    def note(self, who: str) -> None:
        """`who` did it."""
        if who not in self._noted and len(self._noted) >= _MAX_REMEMBERED:
            del self._noted[next(iter(self._noted))]
        self._noted[who].append(time.monotonic())
