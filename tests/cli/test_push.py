"""`autotrain push`: a finished run goes to the hub, or it says why not."""

import json
from pathlib import Path

import pytest

TOKEN = "hf_AnnsOwnSecretToken"


@pytest.fixture
def run(folder: Path) -> Path:
    """A finished run whose config named an organisation."""
    return make_run(folder / "my-run", username="acme")


def make_run(run: Path, stage: str = "finished", **params) -> Path:
    run.mkdir()
    state = {"stage": stage, "step": 4, "total_steps": 9, "pid": 1, "heartbeat": 1.0}
    (run / "state.json").write_text(json.dumps(state))
    fields = {"model": "gpt2", "project_name": run.name, "trainer": "sft", "data_path": "/home/ann/rows.jsonl"} | params
    (run / "training_params.json").write_text(json.dumps(fields | {"set_by_user": sorted(fields)}))
    (run / "adapter_config.json").write_text('{"base_model_name_or_path": "gpt2"}')
    (run / "adapter_model.safetensors").write_bytes(b"\0weights")
    (run / "train.log").write_text("no business of others\n")
    return run


@pytest.fixture
def push(autotrain, hub, tmp_path: Path):
    """Runs `autotrain push` against the double, as ann."""
    hub.add_user("ann", token=TOKEN, orgs={"acme": "write"})
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "huggingface"), "HF_HUB_DISABLE_XET": "1"}

    def run(*arguments: str, **environment: str):
        done = autotrain("push", *arguments, **settings | {"HF_TOKEN": TOKEN} | environment)
        assert TOKEN not in done.stdout + done.stderr and "Traceback" not in done.stderr
        return done

    return run


def test_issue_190_a_finished_run_goes_where_its_config_says(push, hub, run: Path):
    """Regression: no way to push an already trained model (#190)."""
    done = push("my-run")
    assert (done.returncode, done.stdout) == (0, f"{hub.url}/acme/my-run\n"), done.stderr
    there = hub.files("model", "acme/my-run")
    assert there["adapter_model.safetensors"] == b"\0weights" and "train.log" not in there
    assert json.loads(there["training_params.json"])["data_path"] == "rows.jsonl"
    assert hub.repositories["model", "acme/my-run"].private and hub.places_with(TOKEN) == []


def test_the_user_may_say_where_and_for_whom(push, hub, run: Path):
    assert push("my-run", "--repo", "ann/other", "--public", "--revision", "v2").returncode == 0
    assert not hub.repositories["model", "ann/other"].private
    assert "adapter_config.json" in hub.files("model", "ann/other", "v2")
    assert push("my-run").returncode == 0  # the same place as before
    assert not hub.exists("model", "acme/my-run")


def test_a_name_alone_is_a_repository_of_the_tokens_owner(push, hub, run: Path):
    assert push("my-run", "--repo", "mine").returncode == 0
    assert hub.exists("model", "ann/mine")


def test_a_model_folder_that_no_run_made_can_be_pushed(push, hub, folder: Path):
    (folder / "merged").mkdir()
    (folder / "merged" / "config.json").write_text("{}")
    (folder / "merged" / "model.safetensors").write_bytes(b"\0w")
    assert push("merged").returncode == 0
    assert set(hub.files("model", "ann/merged")) >= {"config.json", "model.safetensors"}


def test_a_dry_run_shows_what_would_go_where_and_asks_nobody(push, hub, run: Path):
    shown = push("my-run", "--dry-run").stdout
    assert "would push 3 files" in shown and "acme/my-run, branch main (private" in shown
    assert "adapter_model.safetensors" in shown and "train.log" not in shown
    assert hub.requests == [] and not (run / "hub.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "nowhere"),
        (("c.yml",), "c.yml is a file; give the folder of a run"),
        (("my-run", "--repo", "a/b/c"), "--repo: must be NAME/REPO"),
        (("my-run", "--repo", "others/x"), "who is not in others; possible names: ann, acme"),
        (("my-run", "--revision", "refs/pr/1"), "can't be the name of a branch"),
        (("half",), "the run in half isn't finished (step 4 of 9)"),
        (("failed",), "holds no finished model"),
    ],
)
def test_what_cant_work_is_refused_with_code_2(push, hub, run: Path, folder: Path, arguments, said: str):
    make_run(folder / "half", stage="training")
    make_run(folder / "failed", stage="failed")
    (folder / "failed" / "adapter_model.safetensors").unlink()
    done = push(*arguments)
    assert done.returncode == 2 and said in done.stderr and hub.repositories == {}


def test_a_run_that_was_moved_is_pushed_from_where_it_is_now(push, autotrain, hub, run: Path, folder: Path):
    assert autotrain("runs", "show", "my-run").returncode == 0  # known by name from now on
    run.rename(folder / "elsewhere")
    done = push("my-run")
    assert done.returncode == 2 and f"my-run isn't in {run} any more; if you moved it, give its folder" in done.stderr
    assert push("elsewhere").returncode == 0
    there = hub.files("model", "acme/my-run")  # where its config says
    assert there["adapter_model.safetensors"] == b"\0weights"
    assert str(folder).encode() not in b"".join(there.values())


def test_without_a_token_it_says_how_to_get_one(push, run: Path):
    done = push("my-run", HF_TOKEN="")
    assert done.returncode == 2 and "there is no token; set HF_TOKEN" in done.stderr


def test_a_push_that_fails_on_the_way_ends_with_3_and_can_be_taken_up(push, hub, run: Path):
    hub.fail("POST", "/commit/", status=403)
    done = push("my-run")
    assert done.returncode == 3 and "my-run is as it was; try again with the same command" in done.stderr
    assert push("my-run").returncode == 0
    assert len(hub.sent("PUT", "/lfs/")) == 1


def test_a_config_that_pushes_is_refused_before_anything_starts(autotrain, hub, folder: Path, tmp_path: Path):
    (folder / "c.yml").write_text((folder / "c.yml").read_text() + "hub: {username: others, push_to_hub: true}\n")
    (folder / "rows.jsonl").write_text("{}\n")
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "huggingface")}
    assert "there is no token" in autotrain("--config", "c.yml", **settings).stderr
    hub.add_user("ann", token=TOKEN)
    done = autotrain("--config", "c.yml", HF_TOKEN=TOKEN, **settings)
    assert done.returncode == 2 and "push_to_hub: others/run: the token belongs to ann" in done.stderr
    assert TOKEN not in done.stdout + done.stderr and not (folder / "run").exists()


def test_a_dry_run_of_a_config_says_where_it_would_push(autotrain, folder: Path):
    (folder / "c.yml").write_text((folder / "c.yml").read_text() + "hub: {push_to_hub: true, push_checkpoints: true}\n")
    shown = autotrain("--config", "c.yml", "--dry-run").stdout
    assert "# and push the result and checkpoints to: <owner of the token>/run (private" in shown
