"""The page on reliability shows what was measured, and names every part of the attack."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.attack import report
from benchmarks.attack.parts import PARTS
from benchmarks.marks import END

PAGE = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")


def test_the_table_is_that_of_the_results_file():
    results = json.loads(report.RESULT.read_text(encoding="utf-8")) if report.RESULT.is_file() else {}
    assert PAGE.partition(report.START)[2].partition(END)[0] == report.table(results)


def test_the_results_were_measured_to_their_end():
    results = json.loads(report.RESULT.read_text(encoding="utf-8")) if report.RESULT.is_file() else {"parts": {}}
    assert all(part["complete"] for part in results["parts"].values())


def test_every_part_has_its_row():
    rows = re.findall(r"^\| (`.*?`(?:, `.*?`)*) \|", PAGE, re.MULTILINE)
    assert [name for row in rows for name in re.findall(r"`(\w+)`", row)] == list(PARTS)


def test_a_result_changes_the_table_and_nothing_else(tmp_path):
    page = tmp_path / "reliability.md"
    page.write_text(PAGE, encoding="utf-8")
    row = {"kind": "kill", "tried": 1234, "survived": 1233, "codes": {"137": 1234}}
    results = {"parts": {"train": {"rows": [row], "failures": [], "complete": True}}}
    report.update_page(results, page)
    changed = page.read_text(encoding="utf-8")
    assert f"{report.START}| attack | tried | survived |" in changed and "| kill | 1,234 | 1,233 |" in changed
    assert changed.replace(report.table(results), "") == PAGE.partition(report.START)[0] + report.START + (
        END + PAGE.partition(END)[2]
    )


def test_a_page_without_the_lines_around_its_table_is_an_error(tmp_path):
    page = tmp_path / "reliability.md"
    page.write_text("# Reliability\n")
    with pytest.raises(ValueError, match="expected the lines"):
        report.update_page({"parts": {}}, page)
