"""Every method through an engine that does nothing but clip equals the method itself, in value and gradient."""

import pytest
import torch
from independent import assert_close, batch, gradient

import bandpo
from bandpo.engines.common.adapter import Adapter
from bandpo.engines.common.handover import clip_settings

ADAPTER = Adapter("test", provided=("logp_rollout",))


def clipping_engine(log_ratio, settings):
    """-min(A r, A clamp(r)) with a dual clip, as engines write it."""
    ratio, good = torch.exp(log_ratio), settings.advantages
    loss = -torch.minimum(ratio * good, ratio.clamp(1 - settings.eps_low, 1 + settings.eps_high) * good)
    if settings.dual_clip is not None:
        loss = torch.where(good < 0, torch.minimum(loss, -settings.dual_clip * good), loss)
    return loss


def usable():
    """Methods that need nothing but log-probs and advantages, and draw no random numbers."""
    for name in bandpo.methods():
        try:
            objective = ADAPTER.objective_for({"method": name})
        except ValueError:
            continue
        if "noise" not in objective.method.inputs:
            yield name


@pytest.mark.parametrize("anchor", ["old", "rollout"])
@pytest.mark.parametrize("garbage", ["zeros", "noise"])
@pytest.mark.parametrize("method", list(usable()))
def test_every_method(method, garbage, anchor):
    x = batch(garbage)
    objective = ADAPTER.objective_for({"method": method, "anchor": anchor})
    expected, metrics = objective.per_token(x.new, x.old, x.advantages, x.mask, logp_rollout=x.rollout)
    settings = clip_settings(objective, x.new, x.old, x.advantages, x.mask, logp_rollout=x.rollout)
    found = torch.where(x.mask, clipping_engine(x.new - x.old, settings), 0.0)
    weight = torch.linspace(0.5, 2.0, found.numel()).view_as(found)  # what an engine multiplies by afterwards
    assert_close(found, expected, 1e-5)
    assert_close(gradient((found * weight).sum(), x.new), gradient((expected * weight).sum(), x.new), 1e-5)
    assert settings.metrics["clip"][0] == metrics["clip"][0] and settings.metrics["clip"][1] == x.mask.sum()


def test_advantages_of_a_row_and_packed_tokens():
    x = batch()
    objective = ADAPTER.objective_for({"method": "sapo"})
    padded = clip_settings(objective, x.new, x.old, x.advantages, x.mask)
    row = clip_settings(objective, x.new, x.old, x.advantages[:, :1], x.mask)
    packed = clip_settings(objective, *(t.reshape(-1) for t in (x.new, x.old, x.advantages, x.mask)))
    assert_close(row.advantages, padded.advantages)
    assert_close(packed.advantages, padded.advantages.reshape(-1))
