"""Local data go to a private data set of the user's: the split files, nothing else; and come back as they were."""

from pathlib import Path

import pytest
from hub_double import HubDouble

from autotrain.cloud.upload import data_repo, fetch_data, local_splits, renamed, upload_data
from autotrain.errors import ConfigError, DataError, HubError
from autotrain.hub.client import open_api
from autotrain.hub.sizes import size_text
from autotrain.trainers.clm.params import LLMTrainingParams

REPO = "nils/autotrain-data-run"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two splits, and files that are nobody else's business."""
    folder = tmp_path / "my data"
    folder.mkdir()
    (folder / "rows.csv").write_text('text,id\n"hello, you",001\n')
    (folder / "held-out.csv").write_text("text,id\nbye,002\n")
    (folder / "private-notes.txt").write_text("not for anyone\n")
    (folder / ".env").write_text("HF_TOKEN=hf_somethingsecret\n")
    return folder


def params(folder: Path, **fields: object) -> LLMTrainingParams:
    return LLMTrainingParams(data_path=str(folder), train_split="rows", valid_split="held-out", project_name="run", **fields)


def test_exactly_the_split_files_are_uploaded_and_come_back_unchanged(hub: HubDouble, folder: Path, tmp_path: Path):
    hub.add_user("nils")
    splits = local_splits(params(folder))
    commit = upload_data(open_api("hf_nils"), REPO, splits, "run")
    assert set(hub.files("dataset", REPO)) == {".gitattributes", "README.md", "train.csv", "valid.csv"} - (
        {".gitattributes"} - set(hub.files("dataset", REPO))
    )
    assert hub.repositories["dataset", REPO].private
    assert hub.places_with("not for anyone") == hub.places_with("hf_somethingsecret") == hub.places_with(str(folder)) == []
    there = fetch_data(REPO, commit, tmp_path / "there", "hf_nils")
    for ours, theirs in (("rows.csv", "train.csv"), ("held-out.csv", "valid.csv")):
        assert (there / theirs).read_bytes() == (folder / ours).read_bytes()


def test_the_run_finds_the_splits_by_their_new_names(folder: Path):
    given = params(folder)
    there = renamed(given, local_splits(given))
    assert (there.train_split, there.valid_split) == ("train", "valid")
    alone = given.model_copy(update={"valid_split": None})
    assert renamed(alone, local_splits(alone)).valid_split is None
    assert data_repo("nils", "run") == REPO


def test_a_repeated_upload_replaces_what_was_there(hub: HubDouble, folder: Path, tmp_path: Path):
    hub.add_user("nils")
    api = open_api("hf_nils")
    first = upload_data(api, REPO, local_splits(params(folder)), "run")
    (folder / "rows.jsonl").write_text('{"text": "other"}\n')
    (folder / "rows.csv").unlink()
    only_train = params(folder).model_copy(update={"valid_split": None})
    second = upload_data(api, REPO, local_splits(only_train), "run")
    assert {"train.jsonl", "README.md"} == set(hub.files("dataset", REPO)) - {".gitattributes"}
    # A machine that was told of the first commit still finds it.
    assert (fetch_data(REPO, first, tmp_path / "old", "hf_nils") / "valid.csv").is_file()
    assert first != second


def test_local_data_are_never_put_where_everyone_sees_them(hub: HubDouble, folder: Path):
    hub.add_user("nils")
    hub.add_repo("dataset", REPO, private=False)
    with pytest.raises(HubError, match="is public: local data aren't shown to everyone"):
        upload_data(open_api("hf_nils"), REPO, local_splits(params(folder)), "run")
    assert hub.places_with("hello, you") == []


def test_the_hub_reads_the_card(hub: HubDouble, folder: Path):
    import yaml

    hub.add_user("nils")
    upload_data(open_api("hf_nils"), REPO, local_splits(params(folder)), "run")
    card = hub.files("dataset", REPO)["README.md"].decode()
    assert yaml.safe_load(card.split("---")[1])["configs"][0]["data_files"] == [
        {"split": "train", "path": "train.csv"},
        {"split": "validation", "path": "valid.csv"},
    ]


def test_data_of_the_hub_need_no_upload():
    assert local_splits(LLMTrainingParams(data_path="some-org/some-data", valid_split="test")) == ()


def test_what_isnt_there_or_is_in_two_places_is_refused(folder: Path):
    with pytest.raises(DataError, match="no split 'nosuch'"):
        local_splits(params(folder).model_copy(update={"train_split": "nosuch"}))
    with pytest.raises((ConfigError, DataError)):
        local_splits(LLMTrainingParams(data_path=str(folder / "rows.csv"), valid_split="org/other"))


def test_sizes_are_in_words():
    assert [size_text(size) for size in (0, 999, 1500, 2_340_000)] == ["0 bytes", "999 bytes", "1.5 kB", "2.3 MB"]
