"""No option is silently ignored: each hyperparameter and input has a setting under which it changes the result.

The settings are the `acts` of each method's entry. The batch has ratios within e^±1 or so.
"""

import pytest
import torch

import bandpo
from tests.core.batches import LEAVES, NAMES, batch, gradients_of
from tests.methods import ENTRIES

CHANGES = [(name, *change) for name in NAMES for change in ENTRIES[name].acts]


def result(name, given, options):
    """Loss per token and all gradients, as one vector."""
    out, gradients = gradients_of(name, given, aggregation="token-mean", **options)
    parts = [out.per_token.detach(), *(gradients[key] for key in LEAVES if key in gradients)]
    return torch.cat([part.flatten() for part in parts])


def differ(one, other):
    return (one - other).abs().max().item() > 1e-4


@pytest.mark.parametrize(("name", "option", "value", "common"), CHANGES)
def test_every_hyperparameter_changes_loss_or_gradient(name, option, value, common):
    inputs = {key: common[key] for key in ("boost", "progress") if key in common}
    given = {**batch(rows=8, tokens=8, spread=0.5), **inputs}
    options = {key: x for key, x in common.items() if key not in inputs and not key.endswith("_before")}
    before = {option: common[f"{option}_before"]} if f"{option}_before" in common else {}
    assert differ(result(name, given, {**options, option: value}), result(name, given, {**options, **before}))


@pytest.mark.parametrize("name", NAMES)
def test_every_hyperparameter_is_among_those_tested(name):
    assert {option for option, _, _ in ENTRIES[name].acts} == set(bandpo.get_method(name).hyperparameters)


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
