"""A run folder on another machine and its copy here."""

import shutil
from pathlib import Path

import pytest

from autotrain.trainers.clm.cluster import files
from autotrain.trainers.clm.cluster.files import Gone, Moved, Piece, Watch, all_pieces, apply


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "there"
    checkpoint = folder / "checkpoints" / "checkpoint-5"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainable.safetensors").write_bytes(bytes(range(256)) * 10)
    (folder / "metrics.jsonl").write_text("1\n")
    (folder / "empty").touch()
    (folder / "state.json").write_text("{}")
    return folder


def test_the_copy_follows(there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PIECE_BYTES", 1000)  # 2560 bytes are three pieces
    here, watch = tmp_path / "here", Watch(there)

    def follow() -> list[files.Change]:
        changes = list(watch.changes())
        for change in changes:
            apply(here, change)
        assert content(here) == content(there)
        return changes

    first = follow()
    assert sum(isinstance(change, Piece) and "checkpoint-5" in change.path for change in first) == 3
    assert isinstance(first[-1], Piece) and first[-1].path == "state.json"
    assert follow() == []
    with (there / "metrics.jsonl").open("a") as file:
        file.write("2\n")
    assert [change.path for change in follow() if isinstance(change, Piece)] == ["metrics.jsonl"]
    (there / "checkpoints" / "checkpoint-5").rename(there / "checkpoints" / "checkpoint-6")
    changes = follow()
    assert Gone("checkpoints/checkpoint-5") in changes
    assert Moved("checkpoints/.tmp-checkpoint-6", "checkpoints/checkpoint-6") in changes


def test_a_checkpoint_that_has_not_arrived_whole_has_no_name(there: Path, tmp_path: Path) -> None:
    for change in Watch(there).changes():
        if isinstance(change, Moved):
            break
        apply(tmp_path / "here", change)
    assert not (tmp_path / "here" / "checkpoints" / "checkpoint-5").exists()


def test_what_is_being_written_and_the_lock_stay_there(there: Path, tmp_path: Path) -> None:
    (there / ".lock").touch()
    (there / ".tmp-state.json").touch()
    (there / "checkpoints" / ".tmp-checkpoint-9").mkdir()
    (there / "checkpoints" / ".tmp-checkpoint-9" / "half").touch()
    for piece in all_pieces(there):
        apply(tmp_path / "here", piece)
    assert sorted(content(tmp_path / "here")) == [
        "checkpoints/checkpoint-5/trainable.safetensors",
        "empty",
        "metrics.jsonl",
        "state.json",
    ]


def test_a_file_that_is_gone_before_it_is_read_is_no_fault(there: Path) -> None:
    changes = Watch(there).changes()
    next(changes)
    shutil.rmtree(there)
    assert not any(isinstance(change, Piece | Moved) for change in changes)


@pytest.mark.parametrize("path", ["../stolen", "/stolen", "a/../../stolen", ""])
def test_nothing_is_written_outside(path: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leads out of the run folder"):
        apply(tmp_path / "here", Piece(path, b"", True, True))
