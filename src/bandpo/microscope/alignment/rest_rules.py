"""Rules on what the forms do not explain: noise, rare events, padding, other weights, low precision, the sampler."""

from __future__ import annotations

from typing import Any

from bandpo.microscope.alignment.case import Case
from bandpo.microscope.alignment.noise import ORDINARY_NOISE, deviations, fixed_part, normal_of_f, rare_share
from bandpo.microscope.alignment.sampler import surprise
from bandpo.microscope.alignment.sibling_rules import CERTAIN, SIBLINGS
from bandpo.microscope.alignment.spread import row_effect, seen_effect, token_effect
from bandpo.microscope.alignment.storage import NAMES
from bandpo.microscope.alignment.verdict import Finding

SILENT = 3.2
"""Two statistics are looked at: not 3 clean batches in 1,000 are beyond it."""
RANDOM = "random (dropout, kernels, batch noise)"
SOME_PADDING, SURE_PADDING = 10.0, 25.0
"""F between prompts: where other weights have reached it at most, and where they never do."""
LARGE_ERROR = 0.1
"""Beyond this, times 1 - p, 16-bit arithmetic is no explanation."""
MORE = "more tokens: about (4 / rms d)² tell which side drew them"
_OTHER = {"wrong old": "other weights", "other weights": "wrong old"}


def stored(case: Case) -> Finding | None:
    """Find rounding to 16 bits that explains the error, noise aside."""
    found = case.storage
    if found is None:
        return None
    side = {"old": f"The {case.old}'s", "new": f"The {case.new}'s", "both": "Both sides'"}[found.side]
    allowed = 1.001 * found.half_step + 4 * min(case.sigma, ORDINARY_NOISE) * case.tokens.scale + case.exact
    inside = float((case.tokens.d.abs() <= allowed).double().mean())
    if inside < 0.97:
        return None
    text = (
        f"{side} log-probs were stored in {NAMES[found.dtype]}: rounding moves them by up to "
        f"{float(found.half_step.max()):.2g} nats, and {inside:.1%} of the errors are no larger than that and noise."
    )
    return Finding("stored in bf16/fp16", text, evidence={"stored_as": NAMES[found.dtype], "stored_side": found.side})


def repetition_penalty(case: Case) -> Finding | None:
    """Find one token's errors apart where it stood in the row before and where it did not."""
    effect = seen_effect(case.tokens)
    if effect is None or abs(effect.z) < 6 or effect.explained < 0.15:
        return None
    wrong = case.old if effect.shift > 0 else case.new
    text = (
        f"The {wrong}'s log-probs look as if a repetition penalty had acted on them: where a token stood before in its "
        f"row its log-prob is {abs(effect.shift):.2g} (1 - p) lower there than the other side has it, more than where "
        f"it did not (z = {abs(effect.z):.0f}, {effect.explained:.0%} of the variance within a token id)."
    )
    evidence = {"seen_shift": effect.shift, "seen_z": effect.z, "seen_explained": effect.explained}
    return Finding("repetition penalty", text, evidence=evidence)


def rare_large(case: Case) -> Finding | None:
    """Find few tokens that carry nearly all of the squared error."""
    share, carried = rare_share(case.tokens.u)
    if not 0 < share < 0.06 or carried < 0.8:
        return None
    apart = rare_share(deviations(case.tokens))[1]
    again = "differs from one repeat of a token to the next" if apart > 0.5 else "comes back at repeats or has none"
    text = f"{share:.2%} of the tokens carry {carried:.0%} of the squared error; it {again}."
    evidence = {"rare_share": share, "rare_carried": carried}
    return Finding("rare large", text, evidence=evidence)


def random_error(case: Case) -> Finding | None:
    """Find noise beyond what 16-bit arithmetic makes, from repeats of one token in one context."""
    noise = case.noise
    if noise.source != "repeats" or noise.sigma is None or noise.sigma <= ORDINARY_NOISE:
        return None
    text = (
        f"The same token in the same context gets another log-prob each time: the noise is {noise.sigma:.2g} (1 - p) "
        f"from {noise.repeats:,} repeats, where 16-bit arithmetic makes about {ORDINARY_NOISE:g} at most. Dropout "
        "left on, or kernels whose result depends on the batch."
    )
    return Finding(RANDOM, text)


def fixed_error(case: Case) -> dict[str, Any]:
    """Return the statistics that say whether d holds more than noise."""
    tokens = case.tokens
    excess, excess_z = fixed_part(tokens, case.noise)
    effect = token_effect(tokens)
    mean_z = float(tokens.u.sum() / tokens.u.square().sum().sqrt().clamp_min(1e-30))
    evidence: dict[str, Any] = {"fixed_excess": excess, "fixed_z": excess_z, "mean_z": mean_z}
    if effect is not None:
        evidence |= {"token_effect": effect.covariance, "token_effect_z": effect.z}
    return evidence


def is_fixed(case: Case, evidence: dict[str, Any]) -> bool:
    """Return whether something that noise does not do was found."""
    if case.noise.source != "repeats" and (case.noise.sigma or 0.0) > ORDINARY_NOISE:
        return True
    found = (abs(evidence["mean_z"]), evidence["fixed_z"], evidence.get("token_effect_z", 0.0))
    return max(found) > CERTAIN


def sampled_elsewhere(case: Case) -> Finding | None:
    """Find tokens that are likelier or rarer than their policy says, both sides agreeing."""
    found = surprise(case.tokens)
    if found is None or abs(found.of_entropy) < 0.005:
        return None
    z = max(found.z, found.both_z, key=abs)
    if abs(z) < SILENT:
        return None
    sharper = "sharper (a temperature below 1, top-p, top-k)" if z > 0 else "flatter (a temperature above 1)"
    seen = [] if found.mean is None else [f"log p + H is {found.mean:+.3g} nats on average and should be 0"]
    if found.novelty_z is not None:
        more = "more" if found.novelty_z > 0 else "fewer"
        seen.append(f"{more} draws were new in their context than the mass unseen there allows")
    text = (
        f"Both sides agree, but the tokens were drawn from something {sharper}: {', and '.join(seen)} (z = {z:+.1f})."
    )
    evidence = {"surprise": found.mean, "surprise_z": found.z, "novelty_z": found.novelty_z, "sampler_z": found.both_z}
    return Finding("sampled elsewhere", text, evidence=evidence)


def padding(case: Case, evidence: dict[str, Any]) -> Finding | None:
    """Find errors whose size is a matter of the prompt, none but noise in the quietest; note it where it is weak."""
    effect = row_effect(case.tokens)
    if effect is None:
        return None
    evidence |= {"group_ratio": effect.ratio, "quietest_group": effect.lowest, "loudest_group": effect.highest}
    # The longest prompt of a batch has no pads, and so no error but noise.
    above = normal_of_f((effect.lowest / case.sigma) ** 2, effect.tokens, max(case.noise.repeats, 1))
    if effect.ratio < SOME_PADDING or above > CERTAIN or effect.highest < 5 * effect.lowest:
        return None
    if effect.ratio < SURE_PADDING:
        evidence["may_be_padding"] = evidence.get("token_effect_z", 0.0) < 2 * CERTAIN
        return None
    text = (
        f"The size of the error is a matter of the prompt (F = {effect.ratio:.0f} between prompts, from "
        f"{effect.lowest:.2g} to {effect.highest:.2g} times 1 - p): pads are attended to, or positions "
        "count them."
    )
    return Finding("padding", text, evidence=evidence)


def weights_or_precision(case: Case, evidence: dict[str, Any]) -> Finding:
    """Name what is left: other weights act on tokens, low precision does not; what cannot be told stays open."""
    side, to_tell = case.drawn, SIBLINGS if case.family is None else MORE
    evidence |= {"drawn_by_new_log_odds": side.log_odds}
    if case.tokens.ids is None:
        text = "The two sides differ by more than ordinary noise."
        likely = "wrong old" if side.by == "new" else "other weights"
        fourth = "low precision" if (case.noise.sigma or 0.0) < LARGE_ERROR else _OTHER[likely]
        return Finding(likely, text, ("temperature", RANDOM, fourth), SIBLINGS, evidence)
    # Without siblings a temperature, without repeats a random error has not been refused.
    unseen = ("temperature",) if case.family is None else ("padding",) if evidence.get("may_be_padding") else ()
    if evidence.get("token_effect_z", 0.0) < CERTAIN:
        if case.noise.source != "repeats":
            text = "The two sides differ by more than ordinary noise, and not by token."
            return Finding("low precision", text, (RANDOM, "other weights", *unseen), SIBLINGS, evidence)
        text = (
            f"An error of {max(evidence['fixed_excess'], 0.0) ** 0.5:.2g} (1 - p) beyond noise comes back at repeats "
            "and is not a matter of the token, as 16-bit arithmetic makes it."
        )
        again = "one forward pass of the same tokens in fp32, or a larger batch"
        return Finding("low precision", text, ("other weights", "wrong old", *unseen), again, evidence)
    text = (
        f"The log-probs come from two sets of weights: the error of a token is alike wherever it stands "
        f"(z = {evidence['token_effect_z']:.0f})"
    )
    if side.by == "new":
        text += f"; the tokens were drawn by the {case.new}'s weights, so the {case.old}'s are the wrong ones."
        return Finding("wrong old", text, unseen, to_tell if unseen else "", evidence)
    if side.by == "old":
        text += f"; the tokens were drawn by the {case.old}'s weights and the {case.new}'s have moved since."
        return Finding("other weights", text, unseen, to_tell if unseen else "", evidence)
    return Finding("other weights", f"{text}.", ("wrong old", *unseen), to_tell, evidence)
