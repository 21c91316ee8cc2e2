import copy
import math
import pickle

import pytest
import torch

import bandpo

LOGP = torch.tensor([[0.001, 0.05], [0.3, 0.99]], dtype=torch.float64).log()


def test_authors_hyperparameters_are_the_defaults():
    known = {name: dict(method.hyperparameters) for name, method in bandpo.methods().items()}
    assert known["grpo"] == {"eps_low": 0.2, "eps_high": 0.2, "dual_clip": None}
    assert known["clip-higher"] == {"eps_low": 0.2, "eps_high": 0.28, "dual_clip": None}
    assert known["dual-clip"] == {"eps_low": 0.2, "eps_high": 0.2, "dual_clip": 3.0}
    assert known["no-clip"] == {"dual_clip": None}
    assert known["band-kl"]["delta"] == 0.05
    assert known["band-upper"]["eps_low"] == 0.2
    assert known["band-mirror"]["lower"] == "mirror"


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("grpo", 0.8, 1.2),
        ("clip-higher", 0.8, 1.28),
        ("dual-clip", 0.8, 1.2),
        ("no-clip", 0.0, math.inf),
    ],
)
def test_fixed_methods_allow_the_same_ratios_to_every_token(name, low, high):
    method = bandpo.get_method(name)
    for found, expected in zip(method.interval(LOGP).ratio(), (low, high), strict=True):
        torch.testing.assert_close(found, torch.full_like(LOGP, expected))
    assert not method.per_token


@pytest.mark.parametrize("name", ["kl", "tv", "chi2", "js", "alpha=1.5"])
def test_band_methods_are_the_band_of_their_divergence(name):
    method = bandpo.get_method(f"band-{name}")
    assert method.per_token
    assert all(map(torch.equal, method.interval(LOGP), bandpo.band(LOGP, 0.05, name)))
    assert all(map(torch.equal, method.interval(LOGP, delta=0.01), bandpo.band(LOGP, 0.01, name)))


def test_our_own_methods_mix_sides():
    upper, mirror = (bandpo.get_method(name).interval(LOGP) for name in ("band-upper", "band-mirror"))
    assert all(map(torch.equal, upper, bandpo.band(LOGP, eps_low=0.2)))
    assert all(map(torch.equal, mirror, bandpo.band(LOGP, lower="mirror")))
    ours = {name for name, method in bandpo.methods().items() if method.ours}
    published = {f"band-{name}" for name in ("kl", "tv", "chi2")}
    assert ours == {f"band-{name}" for name in bandpo.divergences()} - published | {"band-upper", "band-mirror"}


def test_every_divergence_has_its_band_and_every_method_a_summary_and_citation():
    known = bandpo.methods()
    assert {f"band-{name}" for name in bandpo.divergences()} <= set(known)
    assert all(method.summary and method.citation and method.name == name for name, method in known.items())


def test_registering_a_divergence_makes_a_method():
    bandpo.register_divergence("mine", lambda u: (u - 1) ** 2)
    assert "band-mine" in bandpo.methods()
    inputs = LOGP - 0.2, LOGP, torch.ones(2), torch.ones(2, 2)
    found = bandpo.policy_loss(*inputs, method="band-mine", delta=0.02)
    torch.testing.assert_close(found.loss, bandpo.policy_loss(*inputs, method="band-chi2", delta=0.02).loss)


@pytest.mark.parametrize("name", ["ppo", "band-k1", "band-", "band-alpha", "", 3, ["grpo"]])
def test_unknown_methods_list_the_known_ones(name):
    with pytest.raises(ValueError, match=r"method=.*: expected one of grpo, clip-higher, .* or band-alpha=NUMBER"):
        bandpo.get_method(name)


def test_malformed_alpha_methods_say_what_alpha_must_be():
    with pytest.raises(ValueError, match=r"divergence='alpha=x': expected 'alpha=NUMBER', such as 'alpha=1.5'"):
        bandpo.get_method("band-alpha=x")


def test_unknown_hyperparameters_list_the_known_ones():
    with pytest.raises(
        TypeError, match=r"method 'grpo' takes no 'delta'; its hyperparameters: eps_low, eps_high, dual_clip"
    ):
        bandpo.get_method("grpo").interval(LOGP, delta=0.05)


def test_contradicting_hyperparameters_are_refused():
    with pytest.raises(ValueError, match=r"eps_low=0.2 fixes the lower bound and lower='mirror' sets it too"):
        bandpo.get_method("band-upper").interval(LOGP, lower="mirror")


def test_dual_clip_belongs_to_the_loss_and_not_to_the_interval():
    method = bandpo.get_method("grpo")
    assert all(map(torch.equal, method.interval(LOGP, dual_clip=3.0), method.interval(LOGP)))
    assert method.resolve({"dual_clip": 3.0})["dual_clip"] == 3.0
    with pytest.raises(ValueError, match="dual_clip=1: expected 1 < dual_clip < inf"):
        method.resolve({"dual_clip": 1})


def test_the_registry_handed_out_is_a_copy():
    bandpo.methods().clear()
    assert "grpo" in bandpo.methods()


@pytest.mark.parametrize("name", [*bandpo.methods(), "band-alpha=1.5"])
def test_copies_and_pickles_are_the_same_method(name):
    original = bandpo.get_method(name)
    others = [copy.deepcopy(original), copy.copy(original), *(pickle.loads(pickle.dumps(original, p)) for p in (2, 5))]
    for other in others:
        assert (other.name, other.formula, other.citation) == (original.name, original.formula, original.citation)
        assert other.hyperparameters == original.hyperparameters
        other.validate({})
        if original.family == "interval" and not original.inputs:
            assert all(map(torch.equal, other.interval(LOGP), original.interval(LOGP)))
