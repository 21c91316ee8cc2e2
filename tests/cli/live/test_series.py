"""A metric over a run, in bounded memory and as small bars."""

import math

import pytest

from bandpo.cli.live.series import ASCII_BLOCKS, BLOCKS, Series, sparkline


@pytest.mark.parametrize("count", [1, 2, 511, 512, 513, 5000, 100_000])
def test_a_long_run_keeps_its_shape_in_bounded_memory(count):
    series = Series()
    for number in range(count):
        series.add(number / count)
    columns = series.columns(10)
    assert series.last == (count - 1) / count and len(series.columns(10**9)) <= 513
    assert columns == sorted(columns) and len(columns) == min(10, count)
    assert series.lowest < 0.01 + 1 / count and series.highest > 0.98 - 1 / count
    assert all(abs(mean - (column + 0.5) / 10) < 0.06 for column, mean in enumerate(columns) if count > 500)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, "0.5"])
def test_what_is_no_number_leaves_a_gap(value):
    series = Series()
    for each in (1.0, value, 3.0, value):
        series.add(each)
    assert series.last is None and series.columns(9) == [1.0, 3.0]


@pytest.mark.parametrize("blocks", [BLOCKS, ASCII_BLOCKS])
@pytest.mark.parametrize(
    "values",
    [[], [0.0], [5.0, 5.0], [-1.0, 1.0], [1e308, -1e308], [5e-324, 0.0], [1e-320, 3e-320, 2e-320], [0.1] * 3],
    ids=str,
)
def test_any_finite_values_make_a_curve(blocks, values):
    for floor in (None, 0.0):
        curve = sparkline(values, blocks, floor=floor)
        assert len(curve) == len(values) and set(curve) <= set(blocks)
        if values and max(values) > min(values):
            assert curve[values.index(max(values))] == blocks[-1]


def test_a_share_is_measured_from_its_floor():
    assert sparkline([0.5, 1.0], "abc", floor=0.0) == "bc" and sparkline([0.5, 1.0], "abc") == "ac"
