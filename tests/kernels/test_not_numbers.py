"""NaN and -inf through the kernels as a device would take them: its minimum and maximum forget NaN."""

import math

import numpy as np
import pytest
import torch

import bandpo

pytest.importorskip("triton", reason="Triton is not installed")

NAN, INF = math.nan, math.inf
SIDES = ({}, {"divergence": "tv"}, {"divergence": "chi2"}, {"divergence": "hellinger"}, {"eps_low": 0.2})
SIDES += ({"eps_high": 0.28}, {"upper": "none"}, {"lower": "none"}, {"max_ratio": 5.0}, {"relax": (0.2, 0.28)})
SIDES += tuple({"divergence": name, "lower": "mirror", "upper": "mirror"} for name in ("kl", "tv", "chi2", "hellinger"))
SIDES += tuple({"divergence": name, "delta": torch.tensor(0.05)} for name in ("kl", "tv", "chi2", "hellinger"))


@pytest.fixture(autouse=True)
def _as_on_a_device(monkeypatch):
    """Have the interpreter's minimum and maximum give the number where one of two is NaN, as PTX's do."""
    from triton.runtime.interpreter import InterpreterBuilder

    for name, function in (("create_minnumf", np.fmin), ("create_maxnumf", np.fmax)):
        monkeypatch.setattr(
            InterpreterBuilder, name, lambda own, x, y, function=function: own.binary_op(x, y, function)
        )


@pytest.mark.parametrize("toward", [None, torch.ones(4), -torch.ones(4), torch.full((4,), NAN)], ids=str)
@pytest.mark.parametrize("options", SIDES, ids=str)
def test_bounds_of_nan_and_of_probability_0_are_those_of_torch(options, toward):
    logp, options = torch.tensor([NAN, -1.0, -INF, 0.0]), {**options, "toward": toward, "check": False}
    expected, found = (bandpo.band(logp, kernel=kernel, **options) for kernel in ("torch", "triton"))
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, rtol=2e-6, atol=2e-7, equal_nan=True)


@pytest.mark.parametrize(
    "method", ["band-kl", "band-tv", "band-upper", "band-mirror", "grpo", "dual-clip", "no-clip", "atr-grpo", "dcpo"]
)
@pytest.mark.parametrize("metrics", [True, False])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(("new", "old"), [(NAN, -1.0), (-1.0, NAN), (-1.0, -INF), (-INF, -1.0), (-INF, -INF)], ids=str)
def test_without_a_check_the_loss_of_nan_is_nan_as_in_torch(method, metrics, sign, new, old):
    """A loss that is finite where the policy has no log-prob would train on."""
    found = []
    for kernel in ("torch", "triton"):
        logp = torch.tensor([[-1.0, new, -2.0]], requires_grad=True)
        logp_old = torch.tensor([[-1.2, old, -2.0]])
        given = logp, logp_old, torch.tensor([sign]), torch.ones(1, 3, dtype=torch.bool)
        out = bandpo.policy_loss(*given, method=method, kernel=kernel, check=False, metrics=metrics)
        out.loss.backward()
        found.append((out.loss, out.per_token, logp.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, rtol=2e-6, atol=1e-7, equal_nan=True)
