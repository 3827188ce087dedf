"""What a resumed run is told about the run that it goes on with."""

import json
from pathlib import Path

import pytest

from autotrain.trainers.clm.record import note_other_versions, versions


@pytest.fixture
def notices(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr("autotrain.log.notice", told.append)
    return told


def write(folder: Path, **changes: str) -> None:
    (folder / "run.json").write_text(json.dumps({"versions": versions() | changes}))


def test_the_same_versions_are_nothing_to_speak_of(tmp_path: Path, notices: list[str]) -> None:
    note_other_versions(tmp_path)  # a run that was stopped before it wrote a record
    write(tmp_path)
    note_other_versions(tmp_path)
    assert notices == []


def test_other_versions_are_named(tmp_path: Path, notices: list[str]) -> None:
    write(tmp_path, torch="1.0", flash="2.0")
    note_other_versions(tmp_path)
    (notice,) = notices
    assert f"torch was 1.0, is {versions()['torch']}" in notice and "flash was 2.0, is gone" in notice
