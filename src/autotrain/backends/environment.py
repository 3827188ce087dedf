"""What the worker's environment sets for speed.  Chosen with benchmarks/worker_environment.py.

The libraries read these variables once, when a process starts, so only who starts the worker can set them.
"""

import platform
import sys
from collections.abc import Mapping
from types import MappingProxyType

from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.trainers.clm.values import fast_path_names

# glibc gives a large tensor's memory back to the system as soon as it is freed, and each page of the next one is a fault
# again.  So: no mappings of their own for large blocks, nothing given back, the heap grown by 64 MiB at a time.
_ALLOCATOR: Mapping[str, str] = MappingProxyType(
    {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**36), "MALLOC_TOP_PAD_": str(2**26)}
)
# oneDNN keeps the code that it made for each shape of a product, and torch keeps a list of it, 1024 shapes each, so memory
# grows with the batches, each of another number of tokens.  A batch has some forty shapes, without our kernels some sixty
# (ONEDNN_VERBOSE=profile_create counts them), which its layers share; what is kept of earlier batches is of no use.
_PRODUCTS: Mapping[str, str] = MappingProxyType({"LRU_CACHE_CAPACITY": "96", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "96"})
# An OpenMP thread that waits spins for a while before it sleeps.  GNU's default, milliseconds, takes the processor from
# whoever else needs it; without any spinning each of the thousands of products of a step costs a sleep and a wake-up.
_WAITS: Mapping[str, str] = MappingProxyType({"GOMP_SPINCOUNT": "10000"})
_OTHER_WAITS = ("OMP_WAIT_POLICY", "KMP_BLOCKTIME", "GOMP_SPINCOUNT")
_OTHER_ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc")


def speed_settings(params: LLMTrainingParams, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables to add to the user's `environment`: none that it has already, and none if `fast_paths` leaves them out."""
    if "environment" not in fast_path_names(params.fast_paths) or not sys.platform.startswith("linux"):
        return {}
    settings = {**_PRODUCTS}
    if _has_glibc_allocator(environment):
        settings |= _ALLOCATOR
    if not any(name in environment for name in _OTHER_WAITS):
        settings |= _WAITS
    return {name: value for name, value in settings.items() if name not in environment}


def _has_glibc_allocator(environment: Mapping[str, str]) -> bool:
    """Whether memory will come from glibc, as the user hasn't tuned it."""
    preloaded = environment.get("LD_PRELOAD", "")
    is_tuned = "glibc.malloc" in environment.get("GLIBC_TUNABLES", "")
    return platform.libc_ver()[0] == "glibc" and not is_tuned and not any(name in preloaded for name in _OTHER_ALLOCATORS)
