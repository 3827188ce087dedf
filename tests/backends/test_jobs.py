"""Jobs: what is made and handed over, what it costs, how it is followed, and what is refused before."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_double import HubDouble

from autotrain import log
from autotrain.api.remote import GRACE_SECONDS, PUSH_AGAIN_SECONDS
from autotrain.backends import jobs
from autotrain.backends.base import Job, Outcome, find_backend
from autotrain.cloud import follow, stream
from autotrain.cloud.environment import read_handover
from autotrain.cloud.hardware import JOB_FLAVORS
from autotrain.cloud.live import ask
from autotrain.cloud.report import FAILED, FINISHED, End, end_line
from autotrain.errors import ConfigError, HubError, UserError
from autotrain.params import LLMTrainingParams
from autotrain.project import submit
from autotrain.runs import list_runs

pytestmark = pytest.mark.usefixtures("data_are_good")
TOKEN = "hf_SecretOfJo"


@pytest.fixture
def home(hub: HubDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where the user stands: with data, signed in as `jo`, whose base model is on the hub."""
    hub.add_user("jo", TOKEN, orgs={"acme": "write"})
    hub.add_repo("model", "jo/base", {"config.json": '{"model_type": "llama"}'})
    folder = tmp_path / "here"
    (folder / "rows").mkdir(parents=True)
    (folder / "rows" / "train.jsonl").write_text('{"text": "a"}\n')
    (folder / "rows" / "notes.txt").write_text("a note beside the data")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / "home"))
    for module in (follow, stream):
        monkeypatch.setattr(module, "POLL_SECONDS", 0.05, raising=False)
    return folder


def job(detach: bool = True, resume: bool = False, **fields: Any) -> Job:
    given = {"model": "jo/base", "data_path": "rows", "project_name": "my-run", "trainer": "sft"}
    return Job(LLMTrainingParams(**given | fields), detach=detach, resume=resume)


def started(hub: HubDouble) -> Any:
    (one,) = hub.jobs.values()
    return one


def test_every_kind_of_machine_has_its_backend():
    assert tuple(f"jobs-{flavor}" for flavor in JOB_FLAVORS) == jobs.NAMES


def test_a_job_gets_the_run_with_the_token_among_its_secrets_alone(home: Path, hub: HubDouble):
    outcome = submit(job(lr=1e-3), "jobs-t4-small")
    one = started(hub)
    assert outcome == Outcome(f"jo/{one.id}", None)
    assert (one.flavor, one.image.split(":")[0], one.namespace) == ("t4-small", "python", "jo")
    assert one.secrets["HF_TOKEN"] == TOKEN
    assert TOKEN not in json.dumps([one.command, one.environment, one.secrets["PARAMS"]])
    handover = read_handover(one.process_environment())
    assert (handover.params.lr, handover.params.push_to_hub, handover.params.push_checkpoints) == (1e-3, True, True)
    assert not handover.resume
    assert [each.entry.backend for each in list_runs()] == ["jobs-t4-small"]


def test_local_data_go_to_a_private_data_set_and_nothing_else_does(home: Path, hub: HubDouble):
    submit(job(), "jobs-t4-small")
    handover = read_handover(started(hub).process_environment())
    data = handover.params.data_path
    assert hub.repositories["dataset", data].private
    assert set(hub.files("dataset", data, handover.data_revision)) - {"README.md", ".gitattributes"} == {"train.jsonl"}
    assert hub.places_with("a note beside the data") == []


def test_this_version_of_the_package_is_what_the_job_installs(home: Path, hub: HubDouble):
    submit(job(), "jobs-t4-small")
    one = started(hub)
    repo, commit = one.environment["AUTOTRAIN_PACKAGE"], one.environment["AUTOTRAIN_PACKAGE_REVISION"]
    assert hub.repositories["dataset", repo].private
    assert hub.files("dataset", repo, commit)["src/autotrain/backends/jobs.py"] == Path(jobs.__file__).read_bytes()


def test_what_an_older_version_left_is_not_installed(home: Path, hub: HubDouble):
    hub.add_repo("dataset", "jo/autotrain-package", {"src/autotrain/gone.py": "old", "mine.txt": "kept"}, private=True)
    submit(job(), "jobs-t4-small")
    commit = started(hub).environment["AUTOTRAIN_PACKAGE_REVISION"]
    files = hub.files("dataset", "jo/autotrain-package", commit)
    assert "src/autotrain/gone.py" not in files and files["mine.txt"] == b"kept"


@pytest.mark.parametrize(("max_hours", "hours"), [(2.0, 2.0), (None, jobs.DEFAULT_MAX_HOURS)])
def test_a_job_is_bound_and_saves_before_the_hub_ends_it(home: Path, hub: HubDouble, max_hours: float | None, hours: float):
    submit(job(max_hours=max_hours), "jobs-t4-small")
    one = started(hub)
    assert read_handover(one.process_environment()).params.max_hours == hours
    assert one.timeout > hours * 3600 + GRACE_SECONDS + sum(PUSH_AGAIN_SECONDS)


def test_resuming_is_handed_over(home: Path, hub: HubDouble):
    submit(job(resume=True), "jobs-t4-small")
    assert read_handover(started(hub).process_environment()).resume


@pytest.mark.parametrize("stage", ["SCHEDULING", "RUNNING"])
def test_a_second_job_for_the_same_model_is_refused_while_one_is_at_work(home: Path, hub: HubDouble, stage: str):
    first = submit(job(), "jobs-t4-small")
    started(hub).set_stage(stage)
    with pytest.raises(HubError, match=rf"a Job of my-run is at work: .*/jobs/{first.job_id}; both would write to"):
        submit(job(), "jobs-a10g-small")
    assert len(hub.jobs) == 1
    submit(job(project_name="other"), "jobs-t4-small")
    assert len(hub.jobs) == 2


def test_after_its_end_the_next_job_takes_its_place_and_its_number(home: Path, hub: HubDouble):
    submit(job(), "jobs-t4-small")
    (before,) = list_runs()
    started(hub).set_stage("ERROR")
    ask(before.entry)
    outcome = submit(job(resume=True), "jobs-t4-small")
    (after,) = list_runs()
    assert after.entry.id == before.entry.id and after.stage != "failed"
    assert after.entry.cloud is not None and after.entry.cloud.job_id == outcome.job_id


def test_a_list_of_jobs_that_cant_be_had_is_no_obstacle(home: Path, hub: HubDouble):
    hub.fail("GET", "/api/jobs/jo", 403)
    with log.collect_notices() as notices:
        submit(job(), "jobs-t4-small")
    assert len(hub.jobs) == 1 and any("another Job of my-run is at work isn't known" in one for one in notices)


def test_an_organisations_job_runs_and_pushes_there(home: Path, hub: HubDouble):
    submit(job(username="acme"), "jobs-t4-small")
    one = started(hub)
    assert one.namespace == "acme" and read_handover(one.process_environment()).params.username == "acme"


def ends(hub: HubDouble, *lines: str, stage: str, end: End | None) -> threading.Thread:
    """Lets the Job, once it is there, say `lines` and end."""

    def play() -> None:
        with hub.changed:
            hub.changed.wait_for(lambda: bool(hub.jobs), 60)
        one = started(hub)
        one.set_stage("RUNNING")
        for line in (*lines, *([end_line(end)] if end else [])):
            one.log(line)
        one.set_stage(stage)

    thread = threading.Thread(target=play)
    thread.start()
    return thread


def test_its_log_comes_to_the_terminal_and_its_exit_code_is_ours(
    home: Path, hub: HubDouble, capfd: pytest.CaptureFixture[str]
):
    player = ends(hub, "step 1/2  loss 2.0", stage="COMPLETED", end=End(FINISHED, 0, url=f"{hub.url}/jo/my-run"))
    assert submit(job(detach=False), "jobs-t4-small").exit_code == 0
    player.join()
    out = capfd.readouterr().out
    assert "step 1/2  loss 2.0" in out and "autotrain-end" not in out and TOKEN not in out


def test_a_failed_job_gives_its_reason(home: Path, hub: HubDouble):
    player = ends(hub, stage="ERROR", end=End(FAILED, 2, "no column words in train.jsonl"))
    outcome = submit(job(detach=False), "jobs-t4-small")
    player.join()
    assert (outcome.exit_code, outcome.reason) == (2, "no column words in train.jsonl")


def test_a_job_that_dies_without_a_word_is_a_failure(home: Path, hub: HubDouble):
    player = ends(hub, stage="ERROR", end=None)
    outcome = submit(job(detach=False), "jobs-t4-small")
    player.join()
    assert outcome.exit_code == 1 and "it ended without a word; its log may say why; see http" in outcome.reason


def test_a_dry_run_says_what_is_made_and_paid_and_asks_nobody(home: Path, hub: HubDouble):
    text = find_backend("jobs-t4-small").plan(job(username="jo", max_hours=2)).text
    for said in ("Job of jo on t4-small", "4.00 hours at the latest", "rows/train.jsonl", "model jo/my-run", "0.40 USD"):
        assert said in text
    assert hub.requests == [] and TOKEN not in text


def refused_by(hub: HubDouble, break_it: Callable[[HubDouble], Any], **fields: Any) -> str:
    break_it(hub)
    with pytest.raises(UserError) as caught:
        submit(job(**fields), "jobs-t4-small")
    assert not hub.jobs
    return str(caught.value)


def test_without_a_token_it_says_how_to_get_one(home: Path, hub: HubDouble, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HF_TOKEN")
    assert "token" in refused_by(hub, lambda _: None) and not hub.repositories.get(("dataset", "jo/autotrain-package"))


def test_a_token_that_may_only_read_is_refused_before_anything_is_uploaded(home: Path, hub: HubDouble, monkeypatch):
    hub.add_user("eve", "hf_reader", role="read")
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    assert "may only read" in refused_by(hub, lambda _: None)
    assert not [kind for kind, _ in hub.repositories if kind == "dataset"]


def test_a_token_without_the_permission_for_jobs_is_told_its_name(home: Path, hub: HubDouble, monkeypatch):
    hub.add_user("kim", "hf_fine", role="fineGrained", scopes=["repo.write", "repo.content.read"])
    monkeypatch.setenv("HF_TOKEN", "hf_fine")
    assert "lacks the permission job.write for kim" in refused_by(hub, lambda _: None)


@pytest.mark.parametrize(
    ("status", "said"), [(402, "settings/billing"), (403, "forbids"), (429, "too many requests"), (500, "fault of its own")]
)
def test_a_hub_that_refuses_the_job_is_explained(home: Path, hub: HubDouble, status: int, said: str):
    message = refused_by(hub, lambda hub: hub.fail("POST", "/api/jobs/jo$", status, times=None))
    assert "starting a Job on t4-small" in message and said in message


@pytest.mark.parametrize("kind", ["lost", 500])
def test_a_job_whose_start_wasnt_heard_of_is_found_and_listed(home: Path, hub: HubDouble, kind: str | int):
    """It runs and costs: told as not started, nobody would stop it."""
    hub.fail("POST", "/api/jobs/jo$", kind, times=1 if kind == "lost" else None)
    if kind == "lost":
        outcome = submit(job(), "jobs-t4-small")
        assert outcome.job_id == f"jo/{started(hub).id}" and len(list_runs()) == 1
    else:
        with pytest.raises(HubError, match="fault of its own"):
            submit(job(), "jobs-t4-small")
        assert not hub.jobs and list_runs() == []


def test_where_it_isnt_known_whether_a_job_was_started_it_says_where_to_look(
    home: Path, hub: HubDouble, hurried: list[float]
):
    hub.fail("POST", "/api/jobs/jo$", "lost")
    hub.fail("GET", "/api/jobs/jo", 500, times=None)
    with pytest.raises(HubError, match=r"whether a Job was started all the same isn't known: look at .*/jobs/jo"):
        submit(job(), "jobs-t4-small")


@pytest.mark.parametrize("name", ["a--b", "l\u00e4ufer"])
def test_a_name_that_the_hub_doesnt_take_is_refused_by_the_config_alone(home: Path, hub: HubDouble, name: str):
    with pytest.raises(HubError, match=f"project_name: the model would be USER/{name} on the hub: "):
        find_backend("jobs-t4-small").plan(job(project_name=name))
    assert hub.requests == []


def model_here(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(b"all my weights")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    (folder / "training_params.json").write_text('{"data_path": "a place of mine"}')
    (folder / "diary.txt").write_text("a note beside the model")
    return folder


def test_models_on_this_machine_go_to_private_repositories_with_what_training_needs(home: Path, hub: HubDouble):
    model_here(home / "base"), model_here(home / "ref")
    submit(job(model="./base", model_ref="ref", trainer="dpo"), "jobs-t4-small")
    params = read_handover(started(hub).process_environment()).params
    assert (params.model, params.model_ref) == ("jo/autotrain-base-my-run", "jo/autotrain-reference-my-run")
    for name in (params.model, params.model_ref):
        assert hub.repositories["model", name].private
        assert set(hub.files("model", name)) - {".gitattributes"} == {"config.json", "model.safetensors", "README.md"}
    assert started(hub).secrets["MODEL"] == "jo/autotrain-base-my-run"
    assert hub.places_with("a note beside") == [] and hub.places_with("a place of mine") == []


def test_a_dry_run_names_the_model_that_would_be_uploaded_and_asks_nobody(home: Path, hub: HubDouble):
    model_here(home / "base")
    text = find_backend("jobs-t4-small").plan(job(model="./base", username="jo")).text
    assert "model jo/autotrain-base-my-run: private, with your model ./base" in text
    assert "./base, 3 files -> model jo/autotrain-base-my-run (" in text and hub.requests == []


@pytest.mark.parametrize(
    ("missing", "said"),
    [("config.json", "no config.json and no GGUF"), ("model.safetensors", "no whole model in safetensors")],
)
def test_a_folder_that_is_no_model_is_refused_by_the_config_alone(home: Path, hub: HubDouble, missing: str, said: str):
    (model_here(home / "base") / missing).unlink()
    with pytest.raises(UserError, match=said):
        submit(job(model="./base"), "jobs-t4-small")
    assert hub.requests == []


def test_a_public_model_of_that_name_gets_no_local_weights(home: Path, hub: HubDouble):
    model_here(home / "base")
    hub.add_repo("model", "jo/autotrain-base-my-run", {"README.md": ""}, private=False)
    with pytest.raises(HubError, match="is public: local models aren't shown"):
        submit(job(model="base"), "jobs-t4-small")
    assert not hub.jobs and hub.places_with("all my weights") == []


def test_a_model_that_holds_the_token_is_not_uploaded(home: Path, hub: HubDouble):
    (model_here(home / "base") / "tokenizer_config.json").write_text(json.dumps({"chat_template": TOKEN}))
    with pytest.raises(HubError, match=r"tokenizer_config.json holds your (hub token|HF_TOKEN)"):
        submit(job(model="base"), "jobs-t4-small")
    assert hub.places_with(TOKEN) == [] and not hub.jobs


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("/api/jobs/jo$", ["autotrain-data-my-run", "autotrain-base-my-run", "autotrain-package"]),
        ("/api/datasets/jo/autotrain-package/commit", ["autotrain-data-my-run", "autotrain-base-my-run"]),
        ("/api/models/jo/autotrain-base-my-run/commit", ["autotrain-data-my-run", "autotrain-base-my-run"]),
        ("/api/datasets/jo/autotrain-data-my-run/commit", ["autotrain-data-my-run"]),
    ],
)
def test_what_a_refused_job_leaves_on_the_hub_is_named_with_the_command_that_deletes_it(
    home: Path, hub: HubDouble, path: str, left: list[str]
):
    model_here(home / "base")
    hub.fail("POST", path, 402, times=None)
    with log.collect_notices() as notices, pytest.raises(HubError, match="settings/billing"):
        submit(job(model="base"), "jobs-t4-small")
    for name in left:
        (kind,) = [kind for kind, one in hub.repositories if one == f"jo/{name}"]
        assert any(f"hf repos delete jo/{name} --type {kind}" in notice for notice in notices)
    assert sum("hf repos delete" in notice for notice in notices) == len(left)


def test_a_machine_that_isnt_there_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'jobs-t4-small'"):
        find_backend("jobs-t4-smal")


def test_a_public_data_set_of_that_name_gets_no_local_data(home: Path, hub: HubDouble):
    hub.add_repo("dataset", "jo/autotrain-data-my-run", {"README.md": ""}, private=False)
    with pytest.raises(HubError, match="is public"):
        submit(job(), "jobs-t4-small")
    assert not hub.jobs
