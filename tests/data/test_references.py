"""Answers of any type: read exactly, or refused with a reason."""

import datetime
from decimal import Decimal

import numpy as np
import pytest

from bandpo.data.references import read_reference, reference


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("3", "3"),
        (" 033\n", "033"),
        ("['3', '5']", "['3', '5']"),
        ("nan", "nan"),
        (7, "7"),
        (-12, "-12"),
        (0, "0"),
        (10**30, "1" + "0" * 30),
        (27.0, "27"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (2.50, "2.5"),
        (1e-07, "0.0000001"),
        (-1.5e-10, "-0.00000000015"),
        (1e15, "1000000000000000"),
        (123456.789, "123456.789"),
        (0.30000000000000004, "0.30000000000000004"),
        (9007199254740991.0, "9007199254740991"),
        (np.float64(27.0), "27"),
        (np.float64(1e-7), "0.0000001"),
        (np.float32(0.1), "0.1"),
        (np.float16(0.5), "0.5"),
        (np.int64(5), "5"),
        (np.int8(-5), "-5"),
        (np.str_(" x "), "x"),
        (Decimal("2.50"), "2.5"),
        (Decimal("100"), "100"),
    ],
)
def test_text_and_numbers_are_read_as_they_print(value, text):
    assert reference(value) == text


@pytest.mark.parametrize("value", np.random.default_rng(0).normal(size=50) * 10.0 ** np.arange(-25, 25))
def test_digits_read_back_as_the_same_number(value):
    if abs(value) < 2**53:
        assert float(reference(value)) == value and "e" not in reference(value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "answer is missing"),
        ("", "answer is empty"),
        (" \n", "answer is empty"),
        (float("nan"), "answer is nan: expected a finite number"),
        (float("-inf"), "answer is -inf"),
        (np.float32("nan"), "answer is nan"),
        (Decimal("NaN"), "answer is NaN"),
        (2.0**53, "digits are not exact"),
        (-1.2345678901234568e20, "digits are not exact"),
        (True, "a bool, True: expected text or a number"),
        (np.bool_(False), "a bool, False"),
        (b"3", "a bytes, b'3'"),
        ({"value": "3"}, "a dict"),
        ({}, "a dict, {}"),
        ((1, 2), "a tuple"),
        ({3}, "a set"),
        (1j, "a complex"),
        (datetime.datetime(2024, 1, 1), "a datetime"),
        (["3", "5"], "a list, ['3', '5']: expected one answer, or --alternatives"),
        (["3"], "--alternatives"),
        ([], "--alternatives"),
        (np.array(["3", "5"]), "--alternatives"),
    ],
)
def test_anything_else_is_refused(value, said):
    with pytest.raises(ValueError) as caught:
        read_reference(value)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (["3", " 5 "], ("3", "5")),
        (["3"], ("3",)),
        ([3, 0.5, "x"], ("3", "0.5", "x")),
        (np.array([1.0, 2.5]), ("1", "2.5")),
        ("3", "3"),
        (27.0, "27"),
    ],
)
def test_lists_are_alternatives_where_the_data_say_so(value, texts):
    assert read_reference(value, alternatives=True) == texts


@pytest.mark.parametrize(
    "value", [[], [None], ["3", ""], ["3", " "], [["3"]], ["3", ["5"]], [float("nan")], [True], [{"a": 1}], None, {}]
)
def test_lists_of_anything_else_are_refused(value):
    with pytest.raises(ValueError, match="answer is"):
        read_reference(value, alternatives=True)


def test_a_rule_of_its_own_reads_each_alternative():
    assert read_reference(["033", "7"], alternatives=True, read=lambda value: str(int(value))) == ("33", "7")
