"""The CUDA side of every method without a GPU: which path is taken, that it traces, and that nothing looks around.

Fake CUDA tensors have a device, a dtype and a shape, no values. So these tests see what is chosen for a CUDA tensor,
unhashable cache keys, look-ups and imports in traced code, graph breaks and tensors left on the CPU; they do not see
numbers (the interpreted kernels of the other tests do), the code Triton makes, or the backward pass, whose engine
wants a real device.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils import cpp_extension

ROOT = Path(__file__).parents[2]
NO_GUARD = """
#include <c10/core/impl/DeviceGuardImplInterface.h>
C10_REGISTER_GUARD_IMPL(CUDA, c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::CUDA>)
"""

pytestmark = [
    pytest.mark.skipif(torch.version.cuda is not None, reason="a CUDA build of torch has a guard of its own"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler"),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guard")
    source, built = folder / "guard.cpp", folder / "guard.so"
    source.write_text(NO_GUARD)
    places = [f"-I{path}" for path in cpp_extension.include_paths()]
    libraries = [f"-L{path}" for path in cpp_extension.library_paths()]
    command = ["g++", "-std=c++20", "-shared", "-fPIC", *places, str(source), "-o", str(built), *libraries, "-lc10"]
    subprocess.run(command, check=True, capture_output=True)
    return built


def problems(library, extent, timeout):
    command = [sys.executable, "-m", "tests.kernels.fake_cuda", str(library), extent]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr[-3000:]
    *found, tried = done.stdout.splitlines()
    assert int(tried.split()[0]) > 80
    return found


def test_every_method_runs_on_fake_cuda_tensors_and_some_of_every_kind_trace(library):
    assert problems(library, "fast", 300) == []


@pytest.mark.slow
def test_every_method_option_and_dtype_traces_on_fake_cuda_tensors(library):
    assert problems(library, "all", 3600) == []
