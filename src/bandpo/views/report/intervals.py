"""95 % intervals of means: of problems within a run, of seeds between runs."""

from __future__ import annotations

NORMAL = 1.96
# The 97.5 % quantile of Student's t at 1, 2, ... degrees of freedom (Student 1908; any table).
_STUDENT = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def student(count: int) -> float:
    """Return how many standard errors the 95 % interval of a mean of `count` draws reaches to either side.

    >>> student(10), round(student(1000), 2)
    (2.262, 1.96)
    """
    freedom = max(count - 1, 1)
    return _STUDENT[freedom - 1] if freedom <= len(_STUDENT) else NORMAL + 2.4 / freedom


def around(mean: float, error: float | None, reach: float = NORMAL) -> tuple[float, float] | None:
    """Return a mean's interval, None where its standard error is not known.

    >>> around(1.0, 0.5, 2.0), around(1.0, None)
    ((0.0, 2.0), None)
    """
    return None if error is None else (mean - reach * error, mean + reach * error)
