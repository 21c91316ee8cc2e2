"""Where kernels run and where their constants lie, with a CUDA that is made up."""

import contextlib
import threading

import pytest
import torch

from bandpo.kernels import devices

pytest.importorskip("triton", reason="Triton is not installed")

from bandpo.kernels import blocks
from benchmarks.host_cost import Stub, stubbed, work

CUDA_0, CUDA_1 = torch.device("cuda", 0), torch.device("cuda", 1)
# What CUDA takes as the first, second and third number of blocks.
LARGEST_GRID = (2**31 - 1, 65_535, 65_535)


@pytest.fixture
def cuda(monkeypatch):
    """Two devices of which the first is current; what becomes current is noted, and what is waited for."""
    noted = []

    @contextlib.contextmanager
    def device(one):
        noted.append(one)
        yield

    class Stream:
        def synchronize(self):
            noted.append("waited")

    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: Stream())
    return noted


def test_a_kernel_runs_on_the_device_of_its_tensors(cuda):
    for device in (torch.device("cpu"), CUDA_0, CUDA_1):
        with devices.current(device):
            pass
    assert cuda == [CUDA_1]


def test_what_is_kept_is_made_in_another_thread_and_waited_for(cuda):
    made_in = []

    def make():
        made_in.append(threading.current_thread())
        return [torch.ones(2)]

    [kept] = devices.kept(CUDA_1, make)
    assert torch.equal(kept, torch.ones(2))
    assert made_in != [threading.current_thread()]
    assert cuda == [CUDA_1, "waited"]


def test_an_error_of_what_makes_it_is_raised(cuda):
    with pytest.raises(RuntimeError, match="out of memory"):
        devices.kept(CUDA_0, lambda: (_ for _ in ()).throw(RuntimeError("out of memory")))


@pytest.mark.parametrize("tokens", [1, 70_000])
def test_a_row_may_have_more_blocks_than_a_second_dimension_takes(monkeypatch, tokens):
    grids = []
    monkeypatch.setattr(Stub, "__getitem__", lambda stub, grid: grids.append(grid) or stub.launch)
    monkeypatch.setattr(blocks, "BLOCK", 1)
    monkeypatch.setattr("bandpo.speed.peers.ROW", 10**9)
    with stubbed():
        work({"metrics": False, "check": False}, tokens=tokens)()
    assert len(grids) == 2
    for grid in grids:
        assert all(size <= largest for size, largest in zip(grid, LARGEST_GRID, strict=False))
        assert torch.Size(grid).numel() == tokens
