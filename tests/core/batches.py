"""Ragged batches with every input any method needs, and two settings of every method: its authors' and a tight one."""

import torch

import bandpo
from bandpo.core.tokens import Tokens
from tests.methods import ENTRIES
from tests.methods.common import View

NAMES = tuple(sorted(ENTRIES, key=[*bandpo.methods(), *ENTRIES].index))
BANDS = tuple(name for name in NAMES if name.startswith("band-"))
LISTED, VOCABULARY, GROUP = 4, 9, 4

TIGHT = {name: ENTRIES[name].tight for name in NAMES}
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
    made_up = {
        key: needed.made_up(logp_old, logp, vocabulary=VOCABULARY)
        for method in bandpo.methods().values()
        for key, needed in method.inputs.items()
    }
    return made_up | {
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


def stopped(name, given, hyperparameters):
    """Whether each token of a batch with A ≠ 0 has no gradient; masked tokens have none either way.

    Args:
        name: a method.
        given: a batch of `batch`.
        hyperparameters: all of the method's.
    """
    entry = ENTRIES[name]
    return entry.stops(View(given, entry.anchor), **hyperparameters)


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
