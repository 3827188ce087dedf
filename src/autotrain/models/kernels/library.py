"""The compiled kernels: built at first use, cached under AutoTrain's home, checked against their twins, loaded once."""

import ctypes
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from autotrain import log
from autotrain.home import home
from autotrain.models.kernels import selftest
from autotrain.models.kernels.interface import Kernels, functions_of

FOLDER = Path(__file__).parent
_COMPILERS = ("c++", "g++", "clang++")
_BUILD_SECONDS = 600  # it takes some seconds, but on a busy machine far longer
# No reordering of sums beyond what the source asks for, no contraction: the numbers are the same on every machine.
_FLAGS = (
    *("-std=c++17", "-O3", "-march=native", "-fPIC"),
    *("-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"),
)
# What tells one processor from another in /proc/cpuinfo, for -march=native.
_CPU_LINES = re.compile(r"^(vendor_id|cpu family|model|model name|stepping|flags|Features|CPU \w+)\s*:.*$", re.MULTILINE)
_OPENMP_FILE = re.compile(r"\S+/lib(?:gomp|iomp5|omp)[^/\s]*\.so[^/\s]*$", re.MULTILINE)


class KernelsUnusableError(RuntimeError):
    """There is no compiler, the build fails, or what was built can't be loaded."""


_is_allowed: list[bool] = [True]
_kernels: list[Kernels | None] = []  # empty until the first use


def allow(is_allowed: bool) -> None:
    """Whether `loaded` gives kernels in this process; from the start it does."""
    _is_allowed[0] = is_allowed


def loaded() -> Kernels | None:
    """The kernels, or None where the plain twins are to be used.  The first call builds and checks them: some seconds."""
    return compiled() if _is_allowed[0] else None


def compiled() -> Kernels | None:
    """The same, allowed or not: attention is a fast path of its own."""
    if not _kernels:
        _kernels.append(_load())
    return _kernels[0]


def has_compiler() -> bool:
    """Whether this machine may build them; nothing is built."""
    return sys.platform == "linux" and _found_compiler() is not None


def _load() -> Kernels | None:
    try:
        kernels = load_built(build(home() / "kernels"))
    except (KernelsUnusableError, OSError) as error:
        log.record(f"no C++ kernels ({error}): plain torch does their work")
        return None
    failed = selftest.failed_ops(kernels)
    if failed:
        log.notice(f"C++ kernels are not used: {', '.join(failed)} differ from plain torch on this machine")
        return None
    return kernels


def build(folder: Path) -> Path:
    """Compile into `folder`, unless that is done already; returns the library's file.

    Raises KernelsUnusableError.  Two processes may build at once: the file appears whole.
    """
    compiler, version = _compiler()
    flags = _flags(version)
    facts = (
        *(path.read_bytes() for path in (*_sources("*.h"), *_sources("*.cpp"))),
        version.encode(),
        " ".join(flags).encode(),
        _processor().encode(),
    )
    name = hashlib.sha256(b"\0".join(facts)).hexdigest()[:24]
    file = folder / name / "kernels.so"
    if _is_whole(file):
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as place:
        _run([compiler, *flags, "-c", *map(str, _sources("*.cpp"))], place)
        # Without -fopenmp, which would link an OpenMP library: its symbols are found when the kernels are loaded.
        _run([compiler, "-shared", "-o", file.name, *(f"{path.stem}.o" for path in _sources("*.cpp"))], place)
        digest = Path(place) / "digest"
        digest.write_text(_digest(Path(place) / file.name), encoding="ascii")
        os.replace(Path(place) / file.name, file)
        os.replace(digest, _digest_file(file))
    return file


def _is_whole(file: Path) -> bool:
    """Whether it is what was built: a library that lacks its end takes the whole process down when it is loaded."""
    try:
        return _digest_file(file).read_text(encoding="ascii") == _digest(file)
    except (OSError, UnicodeDecodeError):
        return False


def _digest_file(file: Path) -> Path:
    return file.with_suffix(".sha256")


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _sources(pattern: str) -> list[Path]:
    return sorted(FOLDER.glob(pattern))


def _run(command: list[str], folder: str | Path) -> str:
    """What it prints.  Raises KernelsUnusableError."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise KernelsUnusableError(f"{command[0]} took more than {_BUILD_SECONDS} s") from None
    if done.returncode != 0:
        raise KernelsUnusableError(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def load_built(file: Path) -> Kernels:
    """Load what `build` made, with its threads from the OpenMP library that torch uses."""
    runtime = openmp_runtime()
    if runtime is not None:
        # The kernels, linked to no OpenMP library, find its symbols: threads of a second one would fight for cores.
        ctypes.CDLL(str(runtime), mode=ctypes.RTLD_GLOBAL)
    return functions_of(ctypes.CDLL(str(file)))


def openmp_runtime() -> Path | None:
    """The OpenMP library that torch has brought into this process: its own one, if there are several."""
    import torch

    own_folder = Path(torch.__file__).parent / "lib"
    found = [Path(path) for path in dict.fromkeys(_OPENMP_FILE.findall(Path("/proc/self/maps").read_text()))]
    return next((path for path in found if path.parent == own_folder), next(iter(found), None))


def _compiler() -> tuple[str, str]:
    """A compiler's path, and what it says about its version."""
    if sys.platform != "linux":
        raise KernelsUnusableError(f"they are built on Linux only, and this is {sys.platform}")
    path = _found_compiler()
    if path is None:
        raise KernelsUnusableError(f"no compiler: none of {', '.join(_COMPILERS)}")
    return path, _run([path, "--version"], FOLDER)


def _found_compiler() -> str | None:
    return next((found for found in map(shutil.which, _COMPILERS) if found), None)


def _flags(compiler_version: str) -> tuple[str, ...]:
    flags = _FLAGS
    if platform.machine() == "x86_64":
        flags = (*flags, "-mprefer-vector-width=512")
    has_threads = _has_threads("__kmpc_fork_call" if "clang" in compiler_version else "GOMP_parallel")
    return (*flags, "-fopenmp" if has_threads else "-fopenmp-simd")


def _has_threads(symbol: str) -> bool:
    """Whether torch's OpenMP library can start threads for what this compiler makes."""
    runtime = openmp_runtime()
    if runtime is None:
        return False
    try:
        ctypes.CDLL(str(runtime))[symbol]
    except (OSError, AttributeError):
        return False
    return True


def _processor() -> str:
    """What the processor is and can do: the lines of its first core."""
    first_core = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    return "\n".join(match.group(0) for match in _CPU_LINES.finditer(first_core))
