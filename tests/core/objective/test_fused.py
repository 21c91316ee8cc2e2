import pytest
import torch

import bandpo
from bandpo.core.objective.fused import packed_region

from ..batches import SETTING_IDS, SETTINGS


@pytest.mark.parametrize(("name", "options"), SETTINGS, ids=SETTING_IDS)
def test_every_method_with_any_options_is_asked_without_an_error(name, options):
    method = bandpo.get_method(name)
    region = packed_region(method, method.resolve(options))
    assert region is None or method.family == "interval"


@pytest.mark.parametrize("name", ["entropy", "tre"])
def test_options_that_have_no_hash_are_no_key(name):
    method = bandpo.get_method(name)
    assert packed_region(method, method.resolve({"base_kwargs": {"eps_low": 0.1}})) is None


@pytest.mark.parametrize(
    ("option", "wrong"), [("delta", {}), ("max_ratio", [2.0]), ("relax", {0.1: 0.2}), ("dual_clip", [])]
)
def test_an_option_without_a_hash_is_refused_as_anywhere(option, wrong):
    method = bandpo.get_method("band-kl")
    with pytest.raises((TypeError, ValueError), match=option):
        packed_region(method, method.resolve({option: wrong}))


def test_a_bool_is_not_taken_for_the_number_it_equals():
    method = bandpo.get_method("band-kl")
    assert packed_region(method, method.resolve({"delta": 1})) is not None
    with pytest.raises(TypeError, match="delta=True"):
        packed_region(method, method.resolve({"delta": True}))


def test_a_list_is_as_good_as_a_tuple():
    method = bandpo.get_method("band-kl")
    one, other = (packed_region(method, method.resolve({"relax": pair})) for pair in ([0.2, 0.28], (0.2, 0.28)))
    assert one == other
    assert one is not None


def test_a_tensor_of_radii_is_not_among_the_numbers_that_are_remembered():
    method = bandpo.get_method("band-kl")
    assert packed_region(method, method.resolve({"delta": torch.tensor(0.05)})) is None
