"""The pass of a reference model over the data can be stopped."""

import signal
from types import SimpleNamespace
from typing import Any

import pytest

from autotrain.errors import Interrupted
from autotrain.trainers.clm import compare
from autotrain.training.signals import StopSignal


def test_a_signal_ends_the_pass_before_its_next_batch(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """The pass is a stand-in that goes over three batches."""
    monkeypatch.chdir(tmp_path)
    stop, seen = StopSignal(), list[int]()

    def passes(*arguments: Any, on_batch: Any, **named: Any) -> None:
        for number in range(3):
            on_batch()
            seen.append(number)
            stop.number = signal.SIGTERM

    anything: Any = SimpleNamespace(
        needs_reference=True, project_name="run", valid=None, fingerprint={"train": ""}, device=None, precision=None,
        quantization=None, tokenizer=SimpleNamespace(tokenizer=None, new_token_ids=()), train=SimpleNamespace(num_trained=0),
    )  # fmt: skip
    monkeypatch.setattr(compare, "make_reference", passes)
    with (
        pytest.raises(Interrupted, match="reference's log-probabilities") as caught,
        compare.open_comparison(anything, anything, anything, anything, anything, 64, stop),
    ):
        pass
    assert seen == [0] and caught.value.exit_code == 128 + signal.SIGTERM
