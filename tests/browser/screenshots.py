"""Makes the pictures of docs/web-page.md: `make screenshots`.

Two small models are trained for real, in build/pictures, where they stay for the next time.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from harness import DESKTOP, PHONE, Server, Visit, launch, open_window, serving
from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
WORK, OUT = ROOT / "build" / "pictures", ROOT / "docs" / "pictures"
DATA = ROOT / "examples" / "quickstart"
WAIT = 600_000
COLOURS, MARGIN = 192, 24
QUESTION = "How do I get a coffee stain out of a cotton shirt?"
# In English and light for most readers; each of the others once on each size.
VARIANTS = (("en", False, DESKTOP), ("zh", True, DESKTOP), ("en", True, PHONE), ("zh", False, PHONE))


@dataclass(frozen=True)
class Camera:
    """Takes pictures of one window, named by page, language, theme and size."""

    visit: Visit
    language: str
    ending: str

    def says(self, key: str) -> str:
        """The page's words."""
        return import_module(f"autotrain.app.words.{self.language}.{key.partition('.')[0]}").WORDS[key]

    def take(self, name: str, below: str = "") -> None:
        """The window, and as much again below it.  below: selector of what it begins with; "" is the page itself."""
        page = self.visit.page
        page.mouse.move(0, 0)
        page.wait_for_timeout(1000)
        file = OUT / f"{name}-{self.ending}.png"
        page.evaluate("scrollTo(0, 0)")
        size, height = page.viewport_size, page.evaluate("document.documentElement.scrollHeight")
        top = page.locator(below).first.bounding_box()["y"] - MARGIN if below else 0
        clip = {"x": 0, "y": top, "width": size["width"], "height": min(height - top, 2 * size["height"])}
        page.screenshot(path=file, full_page=True, clip=clip)
        with Image.open(file) as picture:
            picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, serving(WORK) as server:
        for name, rate in (("household-tips", 8e-4), ("household-tips-slower", 2e-4)):
            train(server, name, rate)
        browser = launch(playwright)
        for camera in cameras(browser, server):
            for take in PAGES:
                take(camera)
            camera.visit.page.context.close()
        browser.close()
    with sync_playwright() as playwright, serving(WORK, "--password") as server:
        browser = launch(playwright)
        for camera in cameras(browser, server):
            camera.visit.page.goto(server.address)
            camera.take("login")
        browser.close()
    sys.stdout.write(f"{len(list(OUT.glob('*.png')))} pictures in {OUT}\n")


def cameras(browser: Any, server: Server) -> Iterator[Camera]:
    for language, dark, size in VARIANTS:
        ending = f"{language}-{'dark' if dark else 'light'}-{'phone' if size is PHONE else 'desktop'}"
        yield Camera(open_window(browser, server, language, dark, size), language, ending)


def train(server: Server, name: str, rate: float) -> None:
    """On a part of the quickstart's rows: enough for a curve, in a minute or two."""
    if (server.workspace / name / "README.md").exists():
        return
    data = server.workspace / "household-data"
    data.mkdir(exist_ok=True)
    for split, num_rows in (("train", 32), ("valid", 6)):
        rows = (DATA / f"{split}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (data / f"{split}.jsonl").write_text("".join(rows[:num_rows]), encoding="utf-8")
    told = {
        "task": "llm-sft",
        "base_model": "smollm2-135m",
        "project_name": name,
        "data": {
            "path": "household-data",
            "train_split": "train",
            "valid_split": "valid",
            "chat_template": "tokenizer",
            "column_mapping": {"text_column": "messages"},
        },
        "params": {
            "peft": True,
            "mixed_precision": "auto",
            "lr": rate,
            "epochs": 2,
            "batch_size": 2,
            "gradient_accumulation": 1,
            "logging_steps": 1,
        },
    }
    file = WORK / f"{name}.json"
    file.write_text(json.dumps(told), encoding="utf-8")
    command = [sys.executable, "-m", "autotrain", "--config", str(file), "--overwrite"]
    subprocess.run(command, cwd=server.workspace, env={**os.environ, "AUTOTRAIN_HOME": str(server.home)}, check=True)


def runs(camera: Camera) -> None:
    camera.visit.open("/runs")
    camera.take("runs")


def new_run(camera: Camera) -> None:
    """Each step; with the two that need the worker's answer waited for."""
    page = camera.visit.open("/new")
    at_step(page, 1)
    camera.take("new-1-task")
    go_on(camera, 2)
    page.locator("label", has_text="smollm2-135m").get_by_role("radio").first.check()
    camera.take("new-2-model")
    go_on(camera, 3)
    page.locator("input[type=file]").first.set_input_files(DATA / "train.jsonl")
    page.wait_for_selector(".at-verdict .at-good", timeout=WAIT)
    camera.take("new-3-data")
    page.get_by_role("tab").nth(1).click()
    page.wait_for_selector(".at-tokens .at-token-on", timeout=WAIT)
    camera.take("new-3-tokens", below=".at-step .q-tabs")
    go_on(camera, 4)
    camera.take("new-4-settings")
    go_on(camera, 5)
    camera.take("new-5-place")
    go_on(camera, 6)
    page.wait_for_selector(".at-facts >> nth=1", timeout=WAIT)
    camera.take("new-6-summary")


def go_on(camera: Camera, number: int) -> None:
    camera.visit.page.get_by_role("button", name=camera.says("new.next"), exact=True).click()
    at_step(camera.visit.page, number)


def at_step(page: Any, number: int) -> None:
    page.wait_for_selector(f".at-steps li:nth-child({number}) button[aria-current=step]", timeout=WAIT)


def one_run(camera: Camera) -> None:
    for tab in ("charts", "samples", "log", "settings"):
        camera.visit.open(f"/run/1?tab={tab}")
        camera.take(f"run-{tab}")


def compare(camera: Camera) -> None:
    camera.visit.open("/compare?ids=1,2")
    camera.take("compare")


def chat(camera: Camera) -> None:
    page = camera.visit.open("/chat?run=1")
    page.locator("summary", has_text=camera.says("chat.settings")).click()
    longest = page.get_by_label(camera.says("chat.max_new_tokens"), exact=True)
    longest.fill("80")
    longest.press("Tab")
    page.wait_for_timeout(1000)  # until it has arrived
    page.locator("summary", has_text=camera.says("chat.settings")).click()
    page.get_by_label(camera.says("chat.message")).fill(QUESTION)
    send = page.get_by_role("button", name=camera.says("chat.send"), exact=True)
    send.click()
    page.get_by_role("button", name=camera.says("chat.stop"), exact=True).wait_for(timeout=WAIT)
    send.wait_for(timeout=WAIT)
    camera.take("chat")


def settings(camera: Camera) -> None:
    camera.visit.open("/settings")
    camera.take("settings")


PAGES: tuple[Callable[[Camera], None], ...] = (runs, new_run, one_run, compare, chat, settings)


if __name__ == "__main__":
    main()
