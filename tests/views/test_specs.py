"""Methods in a line: labels, options of the method's own types, and what is no list of methods."""

import pytest

from bandpo.views.specs import Spec, _value, parse_specs


def test_specs():
    plain, with_options = parse_specs(" grpo , clip-higher:eps_high=0.6:eps_low=1e-1,")
    assert plain == Spec("grpo", "grpo")
    assert with_options.method == "clip-higher"
    assert dict(with_options.hyperparameters) == {"eps_high": 0.6, "eps_low": 0.1}
    assert with_options.folder_name == "clip-higher,eps_high=0.6,eps_low=1e-1"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.6", 0.6),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("3", 3),
        ("null", None),
        ("none", None),
        ("true", True),
        ("-2", -2),
        ("1_0", 10.0),
        ("mirror", "mirror"),
    ],
)
def test_values(text, value):
    assert _value(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "nope",
        "grpo,grpo",
        "grpo:",
        "clip-higher:eps_high",
        "clip-higher:nope=1",
        "band-kl:delta=0.1,band-kl:delta=0.1",
        "band-kl:delta=0.1:delta=0.2",
    ],
)
def test_what_is_no_list_of_methods(text):
    with pytest.raises((ValueError, TypeError)):
        parse_specs(text)


def test_a_word_that_is_a_choice_stays_a_word():
    (spec,) = parse_specs("band-kl:lower=none:max_ratio=none")
    assert dict(spec.hyperparameters) == {"lower": "none", "max_ratio": None}
