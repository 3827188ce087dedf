"""What a process takes is what the system says."""

import sys

import pytest
import torch

from autotrain.training import peak
from autotrain.training.peak import current_bytes, peak_bytes

CPU = torch.device("cpu")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
def test_a_tensor_that_was_there_is_in_the_peak():
    before = peak_bytes(CPU)
    tensor = torch.ones((before - current_bytes(CPU) + 100_000_000) // 4)
    assert current_bytes(CPU) > before and 90_000_000 < peak_bytes(CPU) - before < 120_000_000
    del tensor


def test_other_systems_say_the_peak_only(monkeypatch, tmp_path):
    monkeypatch.setattr(peak, "_STATUS", tmp_path / "nothing")
    assert current_bytes(CPU) == peak_bytes(CPU) > 10_000_000
