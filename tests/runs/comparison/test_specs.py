"""Seeds as a user writes them, and where each run is; methods are tested with `views.specs`."""

import pytest

from bandpo.runs.comparison.specs import parse_seeds, parse_specs, run_folder


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
