"""The grader against verdicts by hand: 586 pairs of reference and completion, disagreements listed with reasons."""

import csv
from pathlib import Path

import pytest

from bandpo.rewards import Grader

TABLE = Path(__file__).parent / "labelled.tsv"


def rows() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as lines:
        table = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [{**row, "completion": row["completion"].replace("⏎", "\n")} for row in table]


@pytest.fixture(scope="module")
def verdicts():
    grader = Grader(timeout=30, workers=2)
    yield grader.grade([row["completion"] for row in rows()], [row["reference"] for row in rows()])
    grader.close()


def test_the_table_is_as_described():
    table = rows()
    assert len(table) == 586 and {row["verdict"] for row in table} == {"right", "wrong"}
    assert len({(row["reference"], row["completion"]) for row in table}) == len(table)
    assert sum(row["kind"] == "held out" for row in table) == 122


def test_every_pair_is_graded_as_by_hand_but_the_known_ones(verdicts):
    given = {(row["reference"], row["completion"]): verdict for row, verdict in zip(rows(), verdicts, strict=True)}
    wrong = [
        f"{row['kind']}: {row['reference']} | {row['completion']}: expected {row['verdict']}"
        for row in rows()
        if given[row["reference"], row["completion"]].is_correct != (row["verdict"] == "right")
        and not row["known disagreement"]
    ]
    assert not wrong, "\n".join(wrong)


def test_known_disagreements_are_still_there(verdicts):
    for row, verdict in zip(rows(), verdicts, strict=True):
        if row["known disagreement"]:
            assert verdict.is_correct != (row["verdict"] == "right"), f"no longer a disagreement: {row}"


def test_nothing_in_the_table_is_refused(verdicts):
    assert not [verdict for verdict in verdicts if verdict.refused]
