"""The search takes the best arms of each stage to the next, and its lower side is what its formula says."""

import math

import pytest
import torch
from mpmath import mp, mpf

from bandpo.views.bounds import method_bounds
from bandpo.views.specs import parse_specs
from benchmarks.science import beyond, held_radius, lower_sides, plan
from benchmarks.science.rules import rules_of
from benchmarks.science.stack import Run, Settings, Stack
from tests.science.test_science_evidence import record

SCALED = "band-upper-scaled"


@pytest.fixture(autouse=True)
def _registered():
    lower_sides.register()
    held_radius.register()


@pytest.mark.parametrize("c", [0.02, 0.05, 1.0])
@pytest.mark.parametrize("power", [0.25, 0.5, 1.0])
def test_the_scaled_lower_side_is_its_formula_and_the_upper_one_is_the_bands(c, power):
    logp = torch.cat([-torch.logspace(-12, 1.6, 60, dtype=torch.float64), torch.tensor([-100.0], dtype=torch.float64)])
    low, high = method_bounds(SCALED, logp, c=c, power=power)
    with mp.workdps(40):
        exact = [-mpf(c) / (-mp.expm1(mpf(x))) ** mpf(power) for x in logp.tolist()]
    torch.testing.assert_close(low, torch.tensor([float(x) for x in exact], dtype=torch.float64), rtol=1e-13, atol=0)
    assert torch.equal(high, method_bounds("band-upper", logp)[1])
    assert method_bounds(SCALED, torch.zeros(1), c=c, power=power)[0] == -math.inf


@pytest.mark.parametrize(("option", "value"), [("c", 0.0), ("c", -0.1), ("power", 0.0), ("c", math.inf), ("delta", -1)])
def test_numbers_that_make_no_region_are_refused(option, value):
    with pytest.raises(ValueError, match=f"{option}={value!r}: expected"):
        method_bounds(SCALED, torch.tensor([-1.0]), **{option: value})


def runs(arms, seeds, better=()):
    """Return runs of arms in both tasks; those of `better` score more, the first the most."""
    gains = {arm: 0.2 - 0.02 * rank for rank, arm in enumerate(better)}
    return [
        record(cell, arm, seed, **{"pass@32": 0.3 + gains.get(arm, 0.0) + 0.001 * (seed % 5)})
        for cell in beyond.CELLS
        for arm in arms
        for seed in seeds
    ]


def labels(jobs):
    return [{run.spec.label for run in runs} for _, runs in jobs]


def test_every_arm_is_one_that_the_bench_runs_under_the_name_it_is_looked_up_by():
    arms = [*beyond.REFERENCES, *beyond.TRIED, *beyond.HELD]
    specs = parse_specs(",".join(arms))
    assert [spec.label for spec in specs] == arms
    assert all(rule.is_interval for rule in rules_of(specs))
    tried = {*plan.FIRST_SEEDS, *plan.SECOND_SEEDS, *plan.TEST_SEEDS}
    assert not tried & {*beyond.FIRST, *beyond.SECOND, *beyond.FRESH} and not {*beyond.FIRST} & {*beyond.FRESH}


def test_the_best_go_on_and_the_winner_meets_the_candidate_on_fresh_seeds():
    order = [beyond.TRIED[place] for place in (3, 7, 0, 9, 5)]
    first = runs([*beyond.REFERENCES, *beyond.TRIED], beyond.FIRST, order)
    assert labels(beyond.explored(1, [])) == [{*beyond.REFERENCES, *beyond.TRIED}] * 2
    assert labels(beyond.explored(2, first)) == [{*beyond.REFERENCES, *order[:4]}] * 2
    second = first + runs(order[:4], beyond.SECOND, [order[1], order[0]])
    # Six seeds of the second stage outweigh three of the first.
    assert beyond.winner(second) == order[1]
    assert labels(beyond.explored(4, second)) == [{*beyond.HELD}] * 2
    assert labels(beyond.explored(3, second)) == [{beyond.CANDIDATE, "grpo", order[1]}] * 2
    with pytest.raises(ValueError, match="0 of 4 finalists have all of their runs: expected stage 2 before 3"):
        list(beyond.explored(3, first))
    with pytest.raises(ValueError, match="3 of 4 finalists"):
        list(beyond.explored(3, [r for r in second if r["method"] != order[2] or r["seed"] != beyond.SECOND[0]]))


def test_what_is_confirmed_is_tested_on_fresh_seeds_alone():
    order = beyond.TRIED[:4]
    found = runs(beyond.TRIED, beyond.FIRST, order) + runs(order, beyond.SECOND, order)
    found += runs([beyond.CANDIDATE, "grpo", order[0]], beyond.FRESH, [order[0]])
    tests = beyond.confirmed(found)
    assert [(test["task"], test["b"], test["measure"]) for test in tests] == [
        (cell.task, other, measure)
        for cell in beyond.CELLS
        for other in (beyond.CANDIDATE, "grpo")
        for measure in ("pass@32", "mean@32")
    ]
    assert all(test["n"] == 24 and test["a"] == order[0] and test["shown"] == "shown" for test in tests)
    made = beyond.tables(found)
    assert f"`{order[0]}`" in made["beyond"] and "**shown**" in made["beyond confirmed"]


def test_a_stage_that_does_not_exist_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        beyond.main(["--stages", "1,5", "--out", str(tmp_path)])
    assert "--stages 1,5: expected of 1,2,3,4" in capsys.readouterr().err


def test_a_held_radius_stops_the_share_asked_for_and_no_other_run_moves():
    specs = parse_specs("band-kl-held:stopped=0.05,band-kl")
    stack = Stack([Run(spec, 1e-4, 3, "countdown-2") for spec in specs], Settings(updates=16 * 16, samples=8))
    shares = torch.stack([stack.rollout()["clip"] for _ in range(16)])
    held = [run.spec.method for run in stack.runs].index(held_radius.NAME)
    assert shares[-6:, held].mean() == pytest.approx(0.05, rel=0.3)
    assert shares[-6:, 1 - held].mean() < 0.02
    [rule] = [rule for rule in stack.rules if rule.method.name == "band-kl"]
    assert rule.options["delta"] == 0.05


def test_a_share_that_is_none_is_refused():
    for value in (0.0, 0.6, -0.1, math.nan):
        with pytest.raises(ValueError, match="stopped="):
            method_bounds(held_radius.NAME, torch.tensor([-1.0]), stopped=value)
