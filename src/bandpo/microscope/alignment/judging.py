"""The order of the rules: what moves whole rows first, then forms, then noise, then what is left."""

from __future__ import annotations

from dataclasses import replace

from bandpo.microscope.alignment import rest_rules as rest
from bandpo.microscope.alignment.case import Case
from bandpo.microscope.alignment.noise import ORDINARY_NOISE
from bandpo.microscope.alignment.order import last_token, rows_permuted, shifted
from bandpo.microscope.alignment.panel import Panel, is_possible
from bandpo.microscope.alignment.sibling_rules import temperature, truncation
from bandpo.microscope.alignment.verdict import Finding

FORMS = ("temperature", "truncated sampling", "repetition penalty")
"""Verdicts that say nothing of the noise beside them; a wrong order of tokens makes repeats differ by itself."""


def judge(case: Case) -> tuple[Finding, tuple[str, ...]]:
    """Return what a batch's log-probs suffer from, and what else was found beside it."""
    found = _compare(case)
    also = []
    if case.storage is not None and found.verdict != "stored in bf16/fp16":
        also.append("stored in bf16/fp16")
    if found.verdict in FORMS and not _is_quiet(case):
        also.append(rest.RANDOM)
    return found, tuple(also)


def _compare(case: Case) -> Finding:
    tokens = case.tokens
    if not len(tokens):
        return Finding("nothing to compare", "No token counts on both sides.")
    if float(tokens.d.abs().max()) <= case.exact:
        return rest.stored(case) or rest.sampled_elsewhere(case) or _aligned(case)
    for rule in (_shifted, _rows_permuted, _last_token):
        if (found := rule(case)) is not None:
            return replace(found, text=f"The {case.old}'s log-probs {found.text}.")
    for rule in (rest.stored, temperature, truncation, rest.repetition_penalty, rest.rare_large, rest.random_error):
        if (found := rule(case)) is not None:
            return found
    evidence = rest.fixed_error(case)
    if not rest.is_fixed(case, evidence):
        found = rest.sampled_elsewhere(case) or _aligned(case)
        return replace(found, evidence={**evidence, **found.evidence})
    return rest.padding(case, evidence) or rest.weights_or_precision(case, evidence)


def _is_gross(case: Case) -> bool:
    """Return whether the error is large enough for log-probs of other tokens: a tenth of how much they vary."""
    return float(case.tokens.d.abs().mean()) > 0.1 * float((case.tokens.new - case.tokens.new.mean()).abs().mean())


def _shifted(case: Case) -> Finding | None:
    return shifted(case.panel) if _is_gross(case) else None


def _rows_permuted(case: Case) -> Finding | None:
    # Repeats would get the log-probs of different rows.
    can_be = _is_gross(case) and (case.noise.source != "repeats" or not _is_quiet(case))
    return rows_permuted(case.panel) if can_be else None


def _is_quiet(case: Case) -> bool:
    """Return whether repeats show no more than ordinary noise, or are missing."""
    return case.noise.source != "repeats" or (case.noise.sigma or 0.0) <= ORDINARY_NOISE


def _last_token(case: Case) -> Finding | None:
    return last_token(case.tokens, case.sigma)


def _aligned(case: Case) -> Finding:
    largest = float(case.tokens.d.abs().max())
    if largest <= case.exact:
        return Finding("aligned", f"Both sides agree on all {len(case.tokens):,} tokens, to {largest:.1g} nats.")
    sigma = case.noise.sigma or 0.0
    source = f"from {case.noise.repeats:,} repeats" if case.noise.source == "repeats" else "at most"
    return Finding(
        "aligned", f"Both sides agree within numeric noise of {sigma:.2g} (1 - p), {source}: nothing else was found."
    )


def impossible(panel: Panel, new: str, old: str) -> Finding | None:
    """Find values that no sampled token's log-prob can have: not finite, above 0, or a sentinel."""
    counts = {name: int((panel.mask & ~is_possible(side)).sum()) for name, side in ((new, panel.new), (old, panel.old))}
    if not any(counts.values()):
        return None
    said = " and ".join(f"{count:,} of the {name}'s" for name, count in counts.items() if count)
    text = (
        f"{said} log-probs cannot be those of a sampled token (not finite, above 0, or below -1000): tokens banned, "
        "forced or truncated on one side, or places never scored."
    )
    return Finding("impossible token", text, evidence={"impossible_new": counts[new], "impossible_old": counts[old]})
