"""A real browser on the real page, served by `autotrain app` as a process of its own."""

import os
import queue
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
SECONDS = 60.0
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
_AXE_OPTIONS = {"resultTypes": ["violations"], "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}


@dataclass
class Server:
    """`autotrain app` at work.  Can be ended and started again, at the same address, with the same folders."""

    root: Path
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    port: int = 0
    said: list[str] = field(default_factory=list)
    process: "subprocess.Popen[str] | None" = None
    _listener: threading.Thread | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    @property
    def home(self) -> Path:
        return self.root / "home"

    def start(self) -> "Server":
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_TOKEN", "PYTEST"))}
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "autotrain", "app", "--port", str(self.port)),
                *("--workspace", str(self.workspace), *self.options),
            ],
            env={**kept, "AUTOTRAIN_HOME": str(self.home), "HF_HUB_OFFLINE": "1", **self.environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        found: queue.Queue[int] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, args=(self.process, found), daemon=True)
        self._listener.start()
        port = found.get(timeout=SECONDS)
        assert port, "\n".join(self.said)
        self.port = port
        return self

    def stop(self) -> None:
        """As Ctrl-C does it."""
        if self.process is not None:
            self.process.terminate()
            assert self._wait() == 0, "\n".join(self.said)

    def kill(self) -> None:
        """As when the machine goes down."""
        if self.process is not None:
            self.process.kill()
            self._wait()

    def _wait(self) -> int:
        """Until it has ended; its exit code."""
        assert self.process is not None and self._listener is not None and self.process.stderr is not None
        code = self.process.wait(SECONDS)
        self._listener.join(SECONDS)  # it reads what was said last
        self.process.stderr.close()
        self.process = None
        return code

    def _listen(self, process: "subprocess.Popen[str]", found: "queue.Queue[int]") -> None:
        """Keep what it says, and find the port; 0 if it ends before."""
        assert process.stderr is not None
        for line in process.stderr:
            self.said.append(line.rstrip())
            if served := re.search(r"serving at http://[^ ]*:(\d+)", line):
                found.put(int(served[1]))
        found.put(0)


@contextmanager
def serving(root: Path, *options: str, **environment: str) -> Iterator[Server]:
    """A server with folders of its own under `root`."""
    server = Server(root, options, environment)
    server.workspace.mkdir(parents=True, exist_ok=True)
    try:
        yield server.start()
    finally:
        server.stop()


@dataclass
class Visit:
    """A browser window of its own (cookies too), and what went wrong in it.

    page: Playwright's.  requests: every address that was asked for.  errors: of scripts, and messages of the console.
    """

    page: Any
    server: Server
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self, path: str) -> Any:
        """Go to `path` and wait until the page is alive (its websocket is there); returns Playwright's page."""
        self.page.goto(f"{self.server.address}{path}")
        self.alive()
        return self.page

    def alive(self) -> None:
        self.page.wait_for_function("window.socket && window.socket.connected", timeout=SECONDS * 1000)

    def shown(self) -> str:
        """Its text, and the errors of its scripts; for whoever asks why a test failed."""
        from playwright.sync_api import Error

        try:
            text = self.page.locator("body").inner_text(timeout=5000)
        except Error as problem:
            text = f"nothing: {problem}"
        return "\n".join([text, *self.errors])

    def faults(self) -> list[str]:
        """Serious and critical faults that axe finds, as `rule: element`."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page, options=_AXE_OPTIONS).response["violations"]
        return [
            f"{one['id']}: {node['html'][:200]} ({node.get('failureSummary', '')[:200]})"
            for one in found
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    def strangers(self) -> list[str]:
        """Addresses outside the page's own that were asked for."""
        own = self.server.address.removeprefix("http")
        mine = (f"http{own}", f"ws{own}", "data:", "blob:", "about:")
        return [address for address in self.requests if not address.startswith(mine)]

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


# Each message of the server comes up to so many milliseconds after the one before: finds tests that look once
# where they should wait.
_SLOW_SOCKET = """(most) => {
  window.WebSocket = class extends window.WebSocket {
    queue = Promise.resolve();
    set onmessage(handler) {
      super.onmessage = handler && ((event) => {
        this.queue = this.queue
          .then(() => new Promise((go) => setTimeout(go, Math.random() * most)))
          .then(() => handler.call(this, event));
      });
    }
    get onmessage() { return super.onmessage; }
  };
}"""


def open_window(
    browser: Any, server: Server, language: str = "en", dark: bool = False, size: "dict[str, int]" = DESKTOP
) -> Visit:
    """A new window of Playwright's `browser`, with cookies of its own."""
    context = browser.new_context(
        locale={"en": "en-GB", "zh": "zh-CN"}[language],
        color_scheme="dark" if dark else "light",
        viewport=size,
        reduced_motion="reduce",
    )
    context.set_default_timeout(SECONDS * 1000)
    if slowness := os.environ.get("AUTOTRAIN_TEST_SLOW_SOCKET"):
        context.add_init_script(f"({_SLOW_SOCKET})({int(slowness)})")
    one = Visit(context.new_page(), server)
    one.page.on("request", lambda request: one.requests.append(request.url))
    one.page.on("websocket", lambda socket: one.requests.append(socket.url))
    one.page.on("pageerror", lambda error: one.errors.append(str(error)))
    one.page.on("console", lambda message: one.errors.append(message.text) if message.type == "error" else None)
    return one


def launch(playwright: Any, *more: str) -> Any:
    """The system's Chromium.  more: of its own arguments."""
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", *more]  # in a container as root
    return playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
