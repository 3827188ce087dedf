"""The page of a run in the cloud: what is heard of it, and what isn't; and stopping it."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from harness import PHONE, serving

TOKEN = "hf_nilsnilsnils"
WAIT = 120_000
ASKED = {
    "project_name": "far-away",
    "task": "llm:sft",
    "base_model": "nils/tiny",
    "hardware": "spaces-t4-small",
    "column_mapping": {"text_column": "text"},
    "hub_dataset": "data",
}


def start(server: Any) -> None:
    body = json.dumps(ASKED).encode()
    asked = urllib.request.Request(f"{server.address}/api/create_project", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=120) as answer:
        assert json.load(answer)["success"]


@pytest.mark.parametrize(("language", "dark"), [("en", False), ("zh", True)])
def test_a_run_in_the_cloud_is_followed_and_stopped(
    hub: Any, tmp_path: Path, tiny_model: Path, visits: Any, language: str, dark: bool
):
    says = __import__(f"autotrain.app.words.{language}.run", fromlist=["WORDS"]).WORDS
    hub.add_user("nils", token=TOKEN, can_pay=True)
    hub.add_repo("model", "nils/tiny", files={file.name: file.read_bytes() for file in tiny_model.iterdir()})
    data = tmp_path / "workspace" / "data"
    data.mkdir(parents=True)
    (data / "train.jsonl").write_text('{"text": "a row"}\n')
    with serving(tmp_path, HF_TOKEN=TOKEN, HF_HUB_OFFLINE="0") as server:
        start(server)
        (space,) = hub.spaces.values()
        visit = visits(server, language, dark, **({"size": PHONE} if dark else {}))
        page = visit.open("/run/1")
        space.set_stage("RUNNING")
        space.log("step 3/12  loss 1.5000")
        page.get_by_text(says["run.steps"].format(step=3, total=12)).first.wait_for(timeout=WAIT)
        page.get_by_text("1.5", exact=True).wait_for()
        link = page.get_by_role("link", name=says["run.on_the_hub"])
        assert link.get_attribute("href").endswith("nils/autotrain-far-away")
        assert page.get_by_role("tab").all_inner_texts() == [says["run.tab_log"], says["run.tab_settings"]]
        page.get_by_text("step 3/12").first.wait_for(timeout=WAIT)
        assert visit.faults() == [] and visit.overflow() <= 0 and visit.errors == []
        page.locator("[data-action=stop]").click()
        page.locator(".q-dialog").get_by_role("button", name=says["run.stop_yes"], exact=True).click()
        page.locator("[data-action=resume]").wait_for(timeout=WAIT)
        assert space.stage == "PAUSED"
        assert page.locator("[data-action=try], [data-action=after]").locator("visible=true").count() == 0
        assert TOKEN not in page.content()
