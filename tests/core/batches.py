"""Ragged batches with every input any method needs, and two settings of every method: its authors' and a tight one."""

import torch

import bandpo
from bandpo.core.tokens import Tokens

NAMES = (*bandpo.methods(), "band-alpha=1.5", "spo")
BANDS = tuple(name for name in NAMES if name.startswith("band-"))
LISTED, VOCABULARY, GROUP = 4, 9, 4

_CLIP = {"eps_low": 0.05, "eps_high": 0.1}
_MASK = {"delta_low": 0.01, "delta_high": 0.02, "max_ratio": 1.3}
TIGHT = {
    "grpo": {**_CLIP},
    "clip-higher": {"eps_low": 0.1, "eps_high": 0.05, "dual_clip": 1.2},
    "dual-clip": {**_CLIP, "dual_clip": 1.2},
    "two-sided": {**_CLIP, "dual_clip": 1.3},
    "no-clip": {"dual_clip": 1.2},
    **{name: {"delta": 0.01, "max_ratio": 1.4, "dual_clip": 1.3} for name in BANDS},
    "band-upper": {"delta": 0.01, "eps_low": 0.05},
    "atr-grpo": {"delta": 0.005, "dual_clip": 1.3},
    "dcpo": {"eps_low": 0.02, "eps_high": 0.03, "max_ratio": 1.3, "dual_clip": 1.2},
    "flex-entropy": {
        "strategy": "did",
        "eps": 0.1,
        "slope_high": -0.1,
        "intercept_high": 0.2,
        "slope_low": -0.1,
        "intercept_low": 0.15,
        "dual_clip": 1.3,
    },
    "dppo-tv": _MASK,
    "dppo-kl": {**_MASK, "two_sided": True},
    "dppo-topk-tv": {**_MASK, "delta_low": 0.1, "delta_high": 0.2, "two_sided": True},
    "dppo-topk-kl": {**_MASK, "delta_low": 0.05, "delta_high": 0.2},
    "clip-cov": {"fraction": 0.2, "cov_low": 0.1, "cov_high": 1.5, **_CLIP, "dual_clip": 1.3},
    "kl-cov": {"fraction": 0.3, "coef": 0.7},
    "maspo": {
        "sigma": 0.2,
        "alpha": 0.5,
        "beta_pos": 0.5,
        "beta_neg": 0.8,
        "sigma_high": 0.4,
        "scale_low": 0.6,
        "scale_high": 1.4,
    },
    "cfpo": {"eps": 0.05},
    "spo": {"eps": 0.1},
    "drpo": {"delta": 0.02},
    "sapo": {"tau_pos": 4.0, "tau_neg": 6.0},
    "ce-gppo": {"beta_low": 0.5, "beta_high": 0.8, **_CLIP, "dual_clip": 1.3},
    "cispo": {"eps_low": 0.1, "max_ratio": 1.1},
    "gspo": {"eps_low": 0.02, "eps_high": 0.03},
    "quatro": {"delta": 0.4},
    "tre": {"coef": 0.1, "top_k": None, "top_p": 0.7, "base": "band-tv", "base_kwargs": {"delta": 0.01}},
    "entropy": {"coef": 0.1, "base": "atr-grpo", "base_kwargs": {"delta": 0.01, "dual_clip": None}},
}
SETTINGS = [(name, options) for name in NAMES for options in ({}, TIGHT[name])]
SETTING_IDS = [f"{name}-{'tight' if options else 'authors'}" for name, options in SETTINGS]


def log_probs(*shape, generator):
    """Random log-probs, mostly likely tokens with a few rare ones."""
    return -torch.nn.functional.softplus(2 * torch.randn(*shape, generator=generator, dtype=torch.float64))


def batch(rows=5, tokens=7, seed=0, spread=0.3):
    """Every argument of `policy_loss` that a method may need, by name, fp64; the last row is masked altogether.

    Ratios are within e^±spread or so. Rewards of the first row's group are equal, those of the others are not; one
    advantage is 0.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    logp_old = log_probs(rows, tokens, generator=generator)
    logp = (logp_old + spread * draw(rows, tokens)).clamp_max(-1e-6)
    lengths = torch.randint(tokens // 2, tokens + 1, (rows, 1), generator=generator)
    lengths[0], lengths[-1] = tokens, 0
    sampler = torch.log_softmax(draw(rows, tokens, VOCABULARY), -1)
    policy = torch.log_softmax(sampler + spread * draw(rows, tokens, VOCABULARY), -1)
    listed = sampler.topk(LISTED, -1)
    rewards, advantages = draw(rows, GROUP), draw(rows, tokens)
    rewards[0], advantages[0, 0] = 1.0, 0.0
    return {
        "logp": logp,
        "logp_old": logp_old,
        "advantages": advantages,
        "mask": torch.arange(tokens) < lengths,
        "logp_rollout": (logp_old + 0.1 * draw(rows, tokens)).clamp_max(-1e-6),
        "topk_logp": policy.gather(-1, listed.indices),
        "topk_logp_rollout": listed.values,
        "noise": torch.rand(rows, tokens, generator=generator, dtype=torch.float64),
        "group_rewards": rewards,
        "logits": 2 * draw(rows, tokens, VOCABULARY),
        "entropy": draw(rows, tokens).exp(),
        "progress": 0.3,
        "boost": 1.0,
    }


def inputs_of(name, given):
    """The arguments of `given` that a method takes, besides the four that every method takes."""
    chosen = bandpo.get_method(name)
    needed = [*chosen.inputs, *(["logp_rollout"] if chosen.anchor == "rollout" else [])]
    return {key: given[key] for key in needed}


def loss_of(name, given, **options):
    """`policy_loss` of a method on a batch of `batch`."""
    main = [given[key] for key in ("logp", "logp_old", "advantages", "mask")]
    return bandpo.policy_loss(*main, method=name, **inputs_of(name, given), **options)


LEAVES = ("logp", "logits", "entropy")


def gradients_of(name, given, **options):
    """The loss, and its gradients with respect to everything a method may differentiate, by name."""
    leaves = {key: given[key].clone().requires_grad_() for key in LEAVES}
    out = loss_of(name, {**given, **leaves}, **options)
    out.loss.backward()
    return out, {key: leaf.grad for key, leaf in leaves.items() if leaf.grad is not None}


def each_tensor(given, change):
    """The batch with `change(name, tensor)` applied to every tensor in it."""
    return {key: change(key, x) if isinstance(x, torch.Tensor) else x for key, x in given.items()}


def to(given, dtype):
    return each_tensor(given, lambda _, x: x.to(dtype) if x.is_floating_point() else x)


def anchor_of(name, given):
    return given["logp_rollout" if bandpo.get_method(name).anchor == "rollout" else "logp_old"]


def surrogate_of(name, given, **options):
    """`Method.apply` on the batch: loss per token, closed-form gradient, and the leaf the loss was computed from."""
    chosen = bandpo.get_method(name)
    logp, anchor, mask = given["logp"].clone().requires_grad_(), anchor_of(name, given), given["mask"]
    advantages = torch.where(mask, given["advantages"], 0.0)
    tokens = Tokens((logp - anchor).clamp(-20, 20), logp, anchor, advantages, mask)
    inputs, hyperparameters = chosen.split({**{k: given[k] for k in chosen.inputs}, **options})
    surrogate, _ = chosen.apply(tokens, **inputs, **hyperparameters)
    return surrogate, logp
