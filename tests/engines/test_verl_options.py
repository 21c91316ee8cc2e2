"""verl's options without verl: what they name, what is refused, what is said."""

import math
import re
import warnings

import pytest

from bandpo.core.methods.registry import methods
from bandpo.engines.verl.options import CLIP, announced_objective, check_actor, objective_for, warn_once

DEFAULTS = {name: default for name, (_, default) in CLIP.items()}


@pytest.fixture(autouse=True)
def _nothing_said():
    warn_once.cache_clear()


def resolve(policy, clip=None):
    """The objective as the configuration asks for it, or with the actor's settings as the loss does."""
    return objective_for(policy) if clip is None else announced_objective(policy, clip)


def test_grpo_has_verls_clip_settings():
    chosen = resolve({"method": "grpo"}, {"clip_ratio_low": 0.1, "clip_ratio_high": 0.28, "clip_ratio_c": 10.0})
    assert chosen.options == {"eps_low": 0.1, "eps_high": 0.28, "dual_clip": 10.0}


def test_method_kwargs_win_over_verls_defaults_but_not_over_what_somebody_set():
    policy = {"method": "grpo", "method_kwargs": {"eps_high": 0.3, "dual_clip": None}}
    assert resolve(policy, DEFAULTS).options == {"eps_low": 0.2, "eps_high": 0.3, "dual_clip": None}
    with pytest.raises(ValueError, match=r"actor.clip_ratio_high=0.28 has no effect"):
        resolve(policy, {**DEFAULTS, "clip_ratio_high": 0.28})


def test_by_default_it_is_band_kl():
    with pytest.warns(UserWarning):
        chosen = resolve({}, DEFAULTS)
    assert (chosen.method.name, chosen.options["delta"], chosen.anchor) == ("band-kl", 0.05, "old")


@pytest.mark.parametrize("value", [3.0, 10.0])
def test_the_same_value_in_both_places_is_no_contradiction(value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chosen = resolve({"method_kwargs": {"dual_clip": value}}, {**DEFAULTS, "clip_ratio_c": value})
    assert chosen.options["dual_clip"] == value


def test_clip_higher_takes_its_own_values_in_verls_place():
    policy = {"method": "clip-higher", "method_kwargs": {"dual_clip": None}}
    assert resolve(policy, {**DEFAULTS, "clip_ratio_high": 0.28}).options["eps_high"] == 0.28


@pytest.mark.parametrize("method", ["band-kl", "band-tv", "clip-higher"])
def test_the_dual_clip_that_does_not_act_is_spoken_of_once(method):
    with pytest.warns(UserWarning, match=f"does not act with method='{method}'"):
        resolve({"method": method}, DEFAULTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resolve({"method": method}, DEFAULTS)
        resolve({"method": method, "method_kwargs": {"dual_clip": None}}, DEFAULTS)
        resolve({"method": method})  # the actor's settings are not known yet


@pytest.mark.parametrize("cap", [10.0, 50, 1000, 1e9, math.inf])
def test_a_cap_that_cannot_act_is_no_dual_clip_and_no_contradiction(cap):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method, own in (("band-kl", None), ("sapo", None), ("dppo-tv", None), ("dcpo", 10.0), ("two-sided", 4.0)):
            policy = {"method": method, "anchor": "old"}
            assert resolve(policy, {**DEFAULTS, "clip_ratio_c": cap}).options.get("dual_clip") == own


@pytest.mark.parametrize(
    ("method", "kwargs", "cap"),
    [
        ("band-kl", {}, 9.9),
        ("sapo", {}, 5.0),
        ("dcpo", {}, 5.0),
        ("band-kl", {"dual_clip": 20.0}, 10.0),
        ("gspo", {}, 1.5),
    ],
)
def test_a_cap_that_would_act_is_refused_where_it_does_not(method, kwargs, cap):
    with pytest.raises(ValueError, match=rf"actor.clip_ratio_c={cap} has no effect with method='{method}'"):
        resolve({"method": method, "method_kwargs": kwargs}, {**DEFAULTS, "clip_ratio_c": cap})


def test_an_actor_with_another_loss_is_left_alone():
    assert check_actor({"policy_loss": {"loss_mode": "vanilla"}, "clip_ratio_high": 0.28, "tau_pos": 3.0}) is None
    assert check_actor({"policy_loss": {"loss_mode": "sapo"}, "tau_pos": 3.0}) is None


@pytest.mark.parametrize(
    ("actor", "words"),
    [
        ({"clip_ratio_high": 0.28}, "actor.clip_ratio_high=0.28 has no effect with method='band-kl'"),
        ({"clip_ratio_low": None, "clip_ratio": 0.1}, "actor.clip_ratio=0.1"),
        ({"clip_ratio_low": 0.3}, "actor.clip_ratio_low=0.3"),
        ({"clip_ratio_c": 5.0}, "actor.clip_ratio_c=5.0"),
        ({"tau_neg": 1.2}, "actor.tau_neg=1.2 is read by verl's own loss 'sapo' only"),
    ],
)
def test_an_actor_that_contradicts_the_method_is_refused(actor, words):
    verls = {
        **DEFAULTS,
        "clip_ratio": 0.2,
        "policy_loss": {"loss_mode": "bandpo", "method_kwargs": {"dual_clip": None}},
    }
    assert check_actor(verls).method.name == "band-kl"
    with pytest.raises(ValueError, match=re.escape(words)):
        check_actor({**verls, **actor})


def test_grpo_reads_verls_fallback_for_both_sides():
    grpo = {"policy_loss": {"loss_mode": "bandpo", "method": "grpo"}, "clip_ratio": 0.1, "clip_ratio_c": 3.0}
    assert check_actor(grpo).options == {"dual_clip": 3.0, "eps_low": 0.1, "eps_high": 0.1}


def test_methods_that_have_no_dual_clip_say_nothing_of_it():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("maspo", "sapo", "cispo", "gspo"):
            resolve({"method": name}, DEFAULTS)


@pytest.mark.parametrize(
    ("policy", "kind", "message"),
    [
        ({"method": "band-lk"}, ValueError, "method='band-lk'"),
        ({"method_kwargs": {"deltta": 1}}, TypeError, "takes no 'deltta'"),
        ({"method_kwargs": "max_ratio=3"}, TypeError, "expected names and values"),
        ({"band_delta": -1.0}, ValueError, "delta=-1.0"),
        ({"band_delta": 0.1, "method_kwargs": {"delta": 0.1}}, ValueError, "same radius"),
        ({"anchor": "new"}, ValueError, "anchor='new'"),
        ({"anchor": "rollout"}, ValueError, "policy_loss.anchor=old"),
        ({"method": "dppo-tv"}, ValueError, "bypass_mode=True"),
        ({"method": "entropy"}, ValueError, "needs entropy, which verl does not hand to a loss"),
        ({"method": "flex-entropy"}, ValueError, "needs progress"),
        ({"method": "dppo-tv", "rollout_correction": {"bypass_mode": True, "rollout_rs": "seq"}}, ValueError, "seq"),
    ],
    ids=str,
)
def test_refusals(policy, kind, message):
    with pytest.raises(kind, match=message):
        resolve(policy)


def test_bypass_mode_is_the_samplers_anchor():
    policy = {"method": "dppo-kl", "rollout_correction": {"bypass_mode": True, "rollout_rs": None}}
    assert resolve(policy).anchor == "rollout"
    assert resolve({"anchor": "rollout", "rollout_correction": {"bypass_mode": True}}).anchor == "rollout"
    assert resolve({"method": "dppo-kl", "anchor": "old"}).anchor == "old"


@pytest.mark.parametrize("method", methods())
def test_every_method_is_taken_or_refused_by_name(method):
    policy = {"method": method, "rollout_correction": {"bypass_mode": True}}
    needed = [name for name, one in methods()[method].inputs.items() if not one.optional]
    if needed or method == "flex-entropy":
        with pytest.raises(ValueError, match=r"needs \w+"):
            resolve(policy)
    else:
        assert resolve(policy).method.name == method
