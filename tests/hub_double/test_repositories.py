"""Repositories through the real client: made, filled, read, branched, moved, deleted."""

from pathlib import Path

import pytest
from hub_double import HubDouble
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelCard,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

REPO = "nils/model"
CARD = "---\nlicense: apache-2.0\nbase_model: acme/base\ntags: [sft]\n---\n# Model\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    (made / "runs").mkdir(parents=True)
    (made / "config.json").write_text('{"layers": 2}')
    (made / "README.md").write_text(CARD)
    (made / "model.safetensors").write_bytes(bytes(range(256)) * 50)
    (made / "runs" / "events.txt").write_text("step 1")
    return made


def test_a_folder_goes_up_in_one_commit_and_comes_down_the_same(hub: HubDouble, api: HfApi, folder: Path, tmp_path: Path):
    address = api.create_repo(REPO, private=True)
    commit = api.upload_folder(repo_id=REPO, folder_path=folder, commit_message="Trained")
    assert str(address) == f"{hub.url}/{REPO}" and address.repo_id == REPO
    assert hub.files("model", REPO)["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert [each.title for each in api.list_repo_commits(REPO)] == ["Trained", "initial commit"]
    down = Path(snapshot_download(REPO, endpoint=hub.url, token="hf_nils", cache_dir=tmp_path / "cache"))
    assert {path.relative_to(down).as_posix() for path in down.rglob("*") if path.is_file()} == {
        ".gitattributes", "README.md", "config.json", "model.safetensors", "runs/events.txt",
    }  # fmt: skip
    assert (down / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert api.model_info(REPO).sha == commit.oid == down.name


def test_the_same_folder_again_makes_no_second_commit(hub: HubDouble, api: HfApi, folder: Path):
    api.create_repo(REPO)
    first = api.upload_folder(repo_id=REPO, folder_path=folder)
    assert api.upload_folder(repo_id=REPO, folder_path=folder).oid == first.oid
    assert len(hub.repositories["model", REPO].commits) == 2
    assert len(hub.sent("PUT", "/lfs/")) == 1  # the weights went up once


def test_every_commit_can_still_be_read(hub: HubDouble, api: HfApi, tmp_path: Path):
    api.create_repo(REPO)
    old = api.upload_file(repo_id=REPO, path_in_repo="a.txt", path_or_fileobj=b"old")
    api.upload_file(repo_id=REPO, path_in_repo="a.txt", path_or_fileobj=b"new")
    path = hf_hub_download(REPO, "a.txt", revision=old.oid, endpoint=hub.url, cache_dir=tmp_path / "cache")
    assert Path(path).read_bytes() == b"old" and hub.files("model", REPO)["a.txt"] == b"new"


def test_files_and_folders_can_be_deleted(hub: HubDouble, api: HfApi, folder: Path):
    api.create_repo(REPO)
    api.upload_folder(repo_id=REPO, folder_path=folder)
    api.create_commit(REPO, [CommitOperationDelete("runs/"), CommitOperationDelete("config.json")], commit_message="Less")
    assert set(hub.files("model", REPO)) == {".gitattributes", "README.md", "model.safetensors"}
    with pytest.raises(EntryNotFoundError):
        api.delete_file("config.json", REPO)


def test_a_commit_on_top_of_an_outdated_one_is_refused(api: HfApi):
    api.create_repo(REPO)
    old = api.model_info(REPO).sha
    api.upload_file(repo_id=REPO, path_in_repo="a.txt", path_or_fileobj=b"1")
    with pytest.raises(HfHubHTTPError, match="412"):
        api.create_commit(REPO, [CommitOperationAdd("b.txt", b"2")], commit_message="late", parent_commit=old)


def test_branches_and_tags(hub: HubDouble, api: HfApi):
    api.create_repo(REPO)
    api.create_branch(REPO, branch="run/two")
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_branch(REPO, branch="run/two")
    api.create_branch(REPO, branch="run/two", exist_ok=True)
    api.upload_file(repo_id=REPO, path_in_repo="a.txt", path_or_fileobj=b"1", revision="run/two")
    api.create_tag(REPO, tag="v1", revision="run/two")
    refs = api.list_repo_refs(REPO)
    assert {each.name for each in refs.branches} == {"main", "run/two"} and [each.name for each in refs.tags] == ["v1"]
    assert "a.txt" in hub.files("model", REPO, "v1") and "a.txt" not in hub.files("model", REPO)
    api.delete_tag(REPO, tag="v1")
    api.delete_branch(REPO, branch="run/two")
    with pytest.raises(RevisionNotFoundError):
        api.list_repo_files(REPO, revision="run/two")


def test_squashing_leaves_one_commit_with_the_same_files(hub: HubDouble, api: HfApi):
    api.create_repo(REPO)
    for number in range(3):
        api.upload_file(repo_id=REPO, path_in_repo="a.txt", path_or_fileobj=str(number).encode())
    api.super_squash_history(REPO)
    assert len(api.list_repo_commits(REPO)) == 1 and hub.files("model", REPO)["a.txt"] == b"2"


def test_long_listings_come_in_pages(hub: HubDouble, api: HfApi):
    hub.page_entries = 3
    hub.add_repo("dataset", "nils/data", files={f"part-{number}/rows.csv": "a\n1\n" for number in range(5)})
    assert len(api.list_repo_files("nils/data", repo_type="dataset")) == 5
    assert len(list(api.list_repo_tree("nils/data", repo_type="dataset"))) == 5  # folders
    assert len(hub.sent("GET", "/tree/main")) == 4 + 2


def test_facts_about_paths_and_the_card(hub: HubDouble, api: HfApi, folder: Path):
    api.create_repo(REPO)
    api.upload_folder(repo_id=REPO, folder_path=folder)
    weights, runs = api.get_paths_info(REPO, ["model.safetensors", "runs"])
    assert weights.size == weights.lfs.size == 12800 and runs.path == "runs"
    info = api.model_info(REPO, files_metadata=True)
    assert info.card_data.license == "apache-2.0" and "license:apache-2.0" in info.tags
    assert {each.rfilename: each.size for each in info.siblings}["model.safetensors"] == 12800
    assert ModelCard.load(REPO, token="hf_nils").data.base_model == "acme/base"


def test_making_a_repository_twice(api: HfApi):
    api.create_repo(REPO)
    assert api.create_repo(REPO, exist_ok=True).repo_id == REPO
    with pytest.raises(HfHubHTTPError, match=r"(?s)409.*already created"):
        api.create_repo(REPO)


def test_settings_move_and_delete(hub: HubDouble, api: HfApi, as_user):
    api.create_repo(REPO)
    api.update_repo_settings(REPO, private=True)
    with pytest.raises(RepositoryNotFoundError):
        as_user("anna").model_info(REPO)
    api.update_repo_settings(REPO, private=False)
    api.move_repo(REPO, "acme/moved")
    assert api.repo_exists("acme/moved") and not api.repo_exists(REPO)
    assert [each.id for each in api.list_models(author="acme")] == ["acme/moved"]
    api.delete_repo("acme/moved")
    assert not hub.exists("model", "acme/moved")
    api.delete_repo("acme/moved", missing_ok=True)


def test_a_card_that_is_not_valid_is_refused_before_anything_goes_up(hub: HubDouble, api: HfApi, folder: Path):
    api.create_repo(REPO)
    (folder / "README.md").write_text("---\nlicense: my-own\n---\n")
    with pytest.raises(ValueError, match=r"(?s)license.*must be one of"):
        api.upload_folder(repo_id=REPO, folder_path=folder)
    assert set(hub.files("model", REPO)) == {".gitattributes"}


def test_what_gitignore_names_stays_away(hub: HubDouble, api: HfApi, folder: Path):
    api.create_repo(REPO)
    (folder / ".gitignore").write_text("runs/\n")
    api.upload_folder(repo_id=REPO, folder_path=folder)
    assert "runs/events.txt" not in hub.files("model", REPO)


def test_everything_lies_on_disk(hub: HubDouble, api: HfApi):
    api.create_repo(REPO)
    api.upload_file(repo_id=REPO, path_in_repo="a.txt", path_or_fileobj=b"hello")
    kept = hub.root / "models" / REPO
    assert len(list((kept / "commits").glob("*.json"))) == 2 and (kept / "repository.json").is_file()
    assert b"hello" in [path.read_bytes() for path in (hub.root / "blobs").iterdir()]
