"""The worker's environment is set for speed, except where the user chose otherwise."""

import subprocess
import sys

import pytest

from autotrain.backends import local
from autotrain.backends.base import Job
from autotrain.backends.environment import speed_settings
from autotrain.params import LLMTrainingParams
from autotrain.trainers.clm.record import environment

ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "68719476736", "MALLOC_TOP_PAD_": "67108864"}
PRODUCTS = {"LRU_CACHE_CAPACITY": "96", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "96"}


@pytest.fixture(autouse=True)
def on_linux_with_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotrain.backends.environment.sys.platform", "linux")
    monkeypatch.setattr("autotrain.backends.environment.platform.libc_ver", lambda: ("glibc", "2.36"))


def settings(fast_paths: str = "auto", **environment: str) -> dict[str, str]:
    return speed_settings(LLMTrainingParams(fast_paths=fast_paths), environment)


def test_freed_memory_is_kept_fewer_shapes_are_and_threads_wait_shortly() -> None:
    found = settings()
    assert {**ALLOCATOR, **PRODUCTS}.items() <= found.items()
    assert "GOMP_SPINCOUNT" in found


@pytest.mark.parametrize("fast_paths", ["none", "onednn,layer"])
def test_fast_paths_without_environment_set_nothing(fast_paths: str) -> None:
    assert settings(fast_paths) == {}


def test_what_the_user_set_stays() -> None:
    assert "MALLOC_TOP_PAD_" not in settings(MALLOC_TOP_PAD_="1") and "MALLOC_MMAP_MAX_" in settings(MALLOC_TOP_PAD_="1")
    for name in ("OMP_WAIT_POLICY", "KMP_BLOCKTIME", "GOMP_SPINCOUNT"):
        assert settings(**{name: "1"}) == ALLOCATOR | PRODUCTS


@pytest.mark.parametrize(
    "variable", [{"LD_PRELOAD": "/lib/libjemalloc.so.2"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}]
)
def test_another_allocator_is_left_alone(variable: dict[str, str]) -> None:
    assert not ALLOCATOR.keys() & settings(**variable).keys()


def test_another_c_library_or_system_gets_no_settings_of_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotrain.backends.environment.platform.libc_ver", lambda: ("", ""))
    assert not ALLOCATOR.keys() & settings().keys()
    monkeypatch.setattr("autotrain.backends.environment.sys.platform", "darwin")
    assert settings() == {}


def test_the_worker_gets_them_and_its_record_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MALLOC_TOP_PAD_", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    given = local.worker_environment(Job(LLMTrainingParams()))
    recorded = environment(given)
    assert recorded["MALLOC_TOP_PAD_"] == ALLOCATOR["MALLOC_TOP_PAD_"] and recorded["GOMP_SPINCOUNT"] == "7"
    assert "PATH" in given and "PATH" not in recorded


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
def test_with_the_settings_a_large_block_is_no_mapping_of_its_own() -> None:
    """A process frees 80 MB: with the settings its memory stays, so that the next tensor's pages are there already."""
    program = (
        "import resource, re; b = bytearray(80_000_000); del b\n"
        "print(int(re.search(r'VmRSS:\\s+(\\d+)', open('/proc/self/status').read())[1]))"
    )

    def kilobytes(variables: dict[str, str]) -> int:
        return int(subprocess.run([sys.executable, "-c", program], env=variables, check=True, stdout=subprocess.PIPE).stdout)

    assert kilobytes(ALLOCATOR) - kilobytes({}) > 70_000
