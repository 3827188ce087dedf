"""The pytest fixtures `hub`, `nobody` and `hurried`."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from hub_double.double import HubDouble
from hub_double.nobody import Nobody

UNSET = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE", "HF_TOKEN_PATH", "HF_DATASETS_CACHE")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubDouble]:
    """A hub of its own for one test. This process and those that it starts talk to it; nobody is logged in."""
    from huggingface_hub import close_session

    from autotrain.hub import look

    home = tmp_path / "huggingface"
    with HubDouble(tmp_path / "hub") as double:
        settings = {
            "HF_ENDPOINT": double.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        for name in UNSET:
            monkeypatch.delenv(name, raising=False)
        _settle_this_process(monkeypatch, double.url, home)
        look._known.clear()  # by a hub's address, and ports are used again
        yield double
        close_session()
        if double.faults:
            pytest.fail("the double of the hub failed:\n" + "\n".join(double.faults))


@pytest.fixture
def nobody() -> Iterator[Nobody]:
    """An address where no hub is, and how often it was tried."""
    with Nobody() as one:
        yield one


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """In this process the client does not wait between two tries. Returns the seconds that it would have waited."""
    from huggingface_hub import hf_api
    from huggingface_hub.utils import _http

    waits: list[float] = []
    clock = SimpleNamespace(sleep=waits.append, time=time.time, monotonic=time.monotonic, perf_counter=time.perf_counter)
    for module in (hf_api, _http):
        monkeypatch.setattr(module, "time", clock)
    return waits


def _settle_this_process(monkeypatch: pytest.MonkeyPatch, url: str, home: Path) -> None:
    """The client reads the environment once, when it is imported: here it gets the same settings afterwards."""
    from huggingface_hub import constants, hf_api

    for name, value in {
        "ENDPOINT": url,
        "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_STORED_TOKENS_PATH": str(home / "stored_tokens"),
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr(hf_api.api, "endpoint", url)
    if "datasets" in sys.modules:
        from datasets import config

        monkeypatch.setattr(config, "HF_ENDPOINT", url)
        monkeypatch.setattr(config, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(config, "HUB_DATASETS_URL", url + "/datasets/{repo_id}/resolve/{revision}/{path}")
