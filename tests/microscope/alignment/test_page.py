"""The page holds the tables that the committed results and the causes give."""

import json

from bandpo.microscope.alignment import CAUSES
from benchmarks.alignment_page import PAGE, write_page

RESULT = PAGE.parents[1] / "benchmarks" / "results" / "alignment.json"


def test_the_tables_are_current(tmp_path):
    results = json.loads(RESULT.read_text(encoding="utf-8"))
    again = tmp_path / "alignment.md"
    again.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    write_page(results, again)
    assert again.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")


def test_every_cause_has_its_row():
    assert all(f"| {name} |" in PAGE.read_text(encoding="utf-8") for name in CAUSES)


def test_clean_batches_were_clean():
    results = json.loads(RESULT.read_text(encoding="utf-8"))
    for bed in results["beds"].values():
        assert all(trial["right"] >= 0.99 * bed["batches"] for trial in bed["faults"]["clean"].values())
