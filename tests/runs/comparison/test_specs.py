"""Methods and seeds as a user writes them."""

import pytest

from bandpo.runs.comparison.specs import Spec, parse_seeds, parse_specs, run_folder


def test_methods_and_their_options():
    plain, with_options = parse_specs(" grpo , clip-higher:eps_high=0.6:eps_low=1e-1,")
    assert plain == Spec("grpo", "grpo")
    assert with_options.method == "clip-higher"
    assert dict(with_options.hyperparameters) == {"eps_high": 0.6, "eps_low": 0.1}
    assert with_options.folder_name == "clip-higher,eps_high=0.6,eps_low=1e-1"


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
    ],
)
def test_what_is_no_list_of_methods(text):
    with pytest.raises((ValueError, TypeError)):
        parse_specs(text)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("1", [0]), ("3", [0, 1, 2]), ("5-5", [5]), ("8-11", [8, 9, 10, 11]), ("4, 2", [4, 2]), ("7,", [7])],
)
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text",
    ["", "0", "-3", "x", "1,1", "3-1", "1-2-3", "1.5", ",", "1,x", "1,-2", "4294967296-4294967297", "1,4294967296"],
)
def test_what_is_no_list_of_seeds(text):
    with pytest.raises(ValueError, match=f"--seeds {text!r}: expected"):
        parse_seeds(text)


def test_where_a_run_is(tmp_path):
    (spec,) = parse_specs("clip-higher:eps_high=0.6")
    assert run_folder(tmp_path, spec, 7).path == tmp_path / "clip-higher,eps_high=0.6" / "seed-7"
