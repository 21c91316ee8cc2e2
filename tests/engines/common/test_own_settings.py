"""An engine's clip settings beside a method: honoured, off, or refused."""

import pytest

from bandpo.engines.common.objective import objective
from bandpo.engines.common.own_settings import dual_clip, is_off, refuse_clip_range


@pytest.mark.parametrize(
    ("cap", "own", "off"),
    [
        (None, None, True),
        (None, 3.0, True),
        (3.0, None, False),
        (9.99, None, False),
        (10.0, None, True),
        (1e9, 10.0, True),
        (10.0, 10.0, True),
        (10.0, 11.0, False),
        (4.0, 3.0, False),
    ],
)
def test_what_counts_as_off(cap, own, off):
    assert is_off(cap, own) is off


@pytest.mark.parametrize(
    ("method", "kwargs", "cap", "applied"),
    [
        ("grpo", {}, 3.0, 3.0),
        ("grpo", {}, 1000.0, 1000.0),
        ("band-kl", {}, None, None),
        ("dcpo", {}, 1000.0, 10.0),
        ("dual-clip", {}, 3.0, 3.0),
        ("sapo", {}, 1000.0, None),
        ("sapo", {}, None, None),
        ("ce-gppo", {}, None, None),
        ("ce-gppo", {}, 10.0, None),
    ],
)
def test_the_cap_that_an_engine_applies(method, kwargs, cap, applied):
    assert dual_clip(objective(method, method_kwargs=kwargs), "c", cap) == applied


@pytest.mark.parametrize(
    ("method", "cap", "words"),
    [
        ("dual-clip", 5.0, "c=5.0 and dual_clip=3.0 of method='dual-clip': give one"),
        ("dcpo", 3.0, "give one"),
        ("sapo", 3.0, "c=3.0 with method='sapo', which clips no ratio"),
        ("ce-gppo", 3.0, "clips no ratio"),
    ],
)
def test_two_caps_are_refused(method, cap, words):
    with pytest.raises(ValueError, match=words):
        dual_clip(objective(method), "c", cap)


def test_a_clip_range_without_effect_says_what_to_write():
    with pytest.raises(ValueError, match=r"e=0.3 has no effect with method='grpo': write eps_low into method_kwargs"):
        refuse_clip_range(objective("grpo"), {"e": (0.3, 0.2, "eps_low")})
    with pytest.raises(ValueError, match=r"method='sapo': the method takes tau_pos, tau_neg; leave it out"):
        refuse_clip_range(objective("sapo"), {"e": (0.3, 0.2, "eps_low")})
    with pytest.raises(ValueError, match=r"c=5\.0 has no effect"):
        refuse_clip_range(objective("band-kl"), {"c": (5.0, 3.0, "dual_clip")})
    refuse_clip_range(objective("band-kl"), {"c": (1000.0, 3.0, "dual_clip"), "e": (None, 0.2, "eps_low")})
    refuse_clip_range(objective("clip-higher"), {"e": (0.28, 0.2, "eps_high")})
