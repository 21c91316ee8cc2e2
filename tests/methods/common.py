"""What entries share: PPO's decisions and loss, and the changes of a clip that must act."""

from __future__ import annotations

import numpy as np
import torch

SIDES = [("eps_low", 0.1, {}), ("eps_high", 0.1, {})]
DUAL_CLIP = ("dual_clip", 1.2, {})
NO_DUAL_CLIP = ("dual_clip", None, {"dual_clip_before": 1.2})
TIGHT_CLIP = {"eps_low": 0.05, "eps_high": 0.1}


class View:
    """A batch in numpy: probabilities p under the anchor and q under the policy, ratio q/p, and everything else."""

    def __init__(self, given, anchor):
        self.log_p, self.logp = given[anchor].numpy(), given["logp"].numpy()
        self.log_ratio = self.logp - self.log_p
        self.p, self.q, self.ratio = np.exp(self.log_p), np.exp(self.logp), np.exp(self.logp) / np.exp(self.log_p)
        self.advantages, self.mask = given["advantages"].numpy(), given["mask"].numpy()
        self.inputs = {key: x.numpy() if hasattr(x, "numpy") else x for key, x in given.items()}


def never(x, **_):
    """Every token moves."""
    return np.zeros_like(x.mask)


def outside(advantages, ratio, low, high, dual_clip=None):
    """PPO: good tokens above, bad tokens below, and with a dual clip bad tokens far above."""
    past_dual = False if dual_clip is None else ratio > dual_clip
    return ((advantages > 0) & (ratio > high)) | ((advantages < 0) & ((ratio < low) | past_dual))


def fixed(x, eps_low=np.inf, eps_high=np.inf, dual_clip=None):
    return outside(x.advantages, x.ratio, 1 - eps_low, 1 + eps_high, dual_clip)


def as_base(x, base, base_kwargs, **_):
    """A bonus stops the tokens that the method stops whose loss it is added to."""
    import bandpo
    from tests.methods import ENTRIES  # collects the files that import this one

    return ENTRIES[base].stops(x, **bandpo.get_method(base).resolve(base_kwargs or {}))


def ppo(case):
    ratio = case.ratio()
    return torch.maximum(-case.advantages * ratio, -case.advantages * ratio.clamp(0.8, 1.2))
