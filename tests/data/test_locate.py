"""A path and a split stand for one file, or for a hub data set."""

import logging

import pytest

from autotrain.data.locate import HubSplit, locate, parse_hub_split
from autotrain.errors import DataError


def test_a_file_is_itself_whatever_the_split(write):
    path = write("my.csv", "text\na\n")
    assert locate(str(path), "train") == path


def test_several_files_of_a_split_are_told(write, tmp_path, caplog):
    for name in ("train.jsonl", "train.csv", "train.txt"):
        write(name, "x")
    with caplog.at_level(logging.WARNING, "autotrain"):
        assert locate(str(tmp_path), "train").name == "train.csv"
    assert "train.csv is taken, not train.jsonl, train.txt" in caplog.text


def test_defect_8_any_file_stem_is_a_split(write, tmp_path):
    path = write("my-rows.jsonl", "{}")
    assert locate(str(tmp_path), "my-rows") == path
    assert locate(str(tmp_path), "my-rows.jsonl") == path


def test_missing_split_lists_what_is_there_and_the_nearest(write, tmp_path):
    write("training.csv", "text\n")
    write("valid.csv", "text\n")
    with pytest.raises(DataError, match=r"no split 'trainin'.*training\.csv, valid\.csv; did you mean 'training'\?"):
        locate(str(tmp_path), "trainin")


def test_issue_786_split_given_as_a_fraction_is_refused_at_once(write, tmp_path):
    write("train.csv", "text\n")
    with pytest.raises(DataError, match=r"no split '0\.8' in .*it holds train\.csv"):
        locate(str(tmp_path), "0.8")


def test_issue_411_run_outputs_are_no_data(write, tmp_path, monkeypatch):
    write("training_params.json", "{}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"no split 'train'.*the folder holds no data files"):
        locate(".", "train")


def test_files_of_other_kinds_are_named(write, tmp_path):
    write("train.xlsx", "x")
    with pytest.raises(DataError, match=r"the folder holds no data files, only train\.xlsx"):
        locate(str(tmp_path), "train")


def test_missing_path_names_the_nearest(write, tmp_path):
    write("chats/train.csv", "text\n")
    with pytest.raises(DataError, match=r"no file or folder .*chat/; did you mean .*chats"):
        locate(str(tmp_path / "chat") + "/", "train")
    with pytest.raises(DataError, match=r"no file or folder train\.csv"):
        locate("train.csv", "train")


def test_a_misspelt_local_folder_isnt_looked_for_on_the_hub(write, tmp_path, monkeypatch):
    write("data/chats/train.csv", "text\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"no file or folder data/chat; did you mean data/chats\?"):
        locate("data/chat", "train")
    assert locate("data/other", "train") == HubSplit("data/other", None, "train")


def test_unknown_extension_is_refused(write):
    with pytest.raises(DataError, match=r"a\.xlsx is no data file; its name must end in \.csv, \.jsonl"):
        locate(str(write("a.xlsx", "x")), "train")


def test_validation_beside_a_file_is_a_split_or_a_path(write, tmp_path):
    train, valid = write("a.jsonl", "{}"), write("b.csv", "text\n")
    assert locate(str(train), "b", is_valid=True) == valid
    assert locate(str(train), "b.csv", is_valid=True) == valid
    assert locate(str(train), str(valid), is_valid=True) == valid
    with pytest.raises(DataError, match=r"valid_split is the path to a file, or the name of one beside it"):
        locate(str(train), "c", is_valid=True)


@pytest.mark.parametrize(
    ("split", "config", "plain"),
    [
        ("train", None, "train"),
        ("main:train", "main", "train"),
        ("train[:100]", None, "train[:100]"),
        ("main:train[10%:20%]", "main", "train[10%:20%]"),
        ("train[:10]+test[:10]", None, "train[:10]+test[:10]"),
    ],
)
def test_a_slice_isnt_a_config(split, config, plain):
    assert parse_hub_split("user/name", split) == HubSplit("user/name", config, plain)
    assert locate("user-x/no-such-folder", split) == HubSplit("user-x/no-such-folder", config, plain)
