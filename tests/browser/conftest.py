"""Fixtures of the browser's tests; `harness` has what they are made of."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nicegui", reason="the page's libraries aren't installed (extra app)")
pytest.importorskip("playwright", reason="playwright isn't installed (extra dev)")

from harness import CHROMIUM, Server, Visit, launch, open_window, serving


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All but the smoke test take their time: `make test-browser`."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.name != "test_smoke.py":
            item.add_marker(pytest.mark.browser)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The page with an empty workspace."""
    with serving(tmp_path) as one:
        yield one


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    """What drives browsers.  Skips where there is none to drive."""
    if CHROMIUM is None:
        pytest.skip(reason="there is no chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as one:
        yield one


@pytest.fixture(scope="session")
def chromium(playwright: Any) -> Iterator[Any]:
    """A browser for all tests."""
    browser = launch(playwright)
    yield browser
    browser.close()


@pytest.fixture
def visits(chromium: Any) -> Iterator[Any]:
    """visits(server, language="en", dark=False, size=DESKTOP) -> a Visit; as many windows as one likes."""
    opened: list[Visit] = []

    def visit(*arguments: Any, **named: Any) -> Visit:
        opened.append(open_window(chromium, *arguments, **named))
        return opened[-1]

    yield visit
    for one in opened:
        one.page.context.close()


@pytest.fixture
def visit(visits: Any, server: Server) -> Visit:
    """One window, in English and light, on a page with an empty workspace."""
    return visits(server)
