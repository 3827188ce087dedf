"""Building and loading: once, whole, with torch's own threads; and everything goes on without a compiler."""

import logging
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from autotrain.models.kernels import library, ops, plain, selftest
from autotrain.models.kernels.interface import Kernels


@pytest.fixture
def unused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """As in a new process with an empty home."""
    monkeypatch.setattr(library, "_kernels", [])
    monkeypatch.setattr(library, "_is_allowed", [True])
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("autotrain"), "propagate", True)
    caplog.set_level(logging.DEBUG, logger="autotrain")
    return caplog


def assert_plain_torch_does_the_work() -> None:
    x, weight = torch.randn(3, 8), torch.rand(8)
    made, wanted = ops.rms_norm(x, weight, 1e-5, torch.float32), plain.rms_norm(x, weight, 1e-5, torch.float32)
    assert all(torch.equal(one, other) for one, other in zip(made, wanted, strict=True))


def test_without_a_compiler_plain_torch_does_the_work_after_one_quiet_line(
    unused: Path, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(library, "_COMPILERS", ("no-such-compiler",))
    assert library.loaded() is None
    assert library.loaded() is None
    assert [(record.levelname, record.message) for record in said.records] == [
        ("DEBUG", "no C++ kernels (no compiler: none of no-such-compiler): plain torch does their work")
    ]
    assert_plain_torch_does_the_work()


def test_a_failing_build_is_not_an_error(
    unused: Path, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, built: Kernels
):
    (unused / "wrong.cpp").write_text("int main( {")
    monkeypatch.setattr(library, "FOLDER", unused)
    assert library.loaded() is None
    assert "failed:" in said.messages[0]
    assert_plain_torch_does_the_work()


def test_a_home_that_can_not_be_written_is_not_an_error(
    unused: Path, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, built: Kernels
):
    (unused / "file").write_text("")
    monkeypatch.setenv("AUTOTRAIN_HOME", str(unused / "file"))
    assert library.loaded() is None
    assert "no C++ kernels" in said.messages[0]


def test_a_compiler_that_comes_to_no_end_is_given_up(
    unused: Path, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    compiler = unused / "slow-compiler"
    compiler.write_text('#!/bin/sh\n[ "$1" = --version ] || exec sleep 600\n')
    compiler.chmod(0o755)
    monkeypatch.setattr(library, "_COMPILERS", (str(compiler),))
    monkeypatch.setattr(library, "_BUILD_SECONDS", 3)
    with pytest.raises(library.KernelsUnusableError, match="slow-compiler took more than 3 s"):
        library.build(unused)
    assert library.loaded() is None
    assert "slow-compiler took more than 3 s" in said.messages[0]


def test_elsewhere_than_on_linux_nothing_is_built(
    unused: Path, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert library.loaded() is None
    assert "Linux only" in said.messages[0]


def test_a_kernel_that_is_wrong_is_found_before_it_is_used(
    unused: Path, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, built: Kernels
):
    for source in (*library.FOLDER.glob("*.h"), *library.FOLDER.glob("*.cpp")):
        # A coefficient of the exponential.
        (unused / source.name).write_text(source.read_text().replace("1.66666", "1.76666"))
    monkeypatch.setattr(library, "FOLDER", unused)
    assert library.loaded() is None
    (record,) = said.records
    assert record.levelname == "WARNING"
    assert "swiglu in float32" in record.message
    assert "differ from plain torch" in record.message
    assert_plain_torch_does_the_work()


def test_every_kernel_is_checked(built: Kernels):
    assert selftest.failed_ops(built) == []
    for name in built:
        broken = {**built, name: lambda *_: None}
        assert selftest.failed_ops(broken), name


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names processors of this kind")
@pytest.mark.parametrize(("processor", "has_openmp"), [("x86-64", True), ("x86-64-v3", True), ("x86-64-v3", False)])
def test_they_are_right_on_lesser_processors_too(
    tmp_path: Path, built: Kernels, monkeypatch: pytest.MonkeyPatch, processor: str, has_openmp: bool
):
    if "avx2" not in Path("/proc/cpuinfo").read_text():
        pytest.skip(reason="this processor is a lesser one itself")
    monkeypatch.setattr(library, "_FLAGS", (*library._FLAGS, f"-march={processor}"))
    if not has_openmp:
        monkeypatch.setattr(library, "openmp_runtime", lambda: None)
    assert selftest.failed_ops(library.load_built(library.build(tmp_path))) == []


def test_they_can_be_switched_off(kernels: Kernels):
    assert library.loaded() is kernels
    library.allow(False)
    try:
        assert library.loaded() is None
        assert_plain_torch_does_the_work()
    finally:
        library.allow(True)


def test_what_is_built_is_kept(tmp_path: Path, built: Kernels, monkeypatch: pytest.MonkeyPatch):
    file = library.build(tmp_path)
    changed = file.stat().st_mtime_ns
    assert library.build(tmp_path) == file
    assert file.stat().st_mtime_ns == changed
    monkeypatch.setattr(library, "_FLAGS", (*library._FLAGS, "-DOTHER"))
    assert library.build(tmp_path) != file  # other flags, another library


@pytest.mark.parametrize("kept", [0, 8000])
def test_a_library_that_lacks_its_end_is_built_anew(tmp_path: Path, built: Kernels, kept: int):
    """As after a full disk: loading the first 8,000 bytes would end the process by a signal."""
    file = library.build(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[:kept])
    assert library.build(tmp_path).stat().st_size == len(whole)
    assert library.load_built(file)


def test_two_builds_at_once_leave_one_whole_library(tmp_path: Path, built: Kernels):
    with ThreadPoolExecutor(2) as pool:
        files = set(pool.map(library.build, [tmp_path, tmp_path]))
    (file,) = files
    assert sorted(path.name for path in file.parent.iterdir()) == ["kernels.sha256", "kernels.so"]
    library.load_built(file)


def test_only_one_openmp_library_is_in_the_process(tmp_path: Path, built: Kernels):
    program = """
import os, re, sys, pathlib
import torch
from autotrain.models.kernels import library, ops
assert library.loaded() is not None
torch.set_num_threads(2)
ops.swiglu(torch.ones(512, 512), torch.ones(512, 512))
torch.ones(512, 512) @ torch.ones(512, 512)
maps = pathlib.Path("/proc/self/maps").read_text()
print(len(os.listdir("/proc/self/task")), *sorted(set(re.findall(r"\\S*lib(?:gomp|iomp5|omp)[^/\\s]*\\.so\\S*", maps))))
"""
    environment = {"AUTOTRAIN_HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    num_threads, *libraries = done.stdout.split()
    assert len(libraries) == 1
    assert int(num_threads) >= 2


def test_tensors_that_a_kernel_does_not_read_go_to_the_twin(kernels: Kernels):
    x = torch.randn(6, 8)
    for other in (x.T.contiguous().T, x.half(), x.double()):
        made = ops.swiglu(other, other)
        assert made.dtype == other.dtype
        torch.testing.assert_close(made.float(), plain.swiglu(x, x), rtol=1e-2, atol=1e-2)
    y, _ = ops.rms_norm(torch.randn(0, 8), torch.ones(8), 1e-5, torch.bfloat16)
    assert y.shape == (0, 8)


def test_kernels_may_be_needed_first_inside_of_autocast(kernels: Kernels):
    with torch.autocast("cpu", torch.bfloat16):
        assert selftest.failed_ops(kernels) == []
