"""The workspace: a name leads to a folder inside, or nowhere."""

from pathlib import Path

import pytest

from autotrain.app.inside import check_inside
from autotrain.app.workspace import Workspace
from autotrain.errors import ConfigError
from autotrain.trainers.clm.params import LLMTrainingParams


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "work").mkdir()
    return Workspace(tmp_path / "work")


@pytest.mark.parametrize("name", ["my-run", "v1.2", "模型", "a b"])
def test_a_plain_name_is_a_folder_inside(workspace: Workspace, name: str):
    assert workspace.run(name) == workspace.root / name
    assert workspace.dataset(name) == workspace.root / "datasets" / name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../other", "a/../../b", "/etc/passwd", "..\\other", "a/b", "C:x", "a\0b", "~/x/y"]
)
def test_a_path_is_refused(workspace: Workspace, name: str):
    with pytest.raises(ConfigError, match="is no name of a folder here"):
        workspace.run(name)
    with pytest.raises(ConfigError, match="is no name of a folder here"):
        workspace.dataset(name)


def test_a_link_that_leads_out_is_refused(workspace: Workspace, tmp_path: Path):
    (tmp_path / "secret").mkdir()
    (workspace.root / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ConfigError):
        workspace.run("link")
    assert not workspace.holds(workspace.root / "link" / "file") and workspace.holds(workspace.root / "run" / "file")


@pytest.mark.parametrize("name", ["datasets", "Datasets"])
def test_no_run_lies_where_the_uploads_do(workspace: Workspace, name: str):
    with pytest.raises(ConfigError, match="folder of the uploads"):
        workspace.run(name)


def test_a_folder_whose_files_lie_outside_is_outside(workspace: Workspace, tmp_path: Path):
    (tmp_path / "secret.jsonl").write_text("{}")
    inside = workspace.root / "data"
    (inside / "deep").mkdir(parents=True)
    (inside / "train.jsonl").write_text("{}")
    (inside / "again.jsonl").symlink_to(inside / "train.jsonl")
    params = LLMTrainingParams(project_name="a", data_path="data", model="acme/tiny")
    check_inside(params, workspace)
    (inside / "deep" / "valid.jsonl").symlink_to(tmp_path / "secret.jsonl")
    with pytest.raises(ConfigError, match="data lies outside the workspace"):
        check_inside(params, workspace)
    check_inside(params, workspace, ["data"])
