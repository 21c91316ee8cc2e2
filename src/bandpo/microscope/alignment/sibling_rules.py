"""Rules on siblings: another temperature, truncated sampling."""

from __future__ import annotations

import math

import torch

from bandpo.microscope.alignment.case import Case
from bandpo.microscope.alignment.noise import ORDINARY_NOISE
from bandpo.microscope.alignment.sampler import entropy_slope
from bandpo.microscope.alignment.siblings import constant, slope
from bandpo.microscope.alignment.verdict import Finding

CERTAIN = 4.0
LEAST_KEPT = 2.5
"""-log of the smallest mass that truncation is thought to keep."""


def temperature(case: Case) -> Finding | None:
    """Find one factor between the log-prob differences of siblings, or else an error that grows with log p + H."""
    family = case.family
    if family is not None:
        fit = slope(family, case.grain)
        is_far = abs(fit.a - 1) > max(0.01, CERTAIN * fit.error)
        if not (is_far and fit.explained > 0.8 and fit.plain > 0.5 and fit.a > 0):
            return None
        error = max(fit.error, 0.0)
        return _temperature(case, fit.a, error, f"{family.contexts:,} shared contexts", fit.explained)
    fit = entropy_slope(case.tokens)
    if fit is None or fit.explained < 0.8 or not abs(fit.a - 1) > 0.02 or math.isinf(fit.a):
        return None
    return _temperature(case, fit.a, 0.1 * abs(fit.a - 1), "the entropy, to first order", fit.explained)


def _temperature(case: Case, a: float, error: float, source: str, explained: float) -> Finding:
    old_is_wrong = case.drawn.by != "old"
    # a = T_old/T_new; only the ratio is known, the side that drew the tokens is taken to be right.
    value, wrong, right = (a, case.old, case.new) if old_is_wrong else (1 / a, case.new, case.old)
    relative = error / a
    text = (
        f"The {wrong}'s log-probs look as if taken at temperature {value:.3g}, where the {right}'s are at 1 "
        f"(ratio {1 / value:.3g} ± {max(relative / value, 0.001):.1g} from {source})."
    )
    if not case.drawn.by:
        text += " Which of the two is wrong cannot be told from these tokens."
    evidence = {
        "temperature_ratio": a,
        "temperature_ratio_error": error,
        "temperature_explained": explained,
        "drawn_by": case.drawn.by,
    }
    return Finding("temperature", text, evidence=evidence)


def truncation(case: Case) -> Finding | None:
    """Find an error of one sign that is alike for all siblings: the log of the mass that sampling kept."""
    tokens, family = case.tokens, case.family
    floor = case.grain**2
    below = float((tokens.u.square() - floor)[tokens.d < 0].sum().clamp_min(0))
    above = float((tokens.u.square() - floor)[tokens.d > 0].sum().clamp_min(0))
    if below + above == 0:
        return None
    one_sided = max(below, above) / (below + above)
    # What is kept holds the likeliest token at least: |d| <= -log p for any token that was drawn.
    bound = torch.minimum(tokens.new, tokens.old).neg().clamp_max(LEAST_KEPT) + CERTAIN * case.grain * tokens.scale
    bound = bound + case.exact
    if float((tokens.d.abs() > bound).double().mean()) > 0.01:
        return None
    zeros = int(((tokens.old == 0) & (tokens.new < -1e-3)).sum())
    evidence = {"truncation_one_sided": one_sided, "truncation_exact_zeros": zeros}
    if family is None:
        if one_sided < 0.98:
            return None
        alike = f"{one_sided:.0%} of the squared error lies on one side and none is larger than -log p"
        one_of, to_tell = ("temperature",), "token ids and group numbers of several answers to each prompt"
    else:
        fit = constant(family, case.grain, max(case.noise.repeats, 1))
        evidence |= {"truncation_alike": fit.share, "truncation_z": fit.z}
        # All tokens together show a weak constant that few contexts cannot.
        mean_z = abs(float(tokens.u.sum() / tokens.u.square().sum().sqrt()))
        is_found = fit.z > CERTAIN or (fit.z > CERTAIN / 2 and mean_z > 2 * CERTAIN)
        is_alike = fit.share > 0.9 or (fit.at_least > 0.3 and fit.inside_z < CERTAIN)
        is_one_sided = max(fit.negative, 1 - fit.negative) > 0.9 and one_sided > 0.9
        is_noise = case.sigma > ORDINARY_NOISE and fit.ratio < 4
        if not (is_found and is_alike and is_one_sided) or is_noise:
            return None
        alike = f"{min(fit.share, 1.0):.0%} of the error is one constant for all tokens of a context, over "
        alike += f"{family.contexts:,} shared contexts"
        # With less than half of the error sure to be the context's, other weights are not refused.
        one_of, to_tell = ((), "") if fit.at_least > 0.5 else (("other weights",), "a larger batch")
    wrong, right = (case.old, case.new) if below > above else (case.new, case.old)
    kept = math.exp(-abs(float(tokens.d.mean())))
    hint = f"; {zeros:,} of them are exactly 0, as under top-p or min-p" if zeros else ""
    text = (
        f"The {wrong}'s log-probs look renormalised over a truncated vocabulary (top-p, top-k, min-p or banned "
        f"tokens), the {right}'s are not: {alike}; the mass kept is about {kept:.3f} (geometric mean){hint}."
    )
    return Finding("truncated sampling", text, one_of, to_tell, {**evidence, "kept_mass": kept})
