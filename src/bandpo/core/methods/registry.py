"""The registry: every method by name, with its formula, its source and its authors' hyperparameters.

Documentation, command line, atlas and conformance tests are generated from this list. A method whose published form
could not be verified says in `experimental` what was inferred.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from torch import Tensor

from bandpo.core.checks import suggestion
from bandpo.core.divergences.divergence import divergences, get_divergence
from bandpo.core.methods import covariance, dppo, gates, penalties
from bandpo.core.methods.bonuses import with_entropy, with_trust_region_entropy
from bandpo.core.methods.gspo import gspo
from bandpo.core.methods.method import Input, Method, Region, Rule
from bandpo.core.methods.quatro import quatro
from bandpo.core.regions.band import Interval, band, fixed_interval
from bandpo.core.regions.dynamic_clip import dynamic_clip_interval
from bandpo.core.regions.flexible_entropy import flexible_entropy_interval
from bandpo.core.regions.kl3 import kl3_interval

_BAND_OPTIONS: dict[str, Any] = {
    "delta": 0.05,
    "delta_low": None,
    "delta_high": None,
    "lower": "band",
    "upper": "band",
    "eps_low": None,
    "eps_high": None,
    "max_ratio": None,
    "relax": None,
    "dual_clip": None,
}
_BANDPO = "BandPO, arXiv 2603.04918"
_PG = "-A min(r, max_ratio) logp"


def _fixed(logp_old: Tensor, *, check: bool, eps_low: float = math.inf, eps_high: float = math.inf) -> Interval:
    return fixed_interval(logp_old, eps_low, eps_high)


def _interval(name: str, summary: str, formula: str, citation: str, region: Region, **fields: Any) -> Method:
    return Method(name, summary, formula, citation, "interval", region=region, **fields)


def _fixed_method(name: str, summary: str, citation: str, **hyperparameters: Any) -> Method:
    sides = "1 - eps_low <= r <= 1 + eps_high" if hyperparameters.keys() & {"eps_low"} else "any r"
    formula = sides + ("; for A < 0 also r <= dual_clip" if hyperparameters.get("dual_clip") else "")
    return _interval(
        name,
        summary,
        formula,
        citation,
        _fixed,
        per_token=False,
        hyperparameters={"dual_clip": None, **hyperparameters},
    )


def _band_method(
    divergence: str, name: str | None = None, summary: str | None = None, below: str = "", **changes: Any
) -> Method:
    chosen = get_divergence(divergence)
    ours = name is not None or divergence not in ("kl", "tv", "chi2")
    return _interval(
        name or f"band-{divergence}",
        summary or f"Band of radius δ in {chosen.summary}",
        "p f(r) + (1 - p) f((1 - r p)/(1 - p)) <= δ" + (f" above; {below} below" if below else ""),
        f"{_BANDPO}, Theorem 1" if not ours else f"this project, after {_BANDPO}",
        functools.partial(band, divergence=chosen),
        divergence=chosen,
        hyperparameters={**_BAND_OPTIONS, **changes},
        ours=ours,
    )


def _find(name: str) -> Method:
    """`get_method`, which a bonus finds its base by; the registry it reads is filled after this."""
    return get_method(name)


def _dppo(name: str, summary: str, formula: str, equation: str, divergence: str, delta: float, top_k: bool) -> Method:
    inputs = {
        "topk_logp": Input("BTK", "log-probs of the sampler's top-k tokens under the policy"),
        "topk_logp_rollout": Input("BTK", "their log-probs under the sampler, see bandpo.with_sampled_token"),
    }
    return Method(
        name,
        summary,
        f"{_PG} where {formula} <= δ or A pulls back, else 0",
        f"DPPO, arXiv 2602.04879, {equation}",
        "mask",
        hyperparameters={
            "delta": delta,
            "delta_low": None,
            "delta_high": None,
            "max_ratio": 1e4,
            "two_sided": False,
        },
        rule=functools.partial(dppo.dppo_top_k if top_k else dppo.dppo_binary, divergence=divergence),
        anchor="rollout",
        inputs=inputs if top_k else {},
    )


def _entropy_mechanism(name: str, summary: str, formula: str, rule: Rule, **fields: Any) -> Method:
    citation = f"The Entropy Mechanism, arXiv 2505.22617, {summary.split(':')[0]}"
    return Method(name, summary.split(": ")[1], formula, citation, "mask", rule=rule, scope="batch", **fields)


_METHODS = {
    method.name: method
    for method in (
        _fixed_method(
            "grpo",
            "PPO's fixed clip, ratio 0.8 .. 1.2",
            "PPO, arXiv 1707.06347, eq. 7; GRPO, arXiv 2402.03300",
            eps_low=0.2,
            eps_high=0.2,
        ),
        _fixed_method(
            "clip-higher",
            "fixed clip with a wider upper side, ratio 0.8 .. 1.28",
            "DAPO, arXiv 2503.14476, eq. 8",
            eps_low=0.2,
            eps_high=0.28,
        ),
        _fixed_method(
            "dual-clip",
            "fixed clip, and the loss of bad tokens capped at ratio 3",
            "Ye et al., arXiv 1912.09729, eq. 4",
            eps_low=0.2,
            eps_high=0.2,
            dual_clip=3.0,
        ),
        _fixed_method(
            "two-sided",
            "fixed clip, and the ratio of bad tokens bounded above by 4",
            "INTELLECT-2, arXiv 2505.07291",
            eps_low=0.2,
            eps_high=0.2,
            dual_clip=4.0,
        ),
        _fixed_method(
            "no-clip",
            "no trust region: the importance-weighted policy gradient",
            "the control of every comparison",
        ),
        _band_method("kl"),
        _band_method("tv"),
        _band_method("chi2"),
        _band_method("kl", "band-upper", "Band-KL above, fixed clip 0.8 below", "1 - eps_low <= r", eps_low=0.2),
        _band_method(
            "kl",
            "band-mirror",
            "Band-KL above, mirrored Band-KL below",
            "r >= 1/U(1 - p), U the upper bound",
            lower="mirror",
        ),
        _interval(
            "atr-grpo",
            "the per-token KL estimate r - 1 - log r bounded, for every token alike",
            "r - 1 - log r <= δ",
            "ATR-GRPO, arXiv 2602.05494",
            kl3_interval,
            hyperparameters={"delta": 0.05, "dual_clip": None},
            experimental="the authors' radius is not known; 0.05 is ours",
        ),
        _interval(
            "dcpo",
            "dynamic clip, wider for rare tokens: |(r - 1) r p| bounded",
            "½ + ½ √max(1 - 4 ε_low/p, 0) <= r <= ½ + ½ √(1 + 4 ε_high/p)",
            "DCPO, arXiv 2509.02333",
            dynamic_clip_interval,
            hyperparameters={"eps_low": 0.16, "eps_high": 0.2, "max_ratio": 10.0, "dual_clip": 10.0},
        ),
        _interval(
            "flex-entropy",
            "a clip that turns from raising entropy to lowering it as training goes on",
            "r <= (1 + intercept_high)/(1 - slope_high p), later r >= (1 - intercept_low)/(1 + slope_low p); else eps",
            "Flexible Entropy Control, arXiv 2602.09782",
            flexible_entropy_interval,
            hyperparameters={
                "strategy": "id",
                "eps": 0.2,
                "slope_high": -0.25,
                "intercept_high": 0.5,
                "slope_low": -0.13,
                "intercept_low": 0.3,
                "dual_clip": None,
            },
            inputs={
                "progress": Input("", "share of training that is done, for strategies id and did", optional=True),
                "boost": Input("", "1 while entropy is to grow, from bandpo.entropy_boost, for od", optional=True),
            },
            experimental="slopes, intercepts and the lower rule are second-hand; bounds, not ε, are blended",
        ),
        _dppo(
            "dppo-tv", "drops tokens whose probability has moved by more than δ", "|q - μ|", "eq. 13", "tv", 0.15, False
        ),
        _dppo(
            "dppo-kl", "drops tokens whose two-event KL exceeds δ", "KL(Bern μ || Bern q)", "eq. 14", "kl", 0.05, False
        ),
        _dppo(
            "dppo-topk-tv",
            "drops tokens at positions whose top-k TV exceeds δ",
            "TV over top-k and rest",
            "eq. 15 and 16",
            "tv",
            0.15,
            True,
        ),
        _dppo(
            "dppo-topk-kl",
            "drops tokens at positions whose top-k KL exceeds δ",
            "KL over top-k and rest",
            "eq. 15 and 16",
            "kl",
            0.05,
            True,
        ),
        _entropy_mechanism(
            "clip-cov",
            "Clip-Cov: a random few tokens of high covariance of log-prob and advantage are dropped",
            "0 for ⌊fraction · tokens⌋ of those with cov_low < (A - mean A)(logp - mean logp) < cov_high, else PPO's",
            covariance.clip_cov,
            hyperparameters={
                "fraction": 2e-4,
                "cov_low": 1.0,
                "cov_high": 5.0,
                "eps_low": math.inf,
                "eps_high": 1.0,
                "dual_clip": None,
            },
            inputs={"noise": Input("BT", "uniform random numbers that choose the tokens, drawn if not given", True)},
        ),
        _entropy_mechanism(
            "kl-cov",
            "KL-Cov: the tokens of highest covariance of log-prob and advantage are penalised for moving",
            "-A r, + coef |log r| on the top fraction by (A - mean A)(logp - mean logp)",
            covariance.kl_cov,
            hyperparameters={"fraction": 2e-3, "coef": 1.0},
        ),
        Method(
            "maspo",
            "a Gaussian gate on tokens that diverge, wide for rare ones and for confident gains",
            "-A r e^(-(r - 1)²/(2 σ²)) while A pushes outward, σ = clamp(σ₀ p^-α, σ₀, σ_high) · clamp(by A)",
            "MASPO, arXiv 2602.17550",
            "gate",
            hyperparameters={
                "sigma": 1.0,
                "alpha": 0.3,
                "beta_pos": 0.03,
                "beta_neg": 0.03,
                "sigma_high": 10.0,
                "scale_low": 0.1,
                "scale_high": 10.0,
            },
            rule=gates.maspo,
        ),
        Method(
            "cfpo",
            "a quadratic penalty on r - 1 in place of the clip; the same formula as SPO",
            "-A r + |A| (r - 1)²/(2 ε)",
            "CFPO, arXiv 2601.22801, eq. 7; SPO, arXiv 2401.16025",
            "gate",
            hyperparameters={"eps": 0.2},
            rule=penalties.cfpo,
        ),
        Method(
            "drpo",
            "a quadratic penalty that turns the gradient where the probability has moved by δ",
            "-A r + |A| μ (r - 1)²/(2 δ)",
            "DRPO, arXiv 2606.09821, eq. 8 and 9",
            "gate",
            hyperparameters={"delta": 12.5},
            rule=penalties.drpo,
            anchor="rollout",
        ),
        Method(
            "sapo",
            "a sigmoid of the ratio in place of the clip",
            "-A (4/τ) σ(τ (r - 1)), τ = tau_pos for A > 0, else tau_neg",
            "SAPO, arXiv 2511.20347",
            "gate",
            hyperparameters={"tau_pos": 1.0, "tau_neg": 1.05},
            rule=gates.sapo,
        ),
        Method(
            "ce-gppo",
            "PPO's clip with a bounded gradient outside instead of none",
            "PPO's; outside, gradient -β_low (1 - ε_low) A below and -β_high (1 + ε_high) A above",
            "CE-GPPO, arXiv 2509.20712",
            "gate",
            hyperparameters={"beta_low": 0.75, "beta_high": 1.0, "eps_low": 0.2, "eps_high": 0.2, "dual_clip": 10.0},
            rule=gates.ce_gppo,
        ),
        Method(
            "cispo",
            "policy gradient with a capped importance weight; no token is dropped",
            "-A detached[clip(r, 1 - ε_low, max_ratio)] logp",
            "CISPO: MiniMax-M1, arXiv 2506.13585; the cap of ScaleRL",
            "gate",
            hyperparameters={"eps_low": math.inf, "max_ratio": 5.0},
            rule=gates.cispo,
        ),
        Method(
            "gspo",
            "one ratio for the whole response, the geometric mean, clipped",
            "max(-A s, -A clip(s, 1 - ε_low, 1 + ε_high)), s = e^(mean_t log r_t)",
            "GSPO, arXiv 2507.18071",
            "sequence",
            hyperparameters={"eps_low": 3e-4, "eps_high": 4e-4},
            rule=gspo,
            scope="sequence",
        ),
        Method(
            "quatro",
            "a KL region per prompt, its dual solved exactly",
            "-detached[ρ (A - λ log ρ)] logp, ρ the answer's ratio, λ the multiplier at which the group's KL is δ",
            "after QUATRO, arXiv 2602.04620",
            "sequence",
            hyperparameters={"delta": 0.05},
            rule=quatro,
            inputs={"group_rewards": Input("BG", "rewards of all answers to each row's prompt")},
            scope="sequence",
            experimental="loss, direction of the KL, sequence-level ratio and radius are inferred from the abstract",
        ),
        Method(
            "tre",
            "a clip with a bonus on the entropy among the likely tokens",
            "ℓ of `base` - coef H_S log V / log |S|, S the top_k likeliest tokens or the nucleus of top_p",
            "TRE, arXiv 2602.03635",
            "bonus",
            hyperparameters={"coef": 1e-3, "top_k": 2, "top_p": None, "base": "grpo", "base_kwargs": None},
            rule=functools.partial(with_trust_region_entropy, find=_find),
            inputs={"logits": Input("BTV", "logits of the policy at every sampled token, with gradient")},
        ),
        Method(
            "entropy",
            "a clip with a bonus on the entropy of the whole vocabulary",
            "ℓ of `base` - coef H",
            "Mnih et al., arXiv 1602.01783; adaptive: Skywork-OR1, arXiv 2505.22312",
            "bonus",
            hyperparameters={"coef": 1e-3, "base": "grpo", "base_kwargs": None},
            rule=functools.partial(with_entropy, find=_find),
            inputs={"entropy": Input("BT", "exact entropy of the policy at every token, with gradient")},
        ),
    )
}
ALIASES = {"spo": "cfpo"}


def methods() -> dict[str, Method]:
    """Every method by name: those of the literature, ours, and `band-NAME` for each registered divergence.

    >>> sorted(bandpo.methods())[:4]
    ['atr-grpo', 'band-chi2', 'band-hellinger', 'band-jeffreys']
    """
    bands = {f"band-{name}": _band_method(name) for name in divergences() if f"band-{name}" not in _METHODS}
    return {**_METHODS, **bands}


def get_method(name: str) -> Method:
    """The method of that name; `band-alpha=1.5` is the band of the α-divergence with α = 1.5, `spo` is `cfpo`.

    Raises:
        ValueError: no method has that name.

    >>> bandpo.get_method("clip-higher").hyperparameters["eps_high"]
    0.28
    """
    if isinstance(name, str):
        if (known := _METHODS.get(ALIASES.get(name, name))) is not None:
            return known
        divergence = name.removeprefix("band-")
        if divergence != name and (divergence in divergences() or divergence.startswith("alpha=")):
            return _band_method(divergence)
    near = suggestion(name, [*methods(), *ALIASES])
    raise ValueError(f"method={name!r}: expected one of {', '.join(methods())} or band-alpha=NUMBER{near}")
