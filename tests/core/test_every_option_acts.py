"""No option is silently ignored: each hyperparameter and input has a setting under which it changes the result.

Each entry is (option, value, what else is set both times); OPTION_before is what the option is compared with where that
is not the authors' value. The batch has ratios within e^±1 or so.
"""

import pytest
import torch

import bandpo
from tests.core.batches import BANDS, LEAVES, NAMES, batch, gradients_of

_SIDES = [("eps_low", 0.1, {}), ("eps_high", 0.1, {})]
_DUAL, _NO_DUAL = ("dual_clip", 1.2, {}), ("dual_clip", None, {"dual_clip_before": 1.2})
_BAND = [
    ("delta", 0.01, {}),
    ("delta_low", 0.01, {}),
    ("delta_high", 0.01, {}),
    ("lower", "mirror", {}),
    ("lower", "none", {}),
    ("upper", "mirror", {}),
    ("upper", "none", {}),
    *_SIDES,
    ("max_ratio", 1.05, {}),
    ("relax", (0.5, 0.9), {}),
    _DUAL,
]
_MASK = [
    ("delta", 0.02, {}),
    ("delta_low", 0.02, {}),
    ("delta_high", 0.005, {}),
    ("max_ratio", 1.2, {}),
    ("two_sided", True, {}),
]
_OD = {"strategy": "od"}
CHANGES = {
    "grpo": [*_SIDES, _DUAL],
    "clip-higher": [*_SIDES, _DUAL],
    "dual-clip": [*_SIDES, _DUAL, _NO_DUAL],
    "two-sided": [*_SIDES, _DUAL, _NO_DUAL],
    "no-clip": [_DUAL],
    **dict.fromkeys(BANDS, _BAND),
    # These have one side set already, so that another rule of the same side would be refused.
    "band-upper": [
        *[change for change in _BAND if change[0] not in ("delta_low", "lower")],
        ("delta_low", 0.01, {"eps_low": None}),
        ("lower", "mirror", {"eps_low": None}),
    ],
    "band-mirror": [
        *[change for change in _BAND if change[0] not in ("eps_low", "lower")],
        ("eps_low", 0.1, {"lower": "band"}),
        ("lower", "band", {}),
        ("lower", "none", {}),
    ],
    "atr-grpo": [("delta", 0.01, {}), _DUAL],
    "dcpo": [("eps_low", 0.05, {}), ("eps_high", 0.05, {}), ("max_ratio", 1.1, {}), _DUAL, _NO_DUAL],
    "flex-entropy": [
        ("strategy", "did", {}),
        ("strategy", "od", {}),
        ("eps", 0.05, {}),
        ("slope_high", -0.4, {}),
        ("intercept_high", 0.3, {}),
        ("slope_low", -0.02, {**_OD, "boost": 0.0}),
        ("intercept_low", 0.15, {**_OD, "boost": 0.0}),
        ("slope_low", -0.02, {"progress": 0.6}),
        ("intercept_low", 0.15, {"progress": 0.6}),
        ("slope_high", -0.4, {"strategy": "did", "progress": 0.6}),
        _DUAL,
    ],
    "dppo-tv": _MASK,
    "dppo-kl": _MASK,
    "dppo-topk-tv": _MASK,
    "dppo-topk-kl": _MASK,
    "clip-cov": [
        ("fraction", 0.5, {"cov_low": 0.1}),
        ("cov_low", 0.1, {"fraction": 1.0}),
        ("cov_high", 0.5, {"cov_low": 0.1, "fraction": 1.0}),
        *_SIDES,
        _NO_DUAL,
    ],
    "kl-cov": [("fraction", 0.5, {}), ("coef", 0.3, {})],
    "maspo": [
        ("sigma", 0.5, {}),
        ("alpha", 0.6, {}),
        ("beta_pos", 0.5, {}),
        ("beta_neg", 0.5, {}),
        ("sigma_high", 1.1, {}),
        ("scale_low", 0.9, {"beta_neg": 0.5}),
        ("scale_high", 1.2, {"beta_pos": 0.5}),
    ],
    "cfpo": [("eps", 0.1, {})],
    "spo": [("eps", 0.1, {})],
    "drpo": [("delta", 0.1, {})],
    "sapo": [("tau_pos", 2.0, {}), ("tau_neg", 2.0, {})],
    "ce-gppo": [
        ("beta_low", 0.5, {}),
        ("beta_high", 0.5, {}),
        *_SIDES,
        _DUAL,
        _NO_DUAL,
    ],
    "cispo": [("eps_low", 0.1, {}), ("max_ratio", 1.2, {})],
    "gspo": [("eps_low", 0.1, {}), ("eps_high", 0.2, {})],
    "quatro": [("delta", 0.3, {})],
    "tre": [
        ("coef", 0.1, {}),
        ("top_k", 4, {}),
        ("top_p", 0.9, {"top_k": None, "top_p_before": 0.5}),
        ("base", "no-clip", {}),
        ("base_kwargs", {"eps_low": 0.05}, {}),
    ],
    "entropy": [("coef", 0.1, {}), ("base", "no-clip", {}), ("base_kwargs", {"eps_low": 0.05}, {})],
}
ENTRIES = [(name, *change) for name, changes in CHANGES.items() for change in changes]


def result(name, given, options):
    """Loss per token and all gradients, as one vector."""
    out, gradients = gradients_of(name, given, aggregation="token-mean", **options)
    parts = [out.per_token.detach(), *(gradients[key] for key in LEAVES if key in gradients)]
    return torch.cat([part.flatten() for part in parts])


def differ(one, other):
    return (one - other).abs().max().item() > 1e-4


@pytest.mark.parametrize(("name", "option", "value", "common"), ENTRIES)
def test_every_hyperparameter_changes_loss_or_gradient(name, option, value, common):
    inputs = {key: common[key] for key in ("boost", "progress") if key in common}
    given = {**batch(rows=8, tokens=8, spread=0.5), **inputs}
    options = {key: x for key, x in common.items() if key not in inputs and not key.endswith("_before")}
    before = {option: common[f"{option}_before"]} if f"{option}_before" in common else {}
    assert differ(result(name, given, {**options, option: value}), result(name, given, {**options, **before}))


@pytest.mark.parametrize("name", NAMES)
def test_every_hyperparameter_is_among_those_tested(name):
    assert {option for option, _, _ in CHANGES[name]} == set(bandpo.get_method(name).hyperparameters)


OTHERS = {"progress": 0.6, "boost": 0.0}
NEEDED_BY = {"boost": {"strategy": "od"}, "noise": {"fraction": 0.1, "cov_low": 0.1}}
INPUTS = [(name, key) for name in NAMES for key in bandpo.get_method(name).inputs]


@pytest.mark.parametrize(("name", "key"), INPUTS)
def test_every_input_changes_loss_or_gradient(name, key):
    given = batch(rows=8, tokens=8, spread=0.5)
    changed = {**given, key: OTHERS[key] if key in OTHERS else 1 - given[key] if key == "noise" else 1.3 * given[key]}
    options = NEEDED_BY.get(key, {})
    assert differ(result(name, changed, options), result(name, given, options))


@pytest.mark.parametrize("name", NAMES)
def test_each_method_divides_by_its_own_anchor_and_by_the_other_when_told(name):
    given = batch(spread=0.5)
    options = {"logp_rollout": given["logp_rollout"]}
    own, other = ("rollout", "old") if bandpo.get_method(name).anchor == "rollout" else ("old", "rollout")
    inputs = {key: given[key] for key in bandpo.get_method(name).inputs}
    main = [given[key] for key in ("logp", "logp_old", "advantages", "mask")]
    plain, same, different = (
        bandpo.policy_loss(*main, method=name, **options, **inputs, **anchor).per_token
        for anchor in ({}, {"anchor": own}, {"anchor": other})
    )
    assert torch.equal(plain, same)
    assert differ(plain, different)


def test_two_sided_masks_drop_what_the_advantage_pulls_back_too():
    given = batch(rows=8, tokens=8, spread=0.5)
    given["advantages"] = -torch.sign(given["logp"] - given["logp_rollout"])
    inside = given["mask"] & (given["advantages"] != 0)
    for name in ("dppo-tv", "dppo-kl"):
        one_sided, two_sided = (gradients_of(name, given, two_sided=x)[1]["logp"] for x in (False, True))
        assert (one_sided[inside] != 0).all()
        assert (two_sided[inside] == 0).any()
