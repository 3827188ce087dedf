"""Fixtures of the browser's tests; `harness` has what they are made of."""

import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nicegui", reason="the page's libraries aren't installed (extra app)")
pytest.importorskip("playwright", reason="playwright isn't installed (extra dev)")

from harness import CHROMIUM, Server, Visit, launch, open_window, serving

VISITS = pytest.StashKey[list[Visit]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All but the smoke test take their time: `make test-browser`."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.name != "test_smoke.py":
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """A test that fails says what the page showed, and what its server said."""
    report = yield
    if report.when == "call" and report.failed and isinstance(item, pytest.Function):
        for visit in item.stash.get(VISITS, []):
            report.sections.append((f"Page {visit.page.url}", visit.shown()))
            report.sections.append((f"Server of {visit.page.url}", "\n".join(visit.server.said[-40:])))
    return report


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The page with an empty workspace."""
    with serving(tmp_path) as one:
        yield one


@pytest.fixture
def with_model(server: Server, tiny_model: Path) -> Server:
    """A server whose workspace holds a tiny base model."""
    shutil.copytree(tiny_model, server.workspace / "tiny")
    return server


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests of a file: to start it takes longer than most of them."""
    with serving(tmp_path_factory.mktemp("shared")) as one:
        yield one


@pytest.fixture
def emptied(shared: Server) -> Server:
    """The same without runs; the next one has the number 1."""
    for file in shared.home.glob("runs.db*"):
        file.unlink(missing_ok=True)  # the server closes the registry, and its journals go
    for folder in shared.workspace.iterdir():
        shutil.rmtree(folder)
    return shared


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
def visits(chromium: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """visits(server, language="en", dark=False, size=DESKTOP) -> a Visit; as many windows as one likes."""
    opened = request.node.stash[VISITS] = []

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
