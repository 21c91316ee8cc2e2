"""Whatever is damaged, missing or half finished is a sentence on the page, and the rest is shown."""

import pytest

from bandpo.views.report.page import report
from bandpo.views.report.sources import MOST, find_sources
from bandpo.views.report.target import check_target
from tests.views.report.conftest import json_lines, logged, write_batches, write_comparison, write_run


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.yaml", b"[", "config.yaml is left out"),
        ("config.yaml", None, "config.yaml is missing: the settings are not known."),
        ("environment.json", b"{", "environment.json is left out: not JSON."),
        ("environment.json", None, "environment.json is missing."),
        ("metrics.jsonl", b"\xff\n{}\n", "metrics.jsonl: 1 damaged line is left out (line 1)."),
        ("metrics.jsonl", None, "metrics.jsonl holds nothing logged yet."),
        ("evaluations.jsonl", b'{"step": 0}\n[]\n', "evaluations.jsonl: 1 damaged line is left out (line 2)."),
        ("samples.jsonl", b"nothing\n", "samples.jsonl: 1 damaged line is left out (line 1)."),
        ("result.json", b"[]", "result.json is left out"),
        ("result.json", None, "The run has not finished: what is shown is as far as it came."),
        ("finished.json", b"{}", "finished.json is damaged: not as it was when the run ended."),
    ],
)
def test_a_damaged_part_is_said_and_the_rest_is_shown(tmp_path, name, content, said):
    run = write_run(tmp_path / "run")
    (run / name).unlink(missing_ok=True)
    if content is not None:
        (run / name).write_bytes(content)
    page = report([run])
    assert said in page.replace("&#39;", "'")
    assert ("Reward while training" in page) == (name != "metrics.jsonl")
    assert ("mean@32 on held-out problems" in page) == (name != "evaluations.jsonl")


def test_a_run_that_has_just_begun_is_shown(tmp_path):
    (tmp_path / "config.yaml").write_text("method: band-kl")
    assert "band-kl, 0 updates, not finished." in report([tmp_path])


def test_a_bomb_of_references_is_written_in_part(tmp_path):
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
    (tmp_path / "config.yaml").write_text(bomb)
    assert len(report([tmp_path])) < 5.2e6


def test_a_damaged_batch_is_said_and_the_others_are_shown(tmp_path):
    run = write_run(tmp_path / "run")
    write_batches(run / "batches")
    (run / "batches" / "step_00010.safetensors").write_bytes(b"cut")
    page = report([run])
    assert "A file is left out" in page and "step_00010" in page and "The most stopped tokens" in page


def test_batches_of_which_none_can_be_read_leave_the_run(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "batches").mkdir()
    (run / "batches" / "step_00010.safetensors").write_bytes(b"cut")
    page = report([run])
    assert "The recorded batches of run are left out" in page and "Reward while training" in page


def test_a_comparison_without_its_results_shows_the_runs(tmp_path):
    for method in ("grpo", "clip-higher,eps_high=0.6"):
        for seed in (1, 2):
            write_run(tmp_path / "compared" / method / f"seed-{seed}", mean=0.2 + seed / 100)
    (tmp_path / "compared" / "grpo" / "seed-2" / "result.json").unlink()
    page = report([tmp_path / "compared"])
    assert "results.json is missing, so the comparison has not finished" in page
    assert "grpo, seed 2: not finished." in page and "clip-higher:eps_high=0.6" in page
    (tmp_path / "compared" / "results.json").write_text("{}")
    assert "results.json is left out (no methods in it)" in report([tmp_path / "compared"])


def test_a_log_of_any_length_keeps_its_means(tmp_path):
    run = write_run(tmp_path / "run")
    rows = [{**logged(step), "reward": step % 2} for step in range(3001)]
    (run / "metrics.jsonl").write_text(json_lines(rows))
    assert "each point is a mean of several logged records: 4 records in run." in report([run])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("absent", "no such file or folder"),
        ("empty", "holds no run .*, no comparison .* and no recorded batches"),
        ("note.txt", "of no known format"),
        ("bad\x1b[2J\x00", r"bad\\x1b\[2J\\x00"),
    ],
)
def test_a_path_with_nothing_to_show_is_refused(tmp_path, name, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(ValueError, match=said):
        find_sources([tmp_path / name])


def test_a_broken_batch_alone_is_refused(tmp_path):
    (tmp_path / "step_1.safetensors").write_bytes(b"cut")
    with pytest.raises(ValueError, match="are left out"):
        report([tmp_path / "step_1.safetensors"])


def test_too_many_runs_are_refused_and_one_given_twice_counts_once(tmp_path):
    runs = [write_run(tmp_path / f"{n}") for n in range(MOST + 1)]
    with pytest.raises(ValueError, match=f"{MOST + 1} runs and batches: expected {MOST} at most"):
        find_sources(runs)
    assert len(find_sources([runs[0], runs[0]])) == 1


def test_an_unknown_method_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ValueError, match="nosuch"):
        report([tmp_path], method="nosuch")


def test_batches_are_looked_at_with_the_method_asked_for(place):
    page = report([place / "dumped" / "step_00010.safetensors"], method="grpo", options={"eps_low": 0.1})
    assert "The region (grpo:eps_low=0.1) acts on" in page


def test_only_a_page_of_ours_is_replaced(tmp_path):
    target = tmp_path / "report.html"
    assert check_target(target) == target
    target.write_text(report([write_comparison(tmp_path / "compared")]))
    assert check_target(target) == target
    target.write_text("<!doctype html><p>mine</p>")
    for path, said in [
        (target, "is there and no report of ours"),
        (tmp_path / "report.txt", "expected a file ending in .html"),
        (tmp_path / "absent" / "report.html", "no folder"),
    ]:
        with pytest.raises(ValueError, match=said):
            check_target(path)
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        check_target(tmp_path / "folder.html")
