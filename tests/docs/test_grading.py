"""The page on grading shows what was measured, and the README says the same."""

import json
from pathlib import Path

import pytest

from benchmarks import grading, grading_report, grading_torture
from benchmarks.marks import END

ROOT = Path(__file__).parents[2]
RESULT = json.loads((ROOT / "benchmarks" / "results" / "grading.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "grading.md").read_text(encoding="utf-8")


def test_the_page_and_the_report_show_the_results():
    assert PAGE.partition(grading_report.START)[2].partition(END)[0] == grading_report.summary(RESULT)
    report = (ROOT / "benchmarks" / "results" / "grading.md").read_text(encoding="utf-8")
    assert report == grading_report.markdown(RESULT)


def test_the_results_are_of_all_tables_and_graders():
    assert RESULT["pairs"] == {name: len(grading.table(name)) for name in grading.TABLES}
    assert not RESULT["left_out"] and set(RESULT["comparison"]["tables"]) == set(grading_report.NAMES)
    assert len(RESULT["torture"]["math"]) == len(grading_torture.TORTURE)
    assert sum(counts["graded"] for counts in RESULT["fuzz"]["kinds"].values()) == grading.FUZZED


def test_no_hostile_answer_was_paid_or_raised():
    kinds = RESULT["fuzz"]["kinds"].values()
    assert all(counts["paid"] == counts["raised"] == 0 for counts in kinds)
    paid = {answer["name"] for answer in RESULT["torture"]["math"] if answer["outcome"] == "equal"}
    assert paid == grading_torture.CORRECT


def test_first_sight_is_said_in_both_places():
    for text in (PAGE, (ROOT / "README.md").read_text(encoding="utf-8")):
        assert "166 of 175" in text and "1 of" in text


def test_a_result_changes_the_tables_and_nothing_else(tmp_path):
    page = tmp_path / "grading.md"
    page.write_text(PAGE, encoding="utf-8")
    grading_report.update_page({**RESULT, "before": "0000000"}, page)
    assert page.read_text(encoding="utf-8") == PAGE.replace(RESULT["before"], "0000000")
    page.write_text("no table here", encoding="utf-8")
    with pytest.raises(ValueError, match="expected the lines"):
        grading_report.update_page(RESULT, page)
