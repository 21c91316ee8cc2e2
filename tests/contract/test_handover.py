"""Every method through an engine that does nothing but clip equals the method itself, in value and gradient."""

import pytest
import torch
from independent import batch, close, gradient

import bandpo
from bandpo.engines.common.handover import chosen, clip_settings


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
            one = chosen("test", {"method": name}, ("logp_rollout",))
        except ValueError:
            continue
        if "noise" not in one.method.inputs:
            yield name


@pytest.mark.parametrize("anchor", ["old", "rollout"])
@pytest.mark.parametrize("garbage", ["zeros", "noise"])
@pytest.mark.parametrize("method", list(usable()))
def test_every_method(method, garbage, anchor):
    x = batch(garbage)
    one = chosen("test", {"method": method, "anchor": anchor}, ("logp_rollout",))
    expected, metrics = one.per_token(x.new, x.old, x.advantages, x.mask, logp_rollout=x.rollout)
    settings = clip_settings(one, x.new, x.old, x.advantages, x.mask, logp_rollout=x.rollout)
    found = torch.where(x.mask, clipping_engine(x.new - x.old, settings), 0.0)
    weight = torch.linspace(0.5, 2.0, found.numel()).view_as(found)  # what an engine multiplies by afterwards
    close(found, expected, 1e-5)
    close(gradient((found * weight).sum(), x.new), gradient((expected * weight).sum(), x.new), 1e-5)
    assert settings.metrics["clip"][0] == metrics["clip"][0] and settings.metrics["clip"][1] == x.mask.sum()


def test_advantages_of_a_row_and_packed_tokens():
    x = batch()
    one = chosen("test", {"method": "sapo"}, ("logp_rollout",))
    padded = clip_settings(one, x.new, x.old, x.advantages, x.mask)
    row = clip_settings(one, x.new, x.old, x.advantages[:, :1], x.mask)
    packed = clip_settings(one, *(t.reshape(-1) for t in (x.new, x.old, x.advantages, x.mask)))
    close(row.advantages, padded.advantages)
    close(packed.advantages, padded.advantages.reshape(-1))
