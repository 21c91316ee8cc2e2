"""Where each method says a token has no gradient, in ratio space, in numpy and mpmath, from the papers' formulas."""

import numpy as np

from benchmarks import oracle

mp = oracle.mp


def _outside(advantages, ratio, low, high, dual_clip=None):
    """PPO: good tokens above, bad tokens below, and with a dual clip bad tokens far above."""
    past_dual = False if dual_clip is None else ratio > dual_clip
    return ((advantages > 0) & (ratio > high)) | ((advantages < 0) & ((ratio < low) | past_dual))


def _fixed(x, eps_low=np.inf, eps_high=np.inf, dual_clip=None):
    return _outside(x.advantages, x.ratio, 1 - eps_low, 1 + eps_high, dual_clip)


def _g(name, p, r):
    """p f(r) + (1 - p) f((1 - r p)/(1 - p)), infinite where r p >= 1 unless f is finite at 0."""
    generator = oracle.GENERATORS[name]
    left = (1 - r * p) / (1 - p)
    return p * generator.f(r) + (1 - p) * (generator.f(left) if left > 0 else generator.at_zero)


def _band(x, divergence, **options):
    low = options["delta"] if options["delta_low"] is None else options["delta_low"]
    high = options["delta"] if options["delta_high"] is None else options["delta_high"]

    def decide(log_p, log_r, advantage):
        p, r = mp.exp(mp.mpf(log_p)), mp.exp(mp.mpf(log_r))
        if advantage > 0:
            return r > 1 and (_g(divergence, p, r) > high or r > (options["max_ratio"] or mp.inf))
        if r > (options["dual_clip"] or mp.inf):
            return True
        if options["eps_low"] is not None:
            return r < 1 - options["eps_low"]
        # The mirrored lower bound is one over the upper bound of all other tokens.
        distance = _g(divergence, 1 - p, 1 / r) if options["lower"] == "mirror" else _g(divergence, p, r)
        return r < 1 and distance > low

    return np.vectorize(decide, otypes=[bool])(x.log_p, x.log_ratio, x.advantages)


def _kl3(x, delta, dual_clip):
    far = x.ratio - 1 - np.log(x.ratio) > delta
    return _outside(x.advantages, x.ratio, np.where(far, 1, 0), np.where(far, 1, np.inf), dual_clip)


def _dynamic(x, eps_low, eps_high, max_ratio, dual_clip):
    moved = (x.ratio - 1) * x.ratio * x.p
    above = (x.advantages > 0) & ((moved > eps_high) | (x.ratio > max_ratio))
    below = (x.advantages < 0) & ((x.ratio < 0.5) | (-moved > eps_low))
    return above | below | ((x.advantages < 0) & (x.ratio > dual_clip))


def _flexible(x, strategy, eps, slope_high, intercept_high, slope_low, intercept_low, dual_clip):
    rising = (1 + intercept_high) / (1 - slope_high * x.p)
    blend = 1 - 2 * x.inputs["progress"]
    assert blend > 0, "the rules below are those of the first half of training"
    weight = {"id": blend, "did": 1 - blend}[strategy]
    return _outside(x.advantages, x.ratio, 1 - eps, weight * rising + (1 - weight) * (1 + eps), dual_clip)


def _mask(x, distance, delta, delta_low, delta_high, max_ratio, two_sided):
    above = (distance > (delta if delta_high is None else delta_high)) & (x.ratio > 1)
    below = (distance > (delta if delta_low is None else delta_low)) & (x.ratio < 1)
    return (above | below) if two_sided else np.where(x.advantages > 0, above, below)


def _binary_kl(p, q):
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))


def _listed(x):
    mu, q = np.exp(x.inputs["topk_logp_rollout"]), np.exp(x.inputs["topk_logp"])
    return [np.concatenate([part, 1 - part.sum(-1, keepdims=True)], -1) for part in (mu, q)]


def _top_k_tv(x):
    mu, q = _listed(x)
    return np.abs(mu - q).sum(-1) / 2


def _top_k_kl(x):
    mu, q = _listed(x)
    return (mu * np.log(mu / q)).sum(-1)


def _clip_cov(x, fraction, cov_low, cov_high, eps_low, eps_high, dual_clip):
    clipped = _fixed(x, eps_low, eps_high)
    inside = x.mask
    cov = (x.advantages - x.advantages[inside].mean()) * (x.logp - x.logp[inside].mean())
    eligible = np.flatnonzero(inside & ~clipped & (cov > cov_low) & (cov < cov_high))
    first = eligible[np.argsort(-x.inputs["noise"].flat[eligible])]
    dropped = np.zeros(inside.size, bool)
    dropped[first[: max(1, int(fraction * inside.sum()))]] = True
    return dropped.reshape(inside.shape) | _fixed(x, eps_low, eps_high, dual_clip)


def _sequence(x, eps_low, eps_high):
    mean = np.where(x.mask, x.log_ratio, 0).sum(-1, keepdims=True) / np.maximum(x.mask.sum(-1, keepdims=True), 1)
    return _outside(x.advantages, np.exp(mean), 1 - eps_low, 1 + eps_high)


def _never(x, **_):
    return np.zeros_like(x.mask)


RULES = {
    "grpo": _fixed,
    "clip-higher": _fixed,
    "dual-clip": _fixed,
    "two-sided": _fixed,
    "no-clip": _fixed,
    "atr-grpo": _kl3,
    "dcpo": _dynamic,
    "flex-entropy": _flexible,
    "dppo-tv": lambda x, **options: _mask(x, np.abs(x.q - x.p), **options),
    "dppo-kl": lambda x, **options: _mask(x, _binary_kl(x.p, x.q), **options),
    "dppo-topk-tv": lambda x, **options: _mask(x, _top_k_tv(x), **options),
    "dppo-topk-kl": lambda x, **options: _mask(x, _top_k_kl(x), **options),
    "clip-cov": _clip_cov,
    "kl-cov": _never,
    "maspo": _never,
    "cfpo": _never,
    "spo": _never,
    "drpo": _never,
    "sapo": _never,
    "ce-gppo": lambda x, dual_clip, **_: (x.advantages < 0) & (x.ratio > dual_clip),
    "cispo": _never,
    "gspo": _sequence,
    "quatro": lambda x, **_: np.ptp(x.inputs["group_rewards"], -1, keepdims=True) == np.zeros(x.mask.shape),
}


class View:
    """A batch in numpy: probabilities p under the anchor and q under the policy, ratio q/p, and everything else."""

    def __init__(self, given, anchor):
        self.log_p, self.logp = given[anchor].numpy(), given["logp"].numpy()
        self.log_ratio = self.logp - self.log_p
        self.p, self.q, self.ratio = np.exp(self.log_p), np.exp(self.logp), np.exp(self.logp) / np.exp(self.log_p)
        self.advantages, self.mask = given["advantages"].numpy(), given["mask"].numpy()
        self.inputs = {key: x.numpy() if hasattr(x, "numpy") else x for key, x in given.items()}


def stopped(name, given, hyperparameters):
    """Whether each token of a batch with A ≠ 0 has no gradient; masked tokens have none either way.

    Args:
        name: a method.
        given: a batch of `batches.batch`.
        hyperparameters: all of the method's.
    """
    if name in ("tre", "entropy"):
        base = hyperparameters["base"]
        changed = hyperparameters["base_kwargs"] or {"eps_low": 0.2, "eps_high": 0.2}
        if base == "band-tv":
            changed = {**dict.fromkeys(("delta_low", "delta_high", "max_ratio", "eps_low", "dual_clip")), **changed}
            changed["lower"] = "band"
        name, hyperparameters = base, changed
    x = View(given, "logp_rollout" if name.startswith(("dppo", "drpo")) else "logp_old")
    if name.startswith("band-"):
        divergence = "kl" if name in ("band-upper", "band-mirror") else name.removeprefix("band-")
        return _band(x, divergence, **hyperparameters)
    return RULES[name](x, **hyperparameters)
