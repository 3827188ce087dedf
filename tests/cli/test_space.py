"""`autotrain space create`: what it makes on the hub.  Its start command is run in tests/app/test_space_page.py."""

import pytest
import yaml
from hub_double import HubDouble

from autotrain.cli import main

SPACE, BUCKET = "nils/my-autotrain", "nils/my-autotrain-storage"


@pytest.fixture
def nils(hub: HubDouble, monkeypatch: pytest.MonkeyPatch) -> HubDouble:
    """A hub with somebody who is logged in here."""
    hub.add_user("nils", orgs={"acme": "admin"})
    hub.add_user("anna")
    monkeypatch.setenv("HF_TOKEN", "hf_nils")
    return hub


def test_it_makes_a_private_space_with_sign_in_and_storage(nils: HubDouble, capsys: pytest.CaptureFixture[str]):
    assert main(["space", "create", "my-autotrain", "--hardware", "t4-small"]) == 0
    space = nils.spaces[SPACE]
    assert capsys.readouterr().out == f"{nils.url}/spaces/{SPACE}\n"
    assert space.private and (space.hardware, space.stage) == ("t4-small", "BUILDING")
    card = yaml.safe_load(space.files["README.md"].decode().split("---")[1])
    assert (card["sdk"], card["app_port"], card["hf_oauth"]) == ("docker", 7860, True)
    assert {"manage-repos", "jobs"} <= set(card["hf_oauth_scopes"])
    assert nils.buckets[BUCKET]["private"]
    assert space.volumes == [{"type": "bucket", "source": BUCKET, "mountPath": "/data"}]
    assert space.variables == {"AUTOTRAIN_HOME": "/data/autotrain"}


def test_no_token_is_left_there(nils: HubDouble):
    assert main(["space", "create", "my-autotrain"]) == 0
    assert set(nils.spaces[SPACE].secrets) == {"AUTOTRAIN_SESSION_SECRET"} and nils.places_with("hf_nils") == []
    assert len(nils.spaces[SPACE].secrets["AUTOTRAIN_SESSION_SECRET"]) == 64


def test_the_program_runs_where_the_storage_is(nils: HubDouble):
    main(["space", "create", "my-autotrain"])
    lines = nils.spaces[SPACE].files["Dockerfile"].decode().splitlines()
    assert lines[-1] == 'CMD ["autotrain", "app", "--port", "7860", "--host", "0.0.0.0"]'
    assert lines.index("RUN mkdir /data && chown user /data") < lines.index("USER user")
    assert lines.index("WORKDIR /data") > lines.index("COPY --chown=user . .")
    assert any(line.startswith("RUN pip install") and line.endswith("'.[app,tensorboard]'") for line in lines)


def test_without_storage_there_is_no_bucket(nils: HubDouble):
    main(["space", "create", "acme/page", "--no-storage"])
    space = nils.spaces["acme/page"]
    assert nils.buckets == {} and space.volumes == [] and b"/data" not in space.files["Dockerfile"]


def test_a_dry_run_asks_nobody(nils: HubDouble, capsys: pytest.CaptureFixture[str]):
    assert main(["space", "create", "my-autotrain", "--hardware", "l4x1", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "Space USER/my-autotrain: private" in shown and "0.80 USD per hour" in shown and "until it is paused" in shown
    assert nils.requests == []


def test_creating_it_again_brings_it_to_this_version(nils: HubDouble):
    main(["space", "create", "my-autotrain"])
    nils.spaces[SPACE].set_stage("RUNNING")
    assert main(["space", "create", "my-autotrain"]) == 2  # at work
    nils.spaces[SPACE].set_stage("PAUSED")
    nils.add_files("space", SPACE, {"src/autotrain/gone.py": b"x = 1\n"})
    assert main(["space", "create", "my-autotrain"]) == 0
    space = nils.spaces[SPACE]
    assert (space.stage, space.restarts) == ("BUILDING", 1) and "src/autotrain/gone.py" not in space.files


@pytest.mark.parametrize("stage", ["PAUSED", "RUNNING"])
def test_another_space_of_that_name_is_left_alone(nils: HubDouble, stage: str, capsys: pytest.CaptureFixture[str]):
    nils.add_repo("space", SPACE, {"app.py": "my precious app"}, private=True)
    nils.spaces[SPACE].secrets["MY_KEY"] = "mine"
    nils.spaces[SPACE].set_stage(stage)
    assert main(["space", "create", "my-autotrain"]) == 2
    assert "wasn't made by this command" in capsys.readouterr().err
    space = nils.spaces[SPACE]
    assert (space.stage, space.secrets, space.files["app.py"]) == (stage, {"MY_KEY": "mine"}, b"my precious app")
    assert nils.buckets == {}


def test_a_page_that_cant_be_filled_leaves_no_space(nils: HubDouble, capsys: pytest.CaptureFixture[str]):
    nils.fail("POST", f"/api/spaces/{SPACE}/commit", status=403, times=None)
    assert main(["space", "create", "my-autotrain"]) == 2
    assert SPACE not in nils.spaces
    (bucket,) = nils.buckets
    assert f"hf buckets delete {bucket}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a/b/c"], "'a/b/c' must be NAME or OWNER/NAME"),
        (["a page"], "space create: Repo id must use alphanumeric chars"),
        (["a--b", "--dry-run"], "space create: Cannot have -- or .. in repo_id: 'a--b'"),
        (["other/page"], "who is not in other"),
        (["page", "--hardware", "t4-smal"], "did you mean t4-small?"),
        (["page", "--hardware", "h200"], "--hardware: no Space's hardware 'h200'"),
    ],
)
def test_what_cant_be_made_is_refused(nils: HubDouble, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]):
    assert main(["space", "create", *arguments]) == 2
    assert said in capsys.readouterr().err and not nils.spaces and not nils.buckets


def test_it_needs_a_token(hub: HubDouble, capsys: pytest.CaptureFixture[str]):
    assert main(["space", "create", "page"]) == 2
    assert "hf auth login" in capsys.readouterr().err
