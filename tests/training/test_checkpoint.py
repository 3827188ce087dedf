"""Checkpoints hold everything that decides the next step, and appear whole or not at all."""

import random

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp

from autotrain.errors import RunFolderError
from autotrain.training.checkpoint import (
    Progress,
    list_checkpoints,
    prune_checkpoints,
    random_states,
    read_checkpoint,
    restore_random_states,
    write_checkpoint,
)


def write(folder, step, **progress):
    weights = {"w": torch.full((2, 3), float(step), dtype=torch.bfloat16)}
    return write_checkpoint(folder, Progress(step=step, **progress), weights, {"optimizer": {"step": step}}, random_states())


def test_what_is_read_is_what_was_written(tmp_path):
    write(tmp_path, 3, train_seconds=1.25, best_eval_loss=0.1 + 0.2)
    checkpoint = read_checkpoint(tmp_path, 3)
    assert checkpoint.progress == Progress(step=3, train_seconds=1.25, best_eval_loss=0.1 + 0.2)
    assert torch.equal(checkpoint.weights["w"], torch.full((2, 3), 3.0, dtype=torch.bfloat16))
    assert checkpoint.optimizer == {"optimizer": {"step": 3}}


def test_all_random_generators_go_back():
    states = random_states()
    before = (torch.rand(3).tolist(), random.random(), np.random.rand())
    restore_random_states(states)
    assert (torch.rand(3).tolist(), random.random(), np.random.rand()) == before


def test_only_the_newest_and_the_best_are_kept(tmp_path):
    for step in (1, 2, 3, 4):
        write(tmp_path, step)
    prune_checkpoints(tmp_path, keep=1, best_step=2)
    assert list_checkpoints(tmp_path) == [2, 4]


def test_an_interrupted_write_is_no_checkpoint_and_is_cleared_away(tmp_path):
    write(tmp_path, 1)
    (tmp_path / ".tmp-checkpoint-2").mkdir()
    assert list_checkpoints(tmp_path) == [1]
    prune_checkpoints(tmp_path, keep=1, best_step=None)
    assert not (tmp_path / ".tmp-checkpoint-2").exists()


def test_writing_the_same_step_again_renews_its_progress_only(tmp_path):
    write(tmp_path, 5, validated=False)
    weights = (tmp_path / "checkpoint-5" / "trainable.safetensors").stat().st_mtime_ns
    write(tmp_path, 5, validated=True)
    assert read_checkpoint(tmp_path, 5).progress.validated
    assert (tmp_path / "checkpoint-5" / "trainable.safetensors").stat().st_mtime_ns == weights


def test_a_schedule_moved_on_by_a_validation_made_up_for_is_kept_and_counts_only_with_its_progress(tmp_path):
    def write_with(lr, validated):
        progress = Progress(step=5, validated=validated)
        write_checkpoint(tmp_path, progress, {"w": torch.ones(1)}, {"schedule": {"lr": lr}}, random_states())

    write_with(0.1, validated=False)
    before = (tmp_path / "checkpoint-5" / "progress.json").read_bytes()
    write_with(0.05, validated=True)
    assert read_checkpoint(tmp_path, 5).optimizer == {"schedule": {"lr": 0.05}}
    (tmp_path / "checkpoint-5" / "progress.json").write_bytes(before)  # as if it had been killed in between
    assert read_checkpoint(tmp_path, 5).optimizer == {"schedule": {"lr": 0.1}}


def test_a_half_deleted_checkpoint_passes_for_none(tmp_path, monkeypatch):
    write(tmp_path, 1)
    write(tmp_path, 2)

    def killed(path):
        (path / "progress.json").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr("autotrain.training.checkpoint.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        prune_checkpoints(tmp_path, keep=1, best_step=None)
    assert list_checkpoints(tmp_path) == [2]


def test_a_damaged_checkpoint_is_named(tmp_path):
    write(tmp_path, 5)
    (tmp_path / "checkpoint-5" / "trainable.safetensors").write_bytes(b"x")
    with pytest.raises(RunFolderError, match="checkpoint-5 can't be read"):
        read_checkpoint(tmp_path, 5)


@pytest.fixture
def shards(tmp_path):
    write(tmp_path, 5)
    path = tmp_path / "checkpoint-5" / "sharded"
    dcp.save({"weights/w": torch.ones(100)}, storage_writer=dcp.FileSystemWriter(path), no_dist=True)
    assert read_checkpoint(tmp_path, 5).weights == {}
    return path


@pytest.mark.parametrize("name", ["__0_0.distcp", ".metadata"])
def test_a_shard_that_is_missing_is_named_before_anything_is_loaded(tmp_path, shards, name):
    (shards / name).unlink()
    with pytest.raises(RunFolderError, match=rf"checkpoint-5 can't be read .*{name}.*; delete this folder"):
        read_checkpoint(tmp_path, 5)


def test_a_shard_that_was_cut_off_is_named_with_its_size(tmp_path, shards):
    file = shards / "__0_0.distcp"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(RunFolderError, match=r"sharded/__0_0.distcp has [\d,]+ bytes of [\d,]+"):
        read_checkpoint(tmp_path, 5)
