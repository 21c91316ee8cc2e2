"""The grader against verdicts by hand: pairs of reference and completion in tables, disagreements listed with reasons.

labelled.tsv and own.tsv shaped the grader, cases.tsv is rebuilt from public reports, development.tsv was written by
somebody who did not know the grader and then read while it was built; held_out.tsv likewise, and nobody looked at it.
"""

import csv
from pathlib import Path

import pytest

from bandpo.rewards import Grader

FOLDER = Path(__file__).parent
TABLES = {"labelled": 586, "cases": 129, "own": 491, "development": 300}


def rows(table: str) -> list[dict[str, str]]:
    with (FOLDER / f"{table}.tsv").open(encoding="utf-8", newline="") as lines:
        read = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [{**row, "completion": row["completion"].replace("⏎", "\n")} for row in read]


def verdicts(table: list[dict[str, str]]):
    return Grader().grade([row["completion"] for row in table], [row["reference"] for row in table])


@pytest.mark.parametrize("table", TABLES)
def test_the_table_is_as_described(table):
    read = rows(table)
    assert len(read) == TABLES[table] and {row["verdict"] for row in read} == {"right", "wrong"}
    assert len({(row["reference"], row["completion"]) for row in read}) == len(read)


@pytest.mark.parametrize("table", TABLES)
def test_every_pair_is_graded_as_by_hand_but_the_known_ones(table):
    read = rows(table)
    wrong = [
        f"{row['kind']}: {row['reference']} | {row['completion']}: expected {row['verdict']}, got {verdict}"
        for row, verdict in zip(read, verdicts(read), strict=True)
        if verdict.is_correct != (row["verdict"] == "right") and not row["known disagreement"]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("table", TABLES)
def test_known_disagreements_are_still_there(table):
    read = rows(table)
    for row, verdict in zip(read, verdicts(read), strict=True):
        if row["known disagreement"]:
            assert verdict.is_correct != (row["verdict"] == "right"), f"no longer a disagreement: {row}"


def test_no_right_answer_is_unread():
    read = [row for table in TABLES for row in rows(table) if row["verdict"] == "right"]
    assert not [row for row, verdict in zip(read, verdicts(read), strict=True) if verdict.refused]
