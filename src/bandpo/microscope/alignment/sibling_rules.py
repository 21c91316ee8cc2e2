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
SIBLINGS = "token ids and group numbers of several answers to each prompt"


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
    # a = T_old/T_new; the side that drew the tokens is taken to be right.
    ratio, wrong, right = (a, case.old, case.new) if case.drawn.by != "old" else (1 / a, case.new, case.old)
    text = (
        f"The {wrong}'s log-probs look as if taken at temperature {min(ratio, 1):.3g}, where the {right}'s are at "
        f"{min(1 / ratio, 1):.3g}: only the ratio is known, {ratio:.3g} ± {max(ratio * error / a, 0.001):.1g} from "
        f"{source}."
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
    found = _constant_of_context(case) if case.family is not None else _one_sided_alone(case)
    if found is None or not _is_log_of_mass(case):
        return None
    alike, one_of, to_tell, evidence = found
    tokens = case.tokens
    wrong, right = (case.old, case.new) if float(tokens.d.mean()) < 0 else (case.new, case.old)
    kept = math.exp(-abs(float(tokens.d.mean())))
    zeros = int(((tokens.old == 0) & (tokens.new < -1e-3)).sum())
    hint = f"; {zeros:,} of them are exactly 0, as under top-p or min-p" if zeros else ""
    text = (
        f"The {wrong}'s log-probs look renormalised over a truncated vocabulary (top-p, top-k, min-p or banned "
        f"tokens), the {right}'s are not: {alike}; the mass kept is about {kept:.3f} (geometric mean){hint}."
    )
    evidence = {**evidence, "kept_mass": kept, "truncation_exact_zeros": zeros}
    return Finding("truncated sampling", text, one_of, to_tell, evidence)


Alike = tuple[str, tuple[str, ...], str, dict[str, float]]


def _constant_of_context(case: Case) -> Alike | None:
    """Compare siblings: the error must be the context's, of one sign, and more than noise."""
    family, tokens = case.family, case.tokens
    assert family is not None
    fit = constant(family, case.grain, max(case.noise.repeats, 1))
    one_sided = _one_sided(case, case.grain**2)
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
    evidence = {"truncation_one_sided": one_sided, "truncation_alike": fit.share, "truncation_z": fit.z}
    return alike, one_of, to_tell, evidence


def _one_sided_alone(case: Case) -> Alike | None:
    """Look at the sign alone, which a temperature may give as well."""
    one_sided = _one_sided(case, 0.0)
    if one_sided < 0.98:
        return None
    alike = f"{one_sided:.0%} of the squared error lies on one side and none is larger than -log p"
    return alike, ("temperature",), SIBLINGS, {"truncation_one_sided": one_sided}


def _one_sided(case: Case, noise: float) -> float:
    """Return the share of Σ u² beyond noise that lies on the heavier side of 0."""
    u = case.tokens.u
    below, above = (float((u.square() - noise)[side].sum().clamp_min(0)) for side in (u < 0, u > 0))
    return max(below, above) / (below + above) if below + above > 0 else 0.0


def _is_log_of_mass(case: Case) -> bool:
    """Return whether |d| <= -log p, noise aside: what is kept holds at least the likeliest token."""
    tokens = case.tokens
    most = torch.minimum(tokens.new, tokens.old).neg().clamp_max(LEAST_KEPT)
    bound = most + CERTAIN * case.grain * tokens.scale + case.exact
    return float((tokens.d.abs() > bound).double().mean()) <= 0.01
