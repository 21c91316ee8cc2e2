"""Per-token losses of the methods that are not intervals, by hand: ratio space, double precision, from the papers.

Each takes a `Case` and the hyperparameters and gives the (B, T) losses. Nothing here comes from bandpo or from TRL.
"""

import math
from dataclasses import dataclass

import torch


@dataclass
class Case:
    """log-probs (new with gradient, old, of the sampler), advantages, mask; logits and group rewards where needed."""

    new: torch.Tensor
    old: torch.Tensor
    sampler: torch.Tensor
    advantages: torch.Tensor
    mask: torch.Tensor
    logits: torch.Tensor
    entropy: torch.Tensor
    group_rewards: torch.Tensor
    topk_sampler: torch.Tensor
    topk_new: torch.Tensor

    def ratio(self):
        return torch.exp(self.new - self.old)


def masked_gradient(case, dropped):
    weight = torch.exp(case.new - case.sampler).detach()
    return -case.advantages * weight * (~dropped) * case.new


def outward(case, distance, delta):
    moved = case.new.exp().detach() - case.sampler.exp()
    return (distance.detach() > delta) & (moved * case.advantages > 0)


def dppo_tv(case, delta):
    return masked_gradient(case, outward(case, (case.new.exp() - case.sampler.exp()).abs(), delta))


def dppo_kl(case, delta):
    p, q = case.sampler.exp(), case.new.exp()
    return masked_gradient(case, outward(case, p * torch.log(p / q) + (1 - p) * torch.log((1 - p) / (1 - q)), delta))


def _with_rest(probabilities):
    return torch.cat([probabilities, 1 - probabilities.sum(-1, keepdim=True)], -1)


def dppo_topk_tv(case, delta):
    difference = _with_rest(case.topk_sampler.exp()) - _with_rest(case.topk_new.exp())
    return masked_gradient(case, outward(case, difference.abs().sum(-1) / 2, delta))


def dppo_topk_kl(case, delta):
    p, q = _with_rest(case.topk_sampler.exp()), _with_rest(case.topk_new.exp())
    return masked_gradient(case, outward(case, (p * torch.log(p / q)).sum(-1), delta))


def _covariance(case):
    inside = case.mask.bool()
    means = case.advantages[inside].mean(), case.new.detach()[inside].mean()
    return (case.advantages - means[0]) * (case.new.detach() - means[1])


def kl_cov(case, fraction, coef):
    inside = case.mask.bool()
    count = max(1, int(fraction * inside.sum()))
    threshold = _covariance(case)[inside].sort(descending=True).values[count - 1]
    penalty = coef * (case.new - case.old).abs() * (_covariance(case) >= threshold)
    return -case.advantages * case.ratio() + penalty


def clip_cov_all(case):
    """Clip-Cov where every eligible token is dropped, which leaves nothing to chance."""
    covariance, ratio = _covariance(case), case.ratio()
    capped = torch.where(ratio > 2, 2.0, ratio)
    loss = -case.advantages * torch.where(case.advantages > 0, capped, ratio)
    clipped = (case.advantages > 0) & (ratio > 2)
    return loss * ~((covariance > 0.1) & (covariance < 5) & ~clipped)


def maspo(case, sigma, alpha):
    ratio, advantage = case.ratio(), case.advantages
    width = (sigma / case.old.exp() ** alpha).clamp(sigma, 10)
    width = width * torch.where(advantage > 0, 1 + 0.03 * advantage, 1 / (1 - 0.03 * advantage)).clamp(0.1, 10)
    gate = torch.exp(-((ratio.detach() - 1) ** 2) / (2 * width**2))
    return -advantage * torch.where((ratio.detach() - 1) * advantage > 0, gate, 1.0) * ratio


def cfpo(case, eps):
    ratio = case.ratio()
    return -case.advantages * ratio + case.advantages.abs() * (ratio - 1) ** 2 / (2 * eps)


def drpo(case, delta):
    ratio = torch.exp(case.new - case.sampler)
    return -case.advantages * ratio + case.advantages.abs() * case.sampler.exp() * (ratio - 1) ** 2 / (2 * delta)


def sapo(case, tau_pos, tau_neg):
    tau = torch.where(case.advantages > 0, tau_pos, tau_neg).double()
    return -case.advantages * 4 / tau * torch.sigmoid(tau * (case.ratio() - 1))


def ce_gppo(case, beta_low, beta_high):
    ratio, advantage = case.ratio(), case.advantages
    below, above = (advantage < 0) & (ratio < 0.8), (advantage > 0) & (ratio > 1.2)
    unit = ratio / ratio.detach()
    coefficient = torch.where(below, beta_low * 0.8 * unit, torch.where(above, beta_high * 1.2 * unit, ratio))
    return -advantage * coefficient


def cispo(case, eps_low, max_ratio):
    return -case.advantages * case.ratio().detach().clamp(1 - eps_low, max_ratio) * case.new


def gspo(case, eps_low, eps_high):
    """The sequence form: one ratio a response, whose gradient reaches all its tokens; the same after the token mean."""
    lengths = case.mask.sum(-1, keepdim=True).clamp_min(1)
    ratio = torch.exp(((case.new - case.old) * case.mask).sum(-1, keepdim=True) / lengths)
    clipped = ratio.clamp(1 - eps_low, 1 + eps_high)
    return torch.maximum(-case.advantages * ratio, -case.advantages * clipped)


def quatro(case, delta):
    from scipy.optimize import brentq

    multipliers = []
    for rewards in case.group_rewards.double():

        def excess(log_multiplier, rewards=rewards):
            weights = torch.softmax(rewards / math.exp(log_multiplier), 0)
            return (weights * torch.log(weights * len(rewards))).sum().item() - delta

        multipliers.append(math.exp(brentq(excess, -6, 12, xtol=1e-14)))
    log_ratio = ((case.new - case.old) * case.mask).sum(-1, keepdim=True).detach()
    multiplier = torch.tensor(multipliers, dtype=torch.float64)[:, None]
    return -torch.exp(log_ratio) * (case.advantages - multiplier * log_ratio) * case.new


def ppo(case):
    ratio = case.ratio()
    return torch.maximum(-case.advantages * ratio, -case.advantages * ratio.clamp(0.8, 1.2))


def tre(case, coef, top_k):
    log_p = torch.log_softmax(case.logits.sort(-1, descending=True).values[..., :top_k], -1)
    scale = math.log(case.logits.shape[-1]) / math.log(top_k)
    return ppo(case) + coef * scale * (log_p.exp() * log_p).sum(-1)


def entropy(case, coef):
    return ppo(case) - coef * case.entropy


# method -> (loss by hand, hyperparameters of both, options of the configuration alone)
METHODS = {
    "dppo-tv": (dppo_tv, {"delta": 0.05}, {}),
    "dppo-kl": (dppo_kl, {"delta": 0.01}, {}),
    "dppo-topk-tv": (dppo_topk_tv, {"delta": 0.4}, {}),
    "dppo-topk-kl": (dppo_topk_kl, {"delta": 1.2}, {}),
    "kl-cov": (kl_cov, {"fraction": 0.2, "coef": 0.5}, {}),
    "clip-cov": (clip_cov_all, {}, {"fraction": 1.0, "cov_low": 0.1}),
    "maspo": (maspo, {"sigma": 0.5, "alpha": 0.4}, {}),
    "cfpo": (cfpo, {"eps": 0.3}, {}),
    "drpo": (drpo, {"delta": 0.1}, {}),
    "sapo": (sapo, {"tau_pos": 1.5, "tau_neg": 2.0}, {}),
    "ce-gppo": (ce_gppo, {"beta_low": 0.5, "beta_high": 0.9}, {}),
    "cispo": (cispo, {"eps_low": 0.4, "max_ratio": 1.5}, {}),
    "gspo": (gspo, {"eps_low": 0.05, "eps_high": 0.07}, {}),
    "quatro": (quatro, {"delta": 0.1}, {}),
    "tre": (tre, {"coef": 0.1, "top_k": 3}, {}),
    "entropy": (entropy, {"coef": 0.1}, {}),
}
