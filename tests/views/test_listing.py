"""A method as plain data is strict JSON and loses nothing the registry says."""

import json

import pytest

import bandpo
from bandpo.views.listing import ANCHORS, FAMILIES, SCOPES, describe, option_words


@pytest.mark.parametrize("name", bandpo.methods())
def test_a_description_is_strict_json_with_every_field(name):
    method = bandpo.methods()[name]
    described = describe(method)
    assert json.loads(json.dumps(described, allow_nan=False)) == described
    assert described["formula"] == method.formula and described["experimental"] == method.experimental
    assert described["hyperparameters"].keys() == method.hyperparameters.keys()
    assert described["inputs"].keys() == method.inputs.keys()


@pytest.mark.parametrize("method", bandpo.methods().values(), ids=bandpo.methods())
def test_every_family_anchor_and_scope_has_words(method):
    assert method.family in FAMILIES and method.anchor in ANCHORS and method.scope in SCOPES


def test_an_infinite_option_is_written_as_text():
    assert describe(bandpo.get_method("cispo"))["hyperparameters"]["eps_low"] == "inf"


@pytest.mark.parametrize("name", list(bandpo.methods()))
def test_every_option_of_every_method_has_its_words(name):
    words = option_words(bandpo.get_method(name))
    assert words.keys() == bandpo.get_method(name).hyperparameters.keys()
    assert all(text and not text.startswith("see ") for text in words.values())
