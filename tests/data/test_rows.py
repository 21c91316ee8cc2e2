"""Bad rows: all of them, each with its reason, on one page."""

import time

import pytest

from bandpo.data.messages import check_prompt
from bandpo.data.references import reference
from bandpo.data.rows import WIDTH, BadRow, BadRows, Inspection, find_bad_rows, good_rows

CHECKS = {"prompt": [check_prompt], "answer": [reference]}


def test_every_bad_row_is_found_in_both_columns():
    columns = {"prompt": ["a", "", None, "b", ""], "answer": ["1", "2", "3", None, ""], "more": [None] * 5}
    assert find_bad_rows(columns, CHECKS) == [
        BadRow(1, "prompt is empty"),
        BadRow(2, "prompt is missing (null)"),
        BadRow(3, "answer is missing (null)"),
        BadRow(4, "prompt is empty"),
        BadRow(4, "answer is empty"),
    ]
    assert good_rows(5, find_bad_rows(columns, CHECKS)) == [0]


def test_nothing_is_said_against_good_rows():
    assert find_bad_rows({"prompt": ["a"] * 3, "answer": ["1", 2, 0.5]}, CHECKS) == []


def test_each_value_is_asked_about_once():
    asked = []
    values = ["1", "1", 1, 1.0, True, None, None, ["1", "2"], ["1", "2"], ["1"], [1]]
    find_bad_rows({"answer": values}, {"answer": [asked.append]})
    assert list(map(repr, asked)) == ["'1'", "1", "1.0", "True", "None", "['1', '2']", "['1']", "[1]"]


def test_an_error_of_another_kind_is_a_fault_of_the_check():
    with pytest.raises(ZeroDivisionError):
        find_bad_rows({"answer": [0]}, {"answer": [lambda value: 1 / value]})


def test_the_page():
    bad = [BadRow(row, "answer is empty") for row in range(3, 30)] + [BadRow(4, "prompt is " + "long " * 40)]
    page = BadRows([Inspection("dataset='mine.jsonl'", 100, bad)], "Mend them, or add --skip-bad-rows.").page
    lines = page.splitlines()
    assert lines[0] == "dataset='mine.jsonl': 27 of 100 rows cannot be used (the first row is row 0)"
    assert lines[1] == "  rows 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 17 more: answer is empty"
    assert lines[2].startswith("  row 4: prompt is long") and lines[3].startswith("      long")
    assert lines[-1] == "Mend them, or add --skip-bad-rows."
    assert max(map(len, lines)) <= WIDTH


def test_the_page_is_one_page_whatever_is_in_the_file():
    bad = [BadRow(row, f"answer is {row}" + "9" * 300) for row in range(5000)]
    lines = BadRows([Inspection("dataset='mine.jsonl'", 5000, bad)], "Mend them.").page.splitlines()
    assert len(lines) <= 60 and max(map(len, lines)) <= WIDTH
    assert "none of its 5000 rows can be used" in lines[0] and lines[-2] == "  and 4988 rows for other reasons"


def test_several_data_sets_are_on_one_page():
    found = [
        Inspection("dataset='a.jsonl'", 3, [BadRow(1, "x")]),
        Inspection("eval_dataset='b.jsonl'", 1, [BadRow(0, "y")]),
    ]
    assert BadRows(found, "Mend them.").page.splitlines() == [
        "dataset='a.jsonl': 1 of 3 rows cannot be used (the first row is row 0)",
        "  row 1: x",
        "eval_dataset='b.jsonl': none of its 1 rows can be used (the first row is row 0)",
        "  row 0: y",
        "Mend them.",
    ]


def test_many_rows_take_seconds():
    chats = [[{"role": "system", "content": "Think."}, {"role": "user", "content": f"{n} + 1?"}] for n in range(20_000)]
    started = time.perf_counter()
    assert find_bad_rows({"prompt": chats, "answer": [str(n % 1000) for n in range(20_000)]}, CHECKS) == []
    assert time.perf_counter() - started < 5
