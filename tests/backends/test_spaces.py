"""A run on a Space, through the real client and the hub's double; what runs in the Space is played by the test."""

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hub_double import HubDouble

from autotrain import log, runs
from autotrain.backends import spaces
from autotrain.backends.base import Job
from autotrain.cloud.report import FAILED, FINISHED, End, discussion_text, discussion_title, end_line
from autotrain.cloud.space_service import SpaceService
from autotrain.errors import ConfigError, HubError, ModelError, TrainingError, UserError
from autotrain.project import AutoTrainProject, prepare, submit
from autotrain.trainers.clm.params import LLMTrainingParams

pytestmark = pytest.mark.usefixtures("data_are_good")
TOKEN = "hf_nilsverysecrettoken"
SPACE, DATA, MODEL = "nils/autotrain-run", "nils/autotrain-data-run", "nils/run"
BACKEND = "spaces-t4-small"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: HubDouble) -> Path:
    """A folder with data, an account with a token that is only in the parameters, and a base model on the hub."""
    folder = tmp_path / "here"
    (folder / "rows").mkdir(parents=True)
    (folder / "rows" / "train.jsonl").write_text('{"text": "a row of mine"}\n')
    (folder / "rows" / "notes.txt").write_text("a note of mine, not for upload")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(spaces, "SpaceService", partial(SpaceService, poll_seconds=0.2))
    hub.add_user("nils", token=TOKEN)
    hub.add_repo("model", "org/base", {"config.json": "{}", "model.safetensors": "x"})
    hub.add_repo("dataset", "org/some-data", {"train.jsonl": "{}"})
    log.start_logging()
    return folder


def params(**fields: object) -> LLMTrainingParams:
    given = {"model": "org/base", "project_name": "run", "data_path": "rows", "trainer": "sft", "token": TOKEN}
    return LLMTrainingParams(**given | fields)


@pytest.fixture
def machine(hub: HubDouble) -> Iterator[Callable[[End], None]]:
    """Plays what runs in the Space: starts when it is built, says some lines, tells the end, pauses."""
    threads: list[threading.Thread] = []

    def play(end: End) -> None:
        while not (SPACE in hub.spaces and hub.spaces[SPACE].wait_for_stage("BUILDING", 1)):
            threading.Event().wait(0.05)
        space = hub.spaces[SPACE]
        space.log("installing", build=True)
        while not hub.sent("GET", "/logs/build"):
            threading.Event().wait(0.05)
        threading.Event().wait(0.3)
        space.set_stage("RUNNING")
        space.log("step 1/2  loss 2.0")
        if end.stage == FINISHED:
            hub.add_repo("model", MODEL, {"adapter_model.safetensors": b"weights"}, private=True)
        space.log(end_line(end))
        run = space.environment()["AUTOTRAIN_RUN"]
        from autotrain.hub.client import open_api

        open_api(TOKEN).create_discussion(
            SPACE, discussion_title(end, run), description=discussion_text(end, "run"), repo_type="space"
        )
        space.set_stage("PAUSED")

    def start(end: End) -> threading.Thread:
        threads.append(threading.Thread(target=play, args=[end], daemon=True))
        threads[-1].start()
        return threads[-1]

    yield start
    for thread in threads:
        thread.join(timeout=30)


def test_a_run_makes_a_private_space_with_this_version_and_follows_it_to_the_end(
    here: Path, hub: HubDouble, machine: Callable[[End], None], capsys: pytest.CaptureFixture[str]
):
    machine(End(FINISHED, 0, url=f"{hub.url}/{MODEL}"))
    assert AutoTrainProject(params(max_hours=3.0), BACKEND).create() == SPACE
    space = hub.spaces[SPACE]
    assert space.private and (space.hardware, space.sleep_time) == ("t4-small", 604800)
    assert set(space.secrets) == {
        *("HF_TOKEN", "AUTOTRAIN_USERNAME", "PROJECT_NAME", "TASK_ID", "PARAMS", "DATA_PATH", "MODEL")
    }
    assert (space.secrets["HF_TOKEN"], space.secrets["TASK_ID"]) == (TOKEN, "9")
    assert (space.secrets["DATA_PATH"], space.secrets["MODEL"]) == (DATA, "org/base")
    assert space.stages[-1] == "PAUSED"
    shown = capsys.readouterr()
    assert "installing\n" in shown.out and "step 1/2  loss 2.0\n" in shown.out
    assert "would be billed: t4-small" in shown.err and "as the hub says now" in shown.err
    assert f"the model is at {hub.url}/{MODEL}" in shown.err


def test_the_space_holds_the_program_and_its_start_command(here: Path, hub: HubDouble):
    prepare(Job(params(), detach=True), BACKEND).start()
    files = hub.spaces[SPACE].files
    assert b'CMD ["autotrain", "api", "--port", "7860", "--host", "0.0.0.0"]' in files["Dockerfile"]
    assert b"[api,quant]" not in files["Dockerfile"]  # without LoRA nothing is quantized
    assert b"'.[api]'" in files["Dockerfile"] and b"--constraint ./constraints.txt" in files["Dockerfile"]
    assert b"sdk: docker" in files["README.md"] and b"app_port: 7860" in files["README.md"]
    for path in ("pyproject.toml", "src/autotrain/cli/api.py", "src/autotrain/models/kernels/library.py"):
        assert files[path], path
    assert hub.spaces[SPACE].stage == "BUILDING"


def test_the_token_is_in_one_secret_and_nowhere_else(
    here: Path, hub: HubDouble, machine: Callable[[End], None], capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    machine(End(FINISHED, 0))
    AutoTrainProject(params(), BACKEND).create()
    assert TOKEN not in hub.spaces[SPACE].secrets["PARAMS"]
    assert set(hub.places_with(TOKEN)) == {"POST /api/repos/create"}
    shown = capsys.readouterr()
    assert TOKEN not in shown.out + shown.err
    kept = [file for file in tmp_path.rglob("*") if file.is_file() and TOKEN.encode() in file.read_bytes()]
    assert not [file for file in kept if not file.is_relative_to(tmp_path / "hub")]


def test_local_data_arrive_first_and_the_machine_is_told_the_commit(here: Path, hub: HubDouble):
    prepare(Job(params(), detach=True), BACKEND).start()
    assert hub.files("dataset", DATA)["train.jsonl"] == b'{"text": "a row of mine"}\n'
    assert hub.repositories["dataset", DATA].private and hub.places_with("a note of mine, not for upload") == []
    told = json.loads(hub.spaces[SPACE].secrets["PARAMS"])
    assert (told["data_path"], told["train_split"], told["valid_split"]) == (DATA, "train", None)
    assert (told["push_to_hub"], told["username"]) == (True, "nils")
    assert hub.spaces[SPACE].variables["AUTOTRAIN_DATA_REVISION"]
    order = [one.path for one in hub.requests if "/commit/" in one.path]
    assert [f"/{kind}/" in path for kind, path in zip(("datasets", "spaces"), order, strict=True)] == [True, True]


def test_defect_7_a_space_always_pushes_whatever_the_default_is(here: Path, hub: HubDouble):
    prepare(Job(params(), detach=True), BACKEND).start()
    assert json.loads(hub.spaces[SPACE].secrets["PARAMS"])["push_to_hub"] is True
    with pytest.raises(ConfigError, match="push_to_hub: false with backend spaces-t4-small: the machine's disk is lost"):
        prepare(Job(params(push_to_hub=False)), BACKEND)


def test_a_failed_run_raises_with_the_machines_reason(here: Path, hub: HubDouble, machine: Callable[[End], None]):
    machine(End(FAILED, 1, "the loss is no number"))
    with pytest.raises(TrainingError, match="the loss is no number"):
        AutoTrainProject(params(), BACKEND).create()
    assert hub.spaces[SPACE].stage == "PAUSED"


def test_what_the_worker_refused_there_is_the_users_to_mend_here(here: Path, hub: HubDouble, machine: Callable[[End], None]):
    machine(End(FAILED, 2, "train.jsonl:1: no column 'prompt'"))
    with pytest.raises(UserError, match="no column 'prompt'"):
        AutoTrainProject(params(), BACKEND).create()


def test_a_detached_run_is_in_the_list_of_runs(here: Path, hub: HubDouble, capsys: pytest.CaptureFixture[str]):
    outcome = submit(Job(params(), detach=True), BACKEND)
    assert (outcome.job_id, outcome.exit_code) == (SPACE, None)
    (entry,) = [one.entry for one in runs.list_runs()]
    assert entry.cloud is not None and (entry.cloud.job_id, entry.cloud.repo_id) == (SPACE, MODEL)
    assert entry.cloud.url == f"{hub.url}/spaces/{SPACE}" and TOKEN not in entry.cloud.parameters
    assert f"autotrain runs logs -f {entry.id}" in capsys.readouterr().err


def test_nothing_is_done_without_agreement(here: Path, hub: HubDouble, capsys: pytest.CaptureFixture[str]):
    assert submit(Job(params()), BACKEND, agrees=lambda: False).exit_code == 0
    assert {one.method for one in hub.requests} <= {"GET", "HEAD"} and SPACE not in hub.spaces
    assert "0.40 USD per hour" in capsys.readouterr().err


def test_planning_asks_nobody_and_says_all(here: Path, hub: HubDouble):
    text = prepare(Job(params(max_hours=2.0, token=None)), BACKEND).text
    assert hub.requests == []
    for part in (
        "Space USER/autotrain-run: private, docker, hardware t4-small",
        "data set USER/autotrain-data-run",
        "model USER/run: private",
        "rows/train.jsonl -> data set USER/autotrain-data-run, train.jsonl (26 bytes)",
        "this version of AutoTrain",
        "0.40 USD per hour",
        "training stops after 2 hours (max_hours), 0.80 USD",
        "as of 20",
    ):
        assert part in text, text


def test_a_model_on_this_machine_arrives_first(here: Path, hub: HubDouble):
    (here / "base").mkdir()
    (here / "base" / "config.json").write_text("{}")
    (here / "base" / "model.safetensors").write_bytes(b"all my weights")
    submit(Job(params(model="base"), detach=True), BACKEND)
    space = hub.spaces[SPACE]
    assert (
        space.secrets["MODEL"] == "nils/autotrain-base-run" and hub.repositories["model", "nils/autotrain-base-run"].private
    )
    writes = [one.path for one in hub.requests if one.method == "POST" and "/commit/" in one.path]
    assert [path.split("/")[4] for path in writes] == ["autotrain-data-run", "autotrain-base-run", "autotrain-run"]


def test_a_space_at_rest_is_used_again(here: Path, hub: HubDouble, machine: Callable[[End], None]):
    machine(End(FINISHED, 0))
    AutoTrainProject(params(), BACKEND).create()
    first_run = hub.spaces[SPACE].variables["AUTOTRAIN_RUN"]
    hub.spaces[SPACE].variables["AUTOTRAIN_RESUME"] = "1"
    hub.add_files("space", SPACE, {"src/autotrain/of_an_older_version.py": b"print()"})
    submit(Job(params(data_path="org/some-data"), detach=True), "spaces-a10g-large")
    space = hub.spaces[SPACE]
    assert (space.stage, space.restarts, space.hardware) == ("BUILDING", 1, "a10g-large")
    assert space.secrets["DATA_PATH"] == "org/some-data"
    assert space.variables["AUTOTRAIN_RUN"] != first_run
    assert not {"AUTOTRAIN_RESUME", "AUTOTRAIN_DATA_REVISION"} & set(space.variables)
    assert "src/autotrain/of_an_older_version.py" not in space.files


def test_a_space_at_work_is_left_alone(here: Path, hub: HubDouble):
    submit(Job(params(), detach=True), BACKEND)
    hub.spaces[SPACE].set_stage("RUNNING")
    with pytest.raises(HubError, match="is there already and at work"):
        submit(Job(params(), detach=True), BACKEND)
    assert hub.spaces[SPACE].stage == "RUNNING"


def test_resume_is_handed_over(here: Path, hub: HubDouble):
    submit(Job(params(), resume=True, detach=True), BACKEND)
    assert hub.spaces[SPACE].variables["AUTOTRAIN_RESUME"] == "1"


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("POST", "/api/repos/create", 402, "402"),
        ("POST", "/api/repos/create", 403, "403"),
        ("POST", f"/api/datasets/{DATA}/commit/", 403, "uploading the data"),
        ("POST", f"/api/spaces/{SPACE}/commit/", 403, "uploading AutoTrain itself"),
    ],
)
def test_a_start_that_fails_leaves_no_space_behind(
    here: Path, hub: HubDouble, method: str, path: str, status: int, said: str
):
    hub.fail(method, path, status=status, times=None)
    with pytest.raises(HubError, match=said):
        submit(Job(params(), detach=True), BACKEND)
    assert SPACE not in hub.spaces and runs.list_runs() == []


@pytest.mark.parametrize("status", [500, 429, "cut", "slow"])
def test_a_hub_that_stumbles_leaves_nothing_half_made(here: Path, hub: HubDouble, hurried: list[float], status: int | str):
    hub.fail("POST", f"/api/spaces/{SPACE}/commit/", status=status, seconds=1)
    try:
        submit(Job(params(), detach=True), BACKEND)
    except HubError:
        assert SPACE not in hub.spaces  # given up, and nothing is left
    else:
        assert hub.spaces[SPACE].stage == "BUILDING"


REFUSED = [
    ({"model": "./my-model"}, {}, ModelError, "base_model: no folder ./my-model"),
    ({"model_ref": "./ref"}, {}, ModelError, "model_ref: no folder ./ref"),
    ({"chat_template": "my/template.jinja"}, {}, ConfigError, "chat_template: the file my/template.jinja lies on this"),
    ({"data_path": "rows/nosuch.jsonl"}, {}, UserError, "no file or folder"),
    ({"model": "org/nosuch"}, {}, ModelError, "org/nosuch"),
    ({"username": "acme"}, {}, HubError, "hub.username: the token belongs to nils, who is not in acme"),
    ({"token": None}, {}, HubError, "needs a token with write access"),
]


@pytest.mark.parametrize(("fields", "account", "kind", "message"), REFUSED, ids=[next(iter(one[0])) for one in REFUSED])
def test_what_cant_work_is_refused_before_anything_is_made(
    here: Path, hub: HubDouble, fields: dict[str, object], account: object, kind: type[Exception], message: str
):
    with pytest.raises(kind, match=message):
        submit(Job(params(**fields), detach=True), BACKEND)
    assert set(hub.repositories) == {("model", "org/base"), ("dataset", "org/some-data")}


def test_a_token_that_may_only_read_is_refused_before_anything_is_made(here: Path, hub: HubDouble):
    hub.add_user("nils", token="hf_readonly", role="read")
    with pytest.raises(HubError, match="the token may only read"):
        submit(Job(params(token="hf_readonly"), detach=True), BACKEND)
    assert set(hub.repositories) == {("model", "org/base"), ("dataset", "org/some-data")}


def test_an_organisations_space_is_made_in_its_name(here: Path, hub: HubDouble):
    hub.add_user("nils", token=TOKEN, orgs={"acme": "admin"})
    assert submit(Job(params(username="acme"), detach=True), BACKEND).job_id == "acme/autotrain-run"
    assert json.loads(hub.spaces["acme/autotrain-run"].secrets["PARAMS"])["username"] == "acme"


def test_an_occupied_local_folder_is_no_obstacle(here: Path, hub: HubDouble):
    (here / "run").mkdir()
    (here / "run" / "mine.txt").touch()
    assert submit(Job(params(), detach=True), BACKEND).job_id == SPACE
