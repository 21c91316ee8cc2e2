import copy
import math
import pickle

import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr

import bandpo
from bandpo import testing
from bandpo.core.divergences.divergence import REGISTRY
from benchmarks import oracle

NAMES = ("kl", "reverse-kl", "tv", "chi2", "neyman-chi2", "hellinger", "le-cam", "js", "jeffreys")
ALPHAS = (1.5, -0.5, 3, 2, 1, 0.5, 0, -1, 0.999, 0.001, -2.5)

# D(new || old) of two distributions, as textbooks write it.
TEXTBOOK = {
    "kl": lambda new, old: rel_entr(old, new).sum(),
    "reverse-kl": lambda new, old: rel_entr(new, old).sum(),
    "tv": lambda new, old: abs(new - old).sum() / 2,
    "chi2": lambda new, old: ((new - old) ** 2 / old).sum(),
    "neyman-chi2": lambda new, old: ((new - old) ** 2 / new).sum(),
    "hellinger": lambda new, old: ((new**0.5 - old**0.5) ** 2).sum(),
    "le-cam": lambda new, old: ((new - old) ** 2 / (new + old)).sum(),
    "js": lambda new, old: jensenshannon(new, old) ** 2,
    "jeffreys": lambda new, old: rel_entr(old, new).sum() + rel_entr(new, old).sum(),
    "alpha=3": lambda new, old: ((new**3 / old**2).sum() - 1) / 6,
    "alpha=0.5": lambda new, old: 4 * (1 - ((new * old) ** 0.5).sum()),
}


def projected(old, token, ratio):
    """The distribution that gives `token` its ratio and scales every other token alike."""
    new = old * (1 - ratio * old[token]) / (1 - old[token])
    new[token] = ratio * old[token]
    return new


@pytest.mark.parametrize("name", [*NAMES, *(f"alpha={alpha}" for alpha in ALPHAS)])
def test_every_divergence_conforms(name):
    testing.check_divergence(name)


@pytest.mark.parametrize("name", TEXTBOOK)
def test_at_its_bounds_the_whole_vocabulary_diverges_by_delta(name):
    old = torch.tensor([0.3, 0.25, 0.2, 0.15, 0.1], dtype=torch.float64)
    interval = bandpo.band(old.log(), 0.02, name)
    for token in range(5):
        for bound in (interval.low, interval.high):
            new = projected(old, token, bound[token].exp())
            assert TEXTBOOK[name](new.numpy(), old.numpy()) == pytest.approx(0.02, rel=1e-9)


@pytest.mark.parametrize("name", TEXTBOOK)
def test_no_policy_within_the_region_leaves_the_interval(name):
    generator = torch.Generator().manual_seed(1)
    old = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
    interval = bandpo.band(old.log(), 0.05, name)
    inside = 0
    for _ in range(300):
        noise = torch.randn(4, generator=generator, dtype=torch.float64)
        new = torch.softmax(old.log() + 0.4 * noise, 0)
        if TEXTBOOK[name](new.numpy(), old.numpy()) <= 0.05:
            log_ratio = new.log() - old.log()
            assert ((log_ratio >= interval.low) & (log_ratio <= interval.high)).all()
            inside += 1
    assert inside > 20


@pytest.mark.parametrize("name", oracle.GENERATORS)
def test_generators_are_those_of_the_literature(name):
    u = torch.logspace(-6, 6, 49, dtype=torch.float64)
    found = bandpo.get_divergence(name).f(u)
    truth = torch.tensor([float(oracle.GENERATORS[name].f(oracle.mp.mpf(x))) for x in u.tolist()], dtype=torch.float64)
    torch.testing.assert_close(found, truth, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", [*NAMES, "alpha=0.5", "alpha=0.25", "alpha=1.5"])
def test_supremum_is_the_divergence_of_disjoint_distributions(name):
    divergence, far = bandpo.get_divergence(name), torch.tensor([1e-60, 1e60], dtype=torch.float64)
    at_zero, at_infinity = divergence.f(far)
    reached = (at_zero + at_infinity / 1e60).item()
    assert reached == pytest.approx(divergence.supremum, rel=1e-5) if divergence.supremum < math.inf else reached > 50


@pytest.mark.parametrize(
    ("alpha", "name", "factor"),
    [(2, "chi2", 2), (1, "reverse-kl", 1), (0.5, "hellinger", 0.5), (0, "kl", 1), (-1, "neyman-chi2", 2)],
)
def test_alpha_family_contains_the_known_divergences(alpha, name, factor):
    logp = torch.tensor([-5.0, -1.0, -0.05], dtype=torch.float64)
    known = bandpo.band(logp, 0.1 * factor, name)
    for near in (alpha, alpha + 1e-9, alpha - 1e-9):
        found = bandpo.band(logp, 0.1, bandpo.alpha_divergence(near))
        torch.testing.assert_close(found, known, rtol=1e-6, atol=0)


def test_alpha_names_keep_every_digit():
    assert bandpo.alpha_divergence(1.23456789).name == "alpha=1.23456789"
    assert bandpo.get_divergence("alpha=1.23456789").name == "alpha=1.23456789"
    assert bandpo.alpha_divergence(2).name == "alpha=2"


@pytest.mark.parametrize("alpha", [math.inf, math.nan])
def test_alpha_must_be_finite(alpha):
    with pytest.raises(ValueError, match=rf"alpha={alpha}: expected a finite number"):
        bandpo.alpha_divergence(alpha)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match=r"divergence='k1': expected one of kl, reverse-kl, .* or alpha=NUMBER"):
        bandpo.get_divergence("k1")
    with pytest.raises(ValueError, match=r"divergence='alpha=two': expected 'alpha=NUMBER'"):
        bandpo.get_divergence("alpha=two")
    with pytest.raises(TypeError, match=r"divergence=3: expected a name or a bandpo.Divergence"):
        bandpo.get_divergence(3)  # type: ignore[arg-type]


def test_a_divergence_object_is_taken_as_it_is():
    mine = bandpo.Divergence("mine", lambda u: (u - 1) ** 2, "")
    assert bandpo.get_divergence(mine) is mine
    logp = torch.tensor([-1.0])
    torch.testing.assert_close(bandpo.band(logp, 0.05, mine), bandpo.band(logp, 0.05, "chi2"), rtol=1e-6, atol=0)


def test_divergences_is_a_copy_of_the_registry():
    bandpo.divergences().clear()
    assert tuple(bandpo.divergences())[: len(NAMES)] == NAMES


def test_a_registered_divergence_is_known_by_name():
    registered = bandpo.register_divergence("half-chi2", lambda u: (u - 1) ** 2 / 2, summary="χ²/2", supremum=math.inf)
    assert bandpo.get_divergence("half-chi2") is registered
    assert bandpo.divergences()["half-chi2"].summary == "χ²/2"
    logp = torch.tensor([-1.0])
    found = bandpo.band(logp, 0.05, "half-chi2")
    torch.testing.assert_close(found, bandpo.band(logp, 0.1, "chi2"), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["", "Mine", "my_own", "my own"])
def test_malformed_names_are_refused(name):
    with pytest.raises(ValueError, match="expected lower-case letters, digits and hyphens"):
        bandpo.register_divergence(name, lambda u: (u - 1) ** 2)


@pytest.mark.parametrize("name", ["kl", "alpha", "alpha-mine"])
def test_taken_names_are_refused(name):
    with pytest.raises(ValueError, match=f"name='{name}' is taken; names in use: kl, "):
        bandpo.register_divergence(name, lambda u: (u - 1) ** 2)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda u: u**2, r"f\(1\) = 1.0, expected 0"),
        (torch.log, r"f is not convex near u = 0.01"),
        (lambda u: (u - 1) ** 2 / (u > 0.5), r"f\(u\) is not finite at u = 0.01"),
        (lambda u: ((u - 1) ** 2).sum(), r"f of 401 ratios has shape \(\), expected one value each"),
        (lambda u: (u - u.min()) * (u - 1), r"f is not elementwise, its value at a ratio depends on the other"),
        (lambda u: (u - 1) ** 2 * torch.arange(len(u)), r"f is not elementwise"),
    ],
)
def test_what_is_no_generator_is_refused_with_its_reason(f, message):
    with pytest.raises(ValueError, match=f"mine: ({message})"):
        bandpo.register_divergence("mine", f)
    assert "mine" not in bandpo.divergences()


def test_compiled_code_refuses_an_f_it_cannot_find_by_name(compiled):
    logp = -torch.logspace(-3, 1, 16)
    imposter = bandpo.Divergence("js", lambda u: (u - 1) ** 4, "")
    with pytest.raises(Exception, match="register it first"):
        compiled(lambda x: bandpo.band(x, 0.05, imposter))(logp)


def test_compiled_code_finds_registered_divergences_and_alphas_by_name(compiled):
    bandpo.register_divergence("mine", lambda u: (u - 1) ** 4)
    logp = -torch.logspace(-6, 1.5, 32)
    for name in ("mine", "alpha=1.23456789"):
        found = compiled(lambda x, name=name: bandpo.band(x, 0.05, name))(logp)
        torch.testing.assert_close(found, bandpo.band(logp, 0.05, name), rtol=1e-6, atol=0)


def copies(thing):
    return [copy.deepcopy(thing), copy.copy(thing), *(pickle.loads(pickle.dumps(thing, p)) for p in range(2, 6))]


@pytest.mark.parametrize("name", [*NAMES, *(f"alpha={alpha}" for alpha in ALPHAS)])
def test_copies_and_pickles_give_the_same_bounds(name):
    logp, original = torch.tensor([0.01, 0.3, 0.99]).log(), bandpo.get_divergence(name)
    for other in copies(original):
        assert (other.name, other.summary, other.supremum) == (original.name, original.summary, original.supremum)
        assert all(map(torch.equal, bandpo.band(logp, 0.02, other), bandpo.band(logp, 0.02, original)))
        assert (other is original) == (name in NAMES)


def test_what_a_user_registered_is_pickled_by_name_whatever_its_f():
    mine = bandpo.register_divergence("mine", lambda u: (u - 1) ** 4)
    assert all(other is mine for other in copies(mine))
    written = pickle.dumps(mine)
    del REGISTRY["mine"]
    with pytest.raises(ValueError, match="divergence='mine': expected one of"):
        pickle.loads(written)


def test_the_smallest_radius_is_that_of_the_way_the_bounds_are_found():
    smallest = {name: bandpo.get_divergence(name).smallest_delta for name in (*NAMES, "alpha=2", "alpha=1", "alpha=3")}
    assert {name for name, delta in smallest.items() if delta == 1e-9} == {
        "reverse-kl",
        "js",
        "jeffreys",
        "alpha=1",
        "alpha=3",
    }
    assert set(smallest.values()) == {1e-30, 1e-9}
