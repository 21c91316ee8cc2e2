"""What came of one attack, and the count over many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """One attack.

    Attributes:
        kind: the row of the table.
        name: what was done.
        failure: what went wrong, None for nothing.
        code: the exit code.
        repro: shell lines that do it again.
        seconds: wall clock.
        message: the last line that was printed.
    """

    kind: str
    name: str
    failure: str | None
    code: int | None = None
    repro: str = ""
    seconds: float = 0.0
    message: str = ""

    def with_failure(self, failure: str | None, repro: str) -> Outcome:
        """The same attack with what went wrong and how to do it again."""
        return replace(self, failure=failure, repro=repro)


def count(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Rows of the table and the failures, as they are written to the results file.

    >>> count([Outcome("kill", "a", None, 137), Outcome("kill", "b", "hangs")])["rows"]
    [{'kind': 'kill', 'tried': 2, 'survived': 1, 'codes': {'137': 1, 'None': 1}}]
    """
    outcomes = list(outcomes)
    rows = []
    for kind in dict.fromkeys(one.kind for one in outcomes):
        of_kind = [one for one in outcomes if one.kind == kind]
        codes = Counter(str(one.code) for one in of_kind)
        survived = sum(one.failure is None for one in of_kind)
        rows.append({"kind": kind, "tried": len(of_kind), "survived": survived, "codes": dict(sorted(codes.items()))})
    failures = [
        {"kind": one.kind, "name": one.name, "failure": one.failure, "repro": one.repro}
        for one in outcomes
        if one.failure is not None
    ]
    return {"rows": rows, "failures": failures}
