"""Several threads read Python text, as the page's do."""

import gc
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autotrain import python_text


class Cycle:
    """What the garbage collector has something to run for: there, threads take turns."""

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        sum(range(50))


@pytest.fixture
def threads_take_turns() -> Generator[None]:
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(20)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*threshold)


@pytest.mark.usefixtures("threads_take_turns")
def test_threads_that_read_at_once_do_not_disturb_each_other() -> None:
    """Regression: of two runs that were asked for at once, one could end as a SystemError."""
    text = Path(python_text.__file__).read_text() * 20

    def read(_: int) -> None:
        Cycle()
        python_text.parse(text)
        Cycle()
        assert python_text.literal("[{'role': 'user', 'content': 'Say red.'}]")[0]["role"] == "user"

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(read, range(400)))
