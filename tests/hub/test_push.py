"""A result reaches the hub in one commit, or not at all and nothing is lost."""

import io
import json

import pytest

from autotrain.errors import HubError, RunFolderError
from autotrain.hub.client import open_api
from autotrain.hub.push import last_push, push_run
from autotrain.hub.repo import Target
from autotrain.run_folder import claim

TOKEN, TARGET = "hf_AnnsOwnSecretToken", Target("ann/my-run")


def test_a_push_is_one_commit_and_is_noted_in_the_folder(ann, folder):
    pushed = push_run(folder, TARGET, TOKEN)
    there = ann.files("model", "ann/my-run")
    assert there["adapter_model.safetensors"] == (folder / "adapter_model.safetensors").read_bytes()
    assert len(ann.sent("POST", "/commit/")) == 1
    assert ann.repositories["model", "ann/my-run"].private
    assert pushed.url == f"{ann.url}/ann/my-run" and last_push(folder) == pushed
    assert pushed.commit == ann.repositories["model", "ann/my-run"].branches["main"]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_sees_how_far_large_files_are_and_a_log_stays_quiet(ann, folder, monkeypatch, is_terminal: bool):
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: is_terminal, raising=False)
    monkeypatch.setattr("sys.stderr", screen)
    push_run(folder, TARGET, TOKEN)
    assert ("adapter_model.safetensors: 100%" in screen.getvalue()) == is_terminal
    ann.add_repo("model", "ann/other")
    before = screen.getvalue()
    open_api(TOKEN).upload_file(
        path_or_fileobj=folder / "adapter_model.safetensors", path_in_repo="x.bin", repo_id="ann/other"
    )
    assert screen.getvalue() == before  # such as a checkpoint in the background: no bar across the training's own line


def test_the_token_gets_into_no_file_or_request(ann, folder):
    push_run(folder, TARGET, TOKEN)
    assert ann.places_with(TOKEN) == []
    assert all(TOKEN.encode() not in file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_a_file_with_the_token_in_it_stops_the_push(ann, folder):
    (folder / "metrics.jsonl").write_text(json.dumps({"oops": TOKEN}))
    with pytest.raises(HubError, match=r"metrics\.jsonl holds your hub token, so nothing is uploaded"):
        push_run(folder, TARGET, TOKEN)
    assert ann.places_with(TOKEN) == [] and ann.repositories == {}


def test_a_file_with_another_secret_of_the_environment_in_it_stops_the_push_too(ann, folder, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    monkeypatch.setenv("SHORT_TOKEN", "oops")
    (folder / "tokenizer.json").write_text("oops")
    assert push_run(folder, TARGET, TOKEN).commit
    (folder / "tokenizer.json").write_bytes(b"x" * ((1 << 24) - 5) + b"0123456789abcdef")  # across two pieces that are read
    with pytest.raises(HubError, match=r"tokenizer\.json holds your WANDB_API_KEY, so nothing is uploaded"):
        push_run(folder, TARGET, TOKEN)
    assert ann.places_with("0123456789abcdef") == []


def test_a_repeated_run_replaces_the_earlier_result_and_leaves_files_of_others(ann, folder):
    ann.add_repo("model", "ann/my-run", private=True)
    old = {
        "config.json": "{}",
        "model.safetensors": b"\0old",
        "LICENSE.md": "mine",
        "runs/events.out.tfevents.0.h.1.0": b"\0",
    }
    ann.add_files("model", "ann/my-run", old)
    push_run(folder, TARGET, TOKEN)
    there = ann.files("model", "ann/my-run")
    assert there["LICENSE.md"] == b"mine"
    assert not {"config.json", "model.safetensors", "runs/events.out.tfevents.0.h.1.0"} & set(there)
    assert "adapter_model.safetensors" in there


def test_pushing_twice_changes_nothing(ann, folder):
    assert push_run(folder, TARGET, TOKEN).commit == push_run(folder, TARGET, TOKEN).commit


def test_a_branch_is_made_and_the_main_one_stays_as_it_is(ann, folder):
    pushed = push_run(folder, Target("ann/my-run", revision="v2"), TOKEN)
    assert "adapter_config.json" in ann.files("model", "ann/my-run", "v2")
    assert "adapter_config.json" not in ann.files("model", "ann/my-run")
    assert pushed.url.endswith("/ann/my-run/tree/v2")


@pytest.mark.parametrize("public", [True, False])
def test_an_organisations_repository_is_public_only_if_asked(ann, folder, public):
    push_run(folder, Target("acme/my-run", private=not public), TOKEN)
    assert ann.repositories["model", "acme/my-run"].private is not public


PASSING = [
    ("POST", "/api/repos/create", 429),
    ("POST", "/preupload/", 500),
    ("POST", "/objects/batch", 503),
    ("PUT", "/lfs/", "cut"),
    ("PUT", "/lfs/", 500),
    ("POST", "/lfs/verify", 500),
    ("POST", "/commit/", 500),
    ("POST", "/commit/", 409),
    ("POST", "/commit/", "cut"),
    ("POST", "/commit/", "lost"),
    ("POST", "/validate-yaml", 502),
    ("GET", "/tree/", "cut"),
]


@pytest.mark.parametrize(("method", "path", "status"), PASSING)
def test_what_may_pass_is_tried_again_and_nothing_is_lost(ann, folder, hurried, method, path, status):
    failure = ann.fail(method, path, status=status)
    push_run(folder, TARGET, TOKEN)
    assert failure.times == 0, "the failure was never met"
    assert (
        ann.files("model", "ann/my-run")["adapter_model.safetensors"] == (folder / "adapter_model.safetensors").read_bytes()
    )
    assert ann.places_with(TOKEN) == []


LASTING = [
    ("POST", "/api/repos/create", 403, "the hub forbids it"),
    ("POST", "/objects/batch", 403, "the hub forbids it"),
    ("PUT", "/lfs/", 403, "the hub forbids it"),
    ("POST", "/commit/", 401, "doesn't accept the token"),
    ("POST", "/commit/", 404, "isn't on the hub"),
    ("POST", "/commit/", 500, "a fault of its own"),
    ("POST", "/commit/", "cut", "can't be reached"),
]


@pytest.mark.parametrize(("method", "path", "status", "said"), LASTING)
def test_what_doesnt_pass_is_said_in_one_sentence_and_the_run_stays_whole(ann, folder, hurried, method, path, status, said):
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    ann.fail(method, path, status=status, times=None)
    with pytest.raises(HubError) as raised:
        push_run(folder, TARGET, TOKEN)
    assert said in str(raised.value) and TOKEN not in str(raised.value)
    assert all(file.read_bytes() == content for file, content in before.items())
    assert last_push(folder) is None


def test_an_interrupted_upload_is_taken_up_where_it_stopped(ann, folder, hurried):
    """Large files that got there aren't sent again."""
    ann.fail("POST", "/commit/", status=403)
    with pytest.raises(HubError):
        push_run(folder, TARGET, TOKEN)
    sent = len(ann.sent("PUT", "/lfs/"))
    assert sent > 0
    push_run(folder, TARGET, TOKEN)
    assert len(ann.sent("PUT", "/lfs/")) == sent


def test_a_slow_hub_is_waited_for(ann, folder):
    ann.fail("POST", "/commit/", status="slow", seconds=1)
    assert push_run(folder, TARGET, TOKEN).commit


def test_a_run_that_is_being_written_to_isnt_pushed(ann, folder):
    run = claim(folder, resume=True, overwrite=False)
    try:
        with pytest.raises(RunFolderError, match="another worker is writing"):
            push_run(folder, TARGET, TOKEN)
    finally:
        run.release()


def test_a_folder_that_cant_be_written_is_pushed_all_the_same(ann, folder):
    (folder / "hub.json").mkdir()  # the note can't be written
    assert push_run(folder, TARGET, TOKEN).commit
