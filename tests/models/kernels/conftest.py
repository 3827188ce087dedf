"""The kernels of this source, built once for all tests here, into a folder of their own."""

from collections.abc import Generator

import pytest
import torch

from autotrain.models.kernels import library
from autotrain.models.kernels.interface import Kernels


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    try:
        return library.load_built(library.build(tmp_path_factory.mktemp("kernels")))
    except library.KernelsUnusableError as error:
        pytest.skip(reason=f"kernels can't be built here: {error}")


@pytest.fixture
def kernels(built: Kernels, monkeypatch: pytest.MonkeyPatch) -> Kernels:
    """`ops` uses the kernels."""
    monkeypatch.setattr(library, "_kernels", [built])
    return built


@pytest.fixture
def two_threads() -> Generator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
