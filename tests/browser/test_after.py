"""After training, in the page: downloaded, told why it isn't published, and the card as others read it.

Merging and publishing: test_keyboard.py.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import PHONE, Server, serving
from results_of import make_run


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("page"), OMP_NUM_THREADS="1", HF_HOME=str(tmp_path_factory.mktemp("hf"))) as one:
        yield one


def made(server: Server, name: str, base: Path, **fields: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOTRAIN_HOME", str(server.home))
        return make_run(server.workspace, name, base, **fields)


def test_a_result_is_downloaded_and_its_card_read(visit: Any, server: Server, tiny_model: Path, tmp_path: Path) -> None:
    page = visit.open(f"/run/{made(server, 'my-run', tiny_model)}/after")
    page.get_by_role("heading", name="Model card").wait_for()
    page.get_by_role("heading", name="my-run", level=3).wait_for()
    assert page.locator(".at-after-card img[src*=loss_curve]").evaluate("picture => picture.decode().then(() => true)")
    assert page.locator(".at-after-card [onerror]").count() == 0
    with page.expect_download() as found:
        page.get_by_role("link", name="Download as ZIP").click()
    found.value.save_as(tmp_path / "result.zip")
    with zipfile.ZipFile(tmp_path / "result.zip") as archive:
        assert "my-run/adapter_model.safetensors" in archive.namelist()
    page.get_by_role("link", name="Open the settings").wait_for()  # there is no token to publish with
    assert (visit.faults(), visit.strangers(), visit.overflow()) == ([], [], 0)


def test_in_chinese_on_a_phone_in_the_dark(visits: Any, server: Server, tiny_model: Path) -> None:
    visit = visits(server, language="zh", dark=True, size=PHONE)
    page = visit.open(f"/run/{made(server, 'zh-run', tiny_model, kind='reward')}/after")
    page.get_by_role("button", name="给回答打分").wait_for()
    page.get_by_role("heading", name="模型卡片").wait_for()
    assert (visit.faults(), visit.overflow()) == ([], 0)


def test_a_run_without_a_result_says_why(visit: Any, server: Server, tiny_model: Path) -> None:
    number = made(server, "nothing", tiny_model, kind="nothing", stage="interrupted")
    page = visit.open(f"/run/{number}/after")
    assert "has no model yet" in page.get_by_role("alert").inner_text()
    page.get_by_role("link", name="Back to the run").wait_for()
