"""What a comparison found: statistics against scipy from the files alone, and files that are damaged."""

import json
import math
import sys

import numpy as np
import pytest
from scipy import stats

from bandpo.runs.comparison import report
from bandpo.runs.comparison.report import write_report
from bandpo.runs.comparison.specs import Spec, parse_specs, run_folder
from bandpo.runs.comparison.summary import summarise
from bandpo.store.folder import EVALUATIONS, RunFolder

METHODS, SEEDS, STEPS = "grpo,band-kl,band-mirror", [4, 5, 6, 8], [0, 10, 20]


@pytest.fixture
def finished(tmp_path):
    """Runs as `bandpo train` leaves them, with random scores; one score is the same in all runs."""
    rng = np.random.default_rng(0)
    for spec in parse_specs(METHODS):
        for seed in SEEDS:
            folder = run_folder(tmp_path, spec, seed)
            folder.claim({"model": "countdown", "method": spec.method, "seed": seed, "max_steps": 20})
            records = [
                {"step": step, "mean@32": rng.random(), "pass@32": rng.random(), "entropy": 0.5, "problems": 128}
                | {"errors": {"mean@32": 0.01, "pass@32": 0.02}}
                for step in STEPS
            ]
            folder.append(EVALUATIONS, records)
            folder.finish({"before": records[0], "after": records[-1]})
    return tmp_path


def final(out, method, name, seeds=SEEDS):
    """Scores at the end, read from result.json and from nothing else."""
    return [json.loads((out / method / f"seed-{seed}" / "result.json").read_text())["after"][name] for seed in seeds]


def test_means_and_errors_are_scipys(finished):
    summary = summarise(parse_specs(METHODS), SEEDS, finished)
    for method in METHODS.split(","):
        for name in ("mean@32", "pass@32"):
            values, entry = final(finished, method, name), summary["methods"][method][name]
            assert entry["values"] == values
            assert entry["mean"] == pytest.approx(np.mean(values))
            assert entry["se"] == pytest.approx(stats.sem(values))


def test_differences_are_paired_by_seed(finished):
    summary = summarise(parse_specs(METHODS), SEEDS, finished)
    pairs = [entry["methods"] for entry in summary["differences"]]
    assert pairs == [["band-kl", "grpo"], ["band-mirror", "grpo"], ["band-mirror", "band-kl"]]
    for entry in summary["differences"]:
        a, b = (np.array(final(finished, method, "mean@32")) for method in entry["methods"])
        found = entry["mean@32"]
        # One-sample t test of the differences, written out.
        error = np.std(a - b, ddof=1) / math.sqrt(len(a))
        half = stats.t.ppf(0.975, len(a) - 1) * error
        assert found["mean"] == pytest.approx(np.mean(a - b)) and found["se"] == pytest.approx(error)
        assert (found["low"], found["high"]) == pytest.approx((np.mean(a - b) - half, np.mean(a - b) + half))
        assert found["p"] == pytest.approx(2 * stats.t.sf(abs(np.mean(a - b)) / error, len(a) - 1))
        assert found["p"] == pytest.approx(stats.ttest_rel(a, b).pvalue)


def test_a_score_without_spread_has_no_p_value(finished):
    entry = summarise(parse_specs(METHODS), SEEDS, finished)["differences"][0]["entropy"]
    assert entry == {"mean": 0.0, "se": 0.0}


def test_one_seed_has_no_error(finished):
    summary = summarise(parse_specs(METHODS), SEEDS[:1], finished)
    assert summary["methods"]["grpo"]["mean@32"]["se"] is None
    assert summary["differences"][0]["mean@32"].keys() == {"mean", "se"}
    table = report._table(summary)
    assert "±" not in table.split("\n", 2)[2] and "p=" not in table


def test_curves_are_means_over_seeds(finished):
    curve = summarise(parse_specs(METHODS), SEEDS, finished)["curves"]["band-kl"]
    runs = [RunFolder(finished / "band-kl" / f"seed-{seed}").read(EVALUATIONS) for seed in SEEDS]
    assert curve["step"] == STEPS
    for index in range(len(STEPS)):
        values = [run[index]["mean@32"] for run in runs]
        assert curve["mean@32"][index] == pytest.approx(np.mean(values))
        assert curve["mean@32 se"][index] == pytest.approx(stats.sem(values))


def test_the_report(finished, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bandpo", "compare", "--methods", METHODS, "--method_kwargs", '{"a": 1}'])
    summary = summarise(parse_specs(METHODS), SEEDS, finished)
    summary["methods"]["grpo"]["mean@32"]["se"] = float("nan")
    table = write_report(summary, finished)
    written = json.loads((finished / "results.json").read_text(), parse_constant=lambda literal: pytest.fail(literal))
    assert written["command"] == f"bandpo compare --methods {METHODS} --method_kwargs '{{\"a\": 1}}'"
    assert written["seeds"] == SEEDS and written["environment"]["packages"]["torch"]
    assert written["config"] == {"model": "countdown", "max_steps": 20}
    assert table == (finished / "table.md").read_text()
    assert (finished / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_table(finished):
    table = write_report(summarise(parse_specs(METHODS), SEEDS, finished), finished)
    assert table.startswith("Mean ± standard error over 4 seeds (4, 5, 6, 8).")
    values = final(finished, "band-kl", "mean@32")
    assert f"| band-kl | {np.mean(values):.3f} ± {stats.sem(values):.3f} |" in table
    a, b = (np.array(final(finished, method, "mean@32")) for method in ("band-mirror", "grpo"))
    shown = f"{np.mean(a - b):+.3f} ± {stats.sem(a - b):.3f} (p={stats.ttest_rel(a, b).pvalue:.3f})"
    assert f"| band-mirror − grpo | {shown} |" in table
    for line in table.splitlines():
        assert line.count("|") in (0, 5) or not line.startswith("|")


def test_a_range_of_seeds_is_written_as_one(finished):
    assert "(4..6)" in report._table(summarise(parse_specs(METHODS), SEEDS[:3], finished))
    assert "(4, 5)" in report._table(summarise(parse_specs(METHODS), SEEDS[:2], finished))


def test_runs_without_evaluation_cannot_be_compared(finished):
    RunFolder(finished / "band-kl" / "seed-5").finish({"before": None, "after": None})
    with pytest.raises(ValueError, match="band-kl/seed-5 has no evaluation: expected --eval_dataset"):
        summarise(parse_specs(METHODS), SEEDS, finished)


def test_two_seeds_are_remarked_on(finished):
    remark = "Two seeds leave the t test one degree of freedom"
    assert remark in report._table(summarise(parse_specs(METHODS), SEEDS[:2], finished))
    for count in (1, 3, 4):
        assert remark not in report._table(summarise(parse_specs(METHODS), SEEDS[:count], finished))


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.7, "p=0.700"), (0.68, "p=0.680"), (1.0, "p=1.000"), (0.001, "p=0.001"), (0.00099, "p<0.001"), (0.0, "p<0.001")],
)
def test_p_values_have_one_form(p, text):
    assert report._p_text(p) == text


def test_the_table_holds_whatever_names_say(finished):
    label = "band|kl\n\x1b[31m\u202e$x"
    (finished / "band-kl").rename(finished / label)
    specs = [Spec("grpo", "grpo"), Spec(label, "band-kl")]
    table = write_report(summarise(specs, SEEDS, finished), finished)
    shown = r"band\|kl\n\x1b[31m\u202e$x"
    assert f"| {shown} | " in table and f"| {shown} − grpo | " in table
    assert all(character.isprintable() or character == "\n" for character in table)
    rows = [line.replace(r"\|", "") for line in table.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {5}
    assert (finished / "table.md").read_text() == table and label in json.loads(
        (finished / "results.json").read_text()
    )["methods"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "band-kl/seed-5 is not finished"),
        ("{", r"seed-5/result\.json is damaged .not JSON.*: the same command finishes the run"),
        ("[]", r"seed-5/result\.json is damaged"),
        ("{}", "band-kl/seed-5 has no evaluation"),
        ('{"before": null, "after": []}', "has no evaluation"),
        ('{"before": null, "after": [1]}', r"result\.json is damaged .'after' is not all scores"),
        ('{"before": null, "after": {"mean@32": 1}}', r"result\.json is damaged .'after' is not all scores"),
        ('{"before": {"mean@32": "x"}, "after": null}', "has no evaluation"),
    ],
)
def test_damaged_results_are_named(finished, content, expected):
    path = finished / "band-kl" / "seed-5" / "result.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(ValueError, match=expected):
        summarise(parse_specs(METHODS), SEEDS, finished)


@pytest.mark.parametrize("line", ["{", "[1]", "{}", '{"step": 10}', '{"step": "10"}', ""])
def test_curves_leave_out_a_damaged_evaluation_and_say_so(finished, line, capsys):
    path = finished / "band-kl" / "seed-5" / EVALUATIONS
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], line, lines[2], ""]))
    summary = summarise(parse_specs(METHODS), SEEDS, finished)
    assert summary["curves"]["band-kl"]["step"] == [0, 20] and summary["curves"]["grpo"]["step"] == STEPS
    assert ("left out" in capsys.readouterr().err) == bool(line)


def test_curves_of_nothing(finished):
    (finished / "band-kl" / "seed-5" / EVALUATIONS).unlink()
    summary = summarise(parse_specs(METHODS), SEEDS, finished)
    assert summary["curves"]["band-kl"]["step"] == []
    write_report(summary, finished)


def test_a_start_that_was_lost_is_left_out(finished):
    path = finished / "grpo" / "seed-4" / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "before": None}))
    assert "*start*" not in report._table(summarise(parse_specs(METHODS), SEEDS, finished))
