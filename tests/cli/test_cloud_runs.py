"""`autotrain runs` and the cloud, against the double of the hub: Jobs and Spaces are asked, followed and stopped."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hub_double import HubDouble

from autotrain.cloud.report import End, discussion_text, discussion_title, end_line
from autotrain.runs import list_runs, register_cloud

Cli = Callable[..., tuple[int, str, str]]
TOKEN = "hf_" + "a" * 20
STEP = "step {}/9  loss {:.4f}  lr 2.0e-04  120 tokens/s  3 min left"


@pytest.fixture
def cli(hub: HubDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """The command in this process, logged in as ada: exit code, standard output and error."""
    from autotrain.cli import main

    hub.add_user("ada", token=TOKEN)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(arguments)
        out, err = capfd.readouterr()
        assert TOKEN not in out + err
        return code, out, err

    return run


@pytest.fixture
def job(hub: HubDouble, cli: Cli) -> str:
    """A Job of ada's that trains, in the list as run 1."""
    from huggingface_hub import HfApi

    started = HfApi(endpoint=hub.url, token=TOKEN).run_job(image="python", command=["true"], flavor="t4-small")
    hub.jobs["ada", started.id].set_stage("RUNNING")
    for step, loss in ((1, 3.5), (4, 2.25)):
        hub.jobs["ada", started.id].log(STEP.format(step, loss))
    job_id = f"ada/{started.id}"
    params = {"project_name": "trained", "model": "ada/base", "trainer": "sft", "data_path": "ada/rows", "username": "ada"}
    register_cloud("trained", "jobs-t4-small", job_id, "ada/trained", f"{hub.url}/jobs/{job_id}", json.dumps(params))
    return started.id


@pytest.fixture
def space(hub: HubDouble, cli: Cli) -> str:
    """A Space of ada's that trains, in the list as run 1."""
    hub.add_repo("space", "ada/autotrain-trained", files={"README.md": b"---\nsdk: docker\n---\n"}, private=True)
    hub.spaces["ada/autotrain-trained"].set_stage("RUNNING")
    hub.spaces["ada/autotrain-trained"].log(STEP.format(4, 2.25))
    register_cloud(
        "trained", "spaces-t4-small", "ada/autotrain-trained", "ada/trained", f"{hub.url}/spaces/ada/autotrain-trained"
    )
    return "ada/autotrain-trained"


@pytest.mark.parametrize("place", ["job", "space"])
def test_the_list_asks_where_it_stands_and_what_its_last_loss_was(cli: Cli, request: pytest.FixtureRequest, place: str):
    request.getfixturevalue(place)
    code, out, _ = cli("runs")
    line = out.splitlines()[1].split()
    assert code == 0 and line[:5] == ["1", "trained", "running", "4/9", "2.2500"] and line[-1].startswith("http")


def test_a_job_that_ended_is_asked_once_more_and_then_no_longer(cli: Cli, hub: HubDouble, job: str):
    hub.jobs["ada", job].log(STEP.format(9, 1.5))
    hub.jobs["ada", job].set_stage("COMPLETED")
    assert cli("runs")[1].splitlines()[1].split()[2:5] == ["finished", "9/9", "1.5000"]
    num_asked = len(hub.requests)
    assert cli("runs")[1].splitlines()[1].split()[2:5] == ["finished", "9/9", "1.5000"]
    assert len(hub.requests) == num_asked


def test_a_failed_job_says_why_and_is_resumed(cli: Cli, hub: HubDouble, job: str):
    hub.jobs["ada", job].log(end_line(End("failed", 1, "the loss is nan")))
    hub.jobs["ada", job].set_stage("ERROR")
    out = cli("runs", "show", "trained")[1]
    assert "failed: the loss is nan" in out and "autotrain runs resume 1" in out
    assert "ada/trained on the hub" in out and "ada/base" in out
    assert "failed: the loss is nan" in cli("runs", "logs", "1")[1]  # not as the machine wrote it


def test_a_failed_space_says_why(cli: Cli, hub: HubDouble, space: str):
    from huggingface_hub import HfApi

    api = HfApi(endpoint=hub.url, token=TOKEN)
    end = End("failed", 1, "out of memory")
    api.add_space_variable(space, "AUTOTRAIN_RUN", "r1")
    title, text = discussion_title(end, "r1"), discussion_text(end, "trained")
    api.create_discussion(space, title, description=text, repo_type="space")
    api.pause_space(space)
    assert "failed: out of memory" in cli("runs", "show", "1")[1]


def test_what_is_deleted_on_the_hub_is_gone(cli: Cli, hub: HubDouble, space: str):
    from huggingface_hub import HfApi

    HfApi(endpoint=hub.url, token=TOKEN).delete_repo(space, repo_type="space")
    out = cli("runs", "show", "1")[1]
    assert "gone: there is no such Space" in out and "autotrain runs rm 1" in out


def test_logs_are_those_of_the_job_or_their_last_lines(cli: Cli, job: str):
    assert cli("runs", "logs", "1")[1] == STEP.format(1, 3.5) + "\n" + STEP.format(4, 2.25) + "\n"
    assert cli("runs", "logs", "-n", "1", "trained")[1] == STEP.format(4, 2.25) + "\n"


def test_following_ends_with_the_run(cli: Cli, hub: HubDouble, job: str):
    hub.jobs["ada", job].log(end_line(End("finished", 0, "", "https://hub.test/ada/trained")))
    hub.jobs["ada", job].set_stage("COMPLETED")
    code, out, err = cli("runs", "logs", "-f", "1")
    assert code == 0 and STEP.format(4, 2.25) in out and "autotrain-end" not in out
    assert "the model is at https://hub.test/ada/trained" in err
    assert list_runs()[0].stage == "finished"


@pytest.mark.parametrize(
    ("stage", "end", "code", "said"),
    [
        ("COMPLETED", End("finished", 0), 0, ""),
        ("COMPLETED", End("stopped", 0, "max_hours were over"), 0, "max_hours were over"),
        ("ERROR", End("failed", 2, "no rows left"), 2, "no rows left"),
        ("ERROR", End("failed", 3, "trained, but not pushed"), 3, "trained, but not pushed"),
        ("ERROR", None, 1, "Job timeout"),  # or preempted: the hub's own words
        ("CANCELED", None, 1, "stopped before its end; see http"),  # on its page
        ("DELETED", None, 1, ""),
    ],
)
def test_the_exit_code_of_following_is_that_of_the_run(
    cli: Cli, hub: HubDouble, job: str, stage: str, end: End | None, code: int, said: str
):
    if end:
        hub.jobs["ada", job].log(end_line(end))
    hub.jobs["ada", job].set_stage(stage, "Job timeout" if said == "Job timeout" else None)
    got, out, _ = cli("runs", "logs", "-f", "1")
    assert got == code and said in out


def test_following_a_job_that_isnt_there_says_so(cli: Cli, hub: HubDouble, job: str):
    hub.jobs.clear()
    code, out, _ = cli("runs", "logs", "-f", "1")
    assert code == 1 and "there is no such Job (any more)" in out
    code, _, err = cli("runs", "logs", "1")
    assert code == 2 and "Job" in err and "404" in err


def test_rm_of_a_job_has_nothing_to_delete_there(cli: Cli, hub: HubDouble, job: str):
    hub.jobs["ada", job].set_stage("COMPLETED")
    code, _, err = cli("runs", "rm", "1", "--remote", "--yes")
    assert code == 2 and "leaves nothing but its log" in err and "named autotrain-...: hf repos delete" in err
    assert cli("runs", "rm", "1")[0] == 0 and list_runs() == []


def test_stop_cancels_a_job(cli: Cli, hub: HubDouble, job: str):
    code, out, _ = cli("runs", "stop", "trained")
    assert code == 0 and f"ada/{job} was told to stop; stopped" in out and "autotrain runs resume 1" in out
    assert hub.jobs["ada", job].stage == "CANCELED"
    assert "isn't running: stopped" in cli("runs", "stop", "trained")[1]


def test_stop_pauses_a_space(cli: Cli, hub: HubDouble, space: str):
    assert cli("runs", "stop", "1")[0] == 0
    assert hub.spaces[space].stage == "PAUSED"


def test_rm_keeps_the_space_unless_told_otherwise_and_the_model_in_any_case(cli: Cli, hub: HubDouble, space: str):
    hub.add_repo("model", "ada/trained", files={"README.md": b"a model"})
    code, _, err = cli("runs", "rm", "1", "--remote")
    assert code == 2 and "is running; stop it first" in err
    cli("runs", "stop", "1")
    code, _, err = cli("runs", "rm", "1", "--folder")
    assert code == 2 and "ran in the cloud" in err
    code, _, err = cli("runs", "rm", "1", "--remote")
    assert code == 2 and "the model in ada/trained stays, add --yes" in err and hub.exists("space", space)
    assert cli("runs", "rm", "1", "--remote", "--yes")[0] == 0
    assert not hub.exists("space", space) and hub.exists("model", "ada/trained") and list_runs() == []


@pytest.mark.parametrize("status", [401, 403, 429, 500, "cut"])
def test_a_hub_that_refuses_is_explained_and_hides_nothing(
    cli: Cli, hub: HubDouble, job: str, status: int | str, hurried: list[float]
):
    cli("runs")
    hub.fail("GET", "/api/jobs/ada/", status=status, times=None)
    code, out, err = cli("runs")
    assert code == 0 and out.splitlines()[1].split()[:5] == ["1", "trained", "unknown", "4/9", "2.2500"]
    assert "note: 1: where it stands isn't known: " in err and "Traceback" not in err
    code, _, err = cli("runs", "resume", "1")
    assert code == 2 and "where it stands isn't known" in err


def test_without_a_token_the_list_is_shown_and_says_how_to_log_in(cli: Cli, job: str, monkeypatch: pytest.MonkeyPatch):
    cli("runs")
    monkeypatch.delenv("HF_TOKEN")
    code, out, err = cli("runs")
    assert code == 0 and "unknown" in out and "HF_TOKEN" in err
    code, _, err = cli("runs", "logs", "1")
    assert code == 2 and "HF_TOKEN" in err


def test_a_stopped_job_is_resumed_as_a_new_one_in_its_place(cli: Cli, hub: HubDouble, job: str):
    hub.add_repo("dataset", "ada/rows", files={"train.jsonl": b'{"text": "a"}\n'})
    hub.add_repo("model", "ada/base", files={"config.json": b'{"model_type": "gpt2"}', "model.safetensors": b"0"})
    cli("runs", "stop", "1")
    code, _, err = cli("runs", "resume", "1", "--detach")
    assert code == 0, err
    (run,) = list_runs()
    assert run.entry.cloud and run.entry.cloud.job_id != f"ada/{job}" and run.entry.name == "trained"
    started = hub.jobs["ada", run.entry.cloud.job_id.partition("/")[2]]
    assert TOKEN not in json.dumps(started.environment) + " ".join(started.command)
