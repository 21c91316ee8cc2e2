"""What an interval did to tokens whose loss an engine computes, from one launch, against the torch code."""

import math

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed")

from bandpo.engines.common.objective import detached_tokens, objective
from bandpo.kernels import clip_loss_triton
from tests.kernels.test_clip_loss import batch

METHODS = {"band-kl": {}, "band-mirror": {}, "dcpo": {}, "dual-clip": {}, "no-clip": {}}


def by_torch(band, logp, anchor, advantages, mask):
    tokens = detached_tokens(logp, anchor, advantages, mask)
    tokens = tokens._replace(log_ratio=tokens.log_ratio.clamp(-20, 20))
    return band.interval_metrics(tokens, band.interval(tokens.logp_anchor))


@pytest.mark.parametrize("method", METHODS)
def test_one_launch_counts_what_the_torch_code_counts(monkeypatch, method):
    """A token beyond e^±20 that no bound stops is not counted as clipped: an engine's own loss does not hold it."""
    monkeypatch.setattr("bandpo.core.regions.dispatch.runs_kernels", lambda tensor: True)
    logp, anchor, advantages, mask = batch(tokens=60)
    logp, mask = logp.clone(), mask.clone()
    logp[0, :4], anchor[0, :4], mask[0, :4] = torch.tensor([-1.0, -60.0, -1.0, -60.0]), -30.0, True
    band, given = objective(method), (logp.requires_grad_(), anchor, advantages.unsqueeze(1), mask)
    found, expected = band.counts_by_kernel(*given), by_torch(band, *given)
    assert found is not None and found.keys() == expected.keys()
    for name, pair in expected.items():
        assert not found[name][0].requires_grad
        torch.testing.assert_close(torch.stack(found[name]), torch.stack(pair), rtol=2e-6, atol=1e-6, msg=name)


@pytest.mark.parametrize(
    ("method", "options", "dtype"),
    [("band-js", {}, torch.float32), ("band-kl", {"delta": 1e-12}, torch.float32), ("band-kl", {}, torch.float64)],
)
def test_what_no_kernel_serves_is_left_to_torch(monkeypatch, method, options, dtype):
    monkeypatch.setattr("bandpo.core.regions.dispatch.runs_kernels", lambda tensor: True)
    monkeypatch.setattr(clip_loss_triton, "launch", None)
    band, logp = objective(method, method_kwargs=options), torch.full((1, 2), -1.0, dtype=dtype)
    assert band.counts_by_kernel(logp, logp, torch.ones(1, 1), logp < 0) is None


def test_on_a_cpu_torch_counts(monkeypatch):
    monkeypatch.setattr(clip_loss_triton, "launch", None)
    logp = torch.full((1, 2), math.log(0.5))
    assert objective("band-kl").counts_by_kernel(logp, logp, torch.ones(1, 1), logp < 0) is None
