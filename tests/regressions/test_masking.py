"""Secrets in what is said: no part of one is left because another stands inside it."""

import pytest

from autotrain import log


@pytest.mark.parametrize("text", ["very-secret-value", "a very-secret-value here", "secret", "very-secret-value,secret"])
def test_a_secret_inside_another_leaves_no_part_of_it(monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setattr(log, "_secrets", {"secret", "very-secret-value", "value"})
    said = log.mask(text)
    assert not any(part in said for part in ("very", "secret", "value")) and "****" in said


def test_what_is_shaped_like_a_token_is_masked_whole_whatever_stands_in_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log, "_secrets", {"Secret"})
    assert log.mask("hf_SecretSecret1 and Secret") == "hf_**** and ****"
