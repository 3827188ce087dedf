"""float32 products go through oneDNN only where they stay float32."""

import pytest
import torch

from autotrain.models.fast import onednn


@pytest.fixture(autouse=True)
def _put_back():
    before = torch.backends.mkldnn.matmul.fp32_precision
    onednn.is_exact.cache_clear()
    yield
    onednn.is_exact.cache_clear()
    torch.backends.mkldnn.matmul.fp32_precision = before


def test_where_it_is_used_products_are_exact():
    if not onednn.use_onednn(True):
        pytest.skip(reason="products lose digits on this processor, so it isn't used")
    left, right = torch.randn(2, 300, 300, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close((left @ right).double(), left.double() @ right.double(), rtol=1e-5, atol=1e-4)


def test_products_that_lose_digits_switch_it_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(onednn, "_error", lambda: 1e-3)
    assert not onednn.use_onednn(True)
    assert torch.backends.mkldnn.matmul.fp32_precision == "none"


def test_without_being_asked_nothing_is_changed():
    assert not onednn.use_onednn(False)
    assert torch.backends.mkldnn.matmul.fp32_precision == "none"


def test_products_are_tried_once(monkeypatch: pytest.MonkeyPatch):
    errors, before = iter([0.0]), torch.backends.mkldnn.matmul.fp32_precision
    monkeypatch.setattr(onednn, "_error", lambda: next(errors))
    assert onednn.is_exact() == onednn.is_exact() == torch.backends.mkldnn.is_available()
    assert torch.backends.mkldnn.matmul.fp32_precision == before
