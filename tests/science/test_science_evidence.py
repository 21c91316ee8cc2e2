"""The registered analysis finds what is put into made-up runs, and nothing where nothing is."""

import json

import numpy as np
import pytest
from scipy import stats

from benchmarks.marks import END
from benchmarks.science import evidence, evidence_page, figures, plan, run
from benchmarks.science.analysis import analyse, compare
from benchmarks.science.inference import holm, paired

CELL = plan.CELLS[0]


def record(cell, method, seed, **scores):
    start = plan.STARTS[seed % 3]
    own = {"mean@32": 0.1, "pass@8": 0.2, "pass@32": 0.3, "entropy": 0.5, "rare": 0.0, "clip": 0.02, **scores}
    common = {"method": method, "seed": seed, "start": start, "task": cell.task, "lr": cell.rate}
    return {
        **common,
        "updates": cell.updates,
        "final": own,
        "curve": [{"updates": 0, **own}, {"updates": cell.updates, **own}],
    }


def tuning_runs(best=(0.05, 1.0)):
    """Return tuning runs where one pair is best, the others the worse the later, and δ = 0.02 stops what grpo does."""
    runs = []
    for cell in plan.CELLS:
        is_main = cell.rate == plan.MAIN_RATE
        for seed in [*plan.FIRST_SEEDS, *plan.SECOND_SEEDS]:
            for number, pair in enumerate(plan.PAIRS):
                solved = 0.4 if pair == best else 0.3 - 0.001 * number
                runs.append(record(cell, plan.pair_spec(pair), seed, **{"pass@32": solved}))
            if is_main:
                runs.append(record(cell, "grpo", seed, clip=0.02))
                runs += [record(cell, f"band-kl:delta={radius}", seed, clip=0.04 - radius) for radius in plan.RADII]
    return runs


def test_the_best_pair_and_the_matched_radius_are_found():
    tuning = tuning_runs()
    assert len(plan.PAIRS) == 34
    assert plan.finalists(CELL, tuning)[0] == plan.tuned_pair(CELL, tuning) == plan.pair_spec((0.05, 1.0))
    assert plan.matched_radius(CELL, tuning) == 0.02
    assert plan.arms(CELL, tuning)[-1] == "band-kl:delta=0.02"
    assert plan.tuned_pair(CELL, []) is None


def test_every_cell_has_every_arm_on_every_seed_and_starts_alternate():
    tuning = tuning_runs()
    runs = [
        (settings.task, run)
        for rate in plan.RATES
        for settings, runs in plan.confirmation(tuning, plan.cells_at(rate))
        for run in runs
    ]
    for cell in plan.CELLS:
        own = [run for task, run in runs if (task, run.learning_rate) == (cell.task, cell.rate)]
        methods = {run.spec.label for run in own}
        assert len(methods) == (11 if cell.has_rivals else 5)
        assert {(run.spec.label, run.seed) for run in own} == {(m, s) for m in methods for s in plan.TEST_SEEDS}
        assert all(run.start == plan.STARTS[run.seed % 3] for run in own)
    assert not set(plan.TEST_SEEDS) & {*plan.FIRST_SEEDS, *plan.SECOND_SEEDS}


def test_a_rate_that_was_not_tuned_is_refused_before_any_run(tmp_path, monkeypatch, capsys):
    half = [r for r in tuning_runs() if r["lr"] == plan.MAIN_RATE]
    assert plan.tuned_pair(CELL, half) and plan.tuned_pair(plan.CELLS[2], half) is None
    with pytest.raises(ValueError, match=r"countdown at learning rate 0\.0002 has no tuned pair"):
        list(plan.confirmation(half, plan.cells_at(2e-4)))
    (tmp_path / "tuning.jsonl").write_text("".join(json.dumps(run) + "\n" for run in half))
    monkeypatch.setattr(evidence, "COMMITTED", tmp_path)
    monkeypatch.setattr(run, "run_all", lambda *given: pytest.fail("it ran"))
    for rates, said in (("2e-4", "has no tuned pair"), ("3e-4", "0.0003 is not registered")):
        with pytest.raises(SystemExit, match="2"):
            evidence.main(["--rates", rates, "--out", str(tmp_path)])
        assert said in capsys.readouterr().err


def runs_with(gain, seeds=plan.TEST_SEEDS, noise=0.02):
    """Return test runs in which the candidate's pass@32 is above all others' by a gain."""
    drawn = np.random.default_rng(1)
    tuning = tuning_runs()
    return [
        record(
            CELL,
            arm,
            seed,
            **{
                "pass@32": 0.4 + gain * (arm == plan.CANDIDATE) + noise * drawn.standard_normal(),
                "mean@32": 0.1 + 0.01 * drawn.standard_normal(),
            },
        )
        for arm in plan.arms(CELL, tuning)
        for seed in seeds
    ], tuning


@pytest.mark.parametrize(("gain", "shown"), [(0.1, "shown"), (-0.1, "the opposite"), (0.0, "not shown")])
def test_a_gain_is_shown_in_its_direction(gain, shown):
    found = analyse(*runs_with(gain))
    for name in ("H1", "H2"):
        said = {test["shown"] for test in found["hypotheses"][name] if test["measure"] == "pass@32"}
        assert said == {shown}
    assert {test["claim"] for test in found["hypotheses"]["H3"]} == {"H3a", "H3b", "H3c"}
    assert all(test["n"] == 24 for tests in found["hypotheses"].values() for test in tests)


def test_a_difference_is_scipys_paired_test_and_pairs_by_seed():
    runs, _ = runs_with(0.05)
    found = compare(CELL, runs[::-1], plan.CANDIDATE, "grpo", "pass@32")
    scores = {arm: [r["final"]["pass@32"] for r in runs if r["method"] == arm] for arm in (plan.CANDIDATE, "grpo")}
    expected = stats.ttest_rel(scores[plan.CANDIDATE], scores["grpo"])
    interval = expected.confidence_interval(0.95)
    assert found["p"] == pytest.approx(expected.pvalue)
    assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high))
    assert found["low"] < found["boot_low"] + 0.005 and sum(found["by_start"].values()) / 3 == pytest.approx(
        found["mean"]
    )


def test_seeds_that_one_arm_lacks_are_left_out():
    runs, _ = runs_with(0.05)
    fewer = [r for r in runs if r["method"] != "grpo" or r["seed"] < plan.TEST_SEEDS[0] + 5]
    assert compare(CELL, fewer, plan.CANDIDATE, "grpo", "pass@32")["n"] == 5
    assert compare(CELL, [r for r in runs if r["method"] != "grpo"], plan.CANDIDATE, "grpo", "pass@32") is None


def test_no_worse_is_one_sided_against_the_margin():
    a, b = np.full(10, 0.1) + 1e-3 * np.arange(10), np.full(10, 0.105) - 1e-3 * np.arange(10)
    expected = stats.ttest_rel(a + 0.01, b, alternative="greater")
    assert paired(a, b, margin=0.01)["p"] == pytest.approx(expected.pvalue)
    assert paired([1.0, 2.0], [1.0, 2.0])["p"] == 1.0 and paired([1.0, 2.0], [1.0, 2.0], margin=0.01)["p"] == 0.0


def test_holm_is_no_smaller_than_p_and_keeps_its_order():
    p = np.random.default_rng(0).random(20).tolist()
    corrected = holm(p)
    assert all(after >= before for before, after in zip(p, corrected, strict=True))
    assert np.argsort(p, kind="stable").tolist() == sorted(range(20), key=lambda i: (corrected[i], p[i]))
    assert holm([]) == []


def test_the_page_takes_every_table_and_refuses_one_without_marks(tmp_path):
    found = analyse(*runs_with(0.1))
    page = tmp_path / "evidence.md"
    marks = ("scores", "H1", "H2", "H3")
    page.write_text("A\n" + "".join(f"{evidence_page.start_of(name)}old\n{END}" for name in marks) + "Z\n")
    evidence_page.write_page(found, page)
    text = page.read_text()
    assert "old" not in text and text.startswith("A\n") and text.endswith("Z\n")
    assert "(tuned pair)" in text and "**shown**" in text
    evidence_page.write_page(found, page)
    assert page.read_text() == text
    page.write_text("nothing")
    with pytest.raises(ValueError, match="expected the line"):
        evidence_page.write_page(found, page)


def test_the_overview_has_main_arms_and_the_tuned_pair_and_the_figure_is_drawn(tmp_path):
    runs, tuning = runs_with(0.1)
    text = evidence_page.overview(analyse(runs, tuning))
    rows = [line.split(" | ")[0] for line in text.splitlines()]
    assert rows[0] == "| method" and [f"| `{arm}`" for arm in plan.MAIN] == rows[3:7]
    assert rows[7] == "| the best of 34 fixed pairs, tuned"
    assert "0.500 ± 0.000" in text.splitlines()[3] and " ± " not in text.splitlines()[2]
    assert figures.draw(CELL, runs, tuning, tmp_path).stat().st_size > 10_000


def test_the_smoke_run_goes_the_whole_way(tmp_path, monkeypatch, capsys):
    cells = [plan.Cell(task, plan.MAIN_RATE, updates=16, evaluate_every=1) for task in plan.TASKS]
    monkeypatch.setattr(evidence, "SMOKE", cells)
    monkeypatch.setattr(evidence, "smoke_jobs", lambda: [cells[0].job(("grpo", "band-kl"), (5000, 5001))])
    assert evidence.main(["--smoke", "--out", str(tmp_path), "--processes", "1"]) == 0
    assert "`band-kl`" in capsys.readouterr().out
    assert len([json.loads(line) for line in (tmp_path / "smoke.jsonl").read_text().splitlines()]) == 4
