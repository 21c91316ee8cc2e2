"""Labels, words, choices and readings: words lead to an answer, they never are a second one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandpo.rewards.mathematics.choices import chosen, letters_of
from bandpo.rewards.mathematics.labels import without_label
from bandpo.rewards.mathematics.readings import readings
from bandpo.rewards.mathematics.text import clean
from bandpo.rewards.mathematics.tokens import tokenise
from bandpo.rewards.mathematics.words import HEDGES, as_words, counted, number_in_words
from tests.rewards.mathematics.verdicts import is_paid, table

_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
_ONES += "seventeen eighteen nineteen".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def in_words(n: int) -> str:
    """Return an English numeral, written apart from the one that reads them."""
    for size, name in ((10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if n >= size:
            rest = n % size
            return f"{in_words(n // size)} {name}" + (f" {in_words(rest)}" if rest else "")
    if n < 20:
        return _ONES[n]
    return _TENS[n // 10 - 2] + (f"-{_ONES[n % 10]}" if n % 10 else "")


@given(st.integers(0, 10**9 - 1))
def test_numbers_in_words(n):
    assert number_in_words(tuple(in_words(n).split())) == n
    assert is_paid(str(n), in_words(n)) and not is_paid(str(n + 1), in_words(n))


@pytest.mark.parametrize(
    "words", ["", "and", "hundred", "five six", "twenty ten", "one two", "five hundred hundred", "to", "twenty thirty"]
)
def test_words_that_are_no_number(words):
    assert number_in_words(tuple(words.split())) is None


@pytest.mark.parametrize(
    "value, words",
    [
        ("1/2", "half"), ("1/2", "one half"), ("2/3", "two thirds"), ("3/4", "Three-fourths"),
        ("3/2", "one and a half"),
        ("5/3", "five thirds"), ("2/3", r"\text{two-thirds}"), ("3/4", "The answer is three quarters"),
        ("21/10", "twenty-one tenths"), ("8/3", "two and two thirds"),
    ],
)  # fmt: skip
def test_fractions_in_words(value, words):
    assert is_paid(value, words)


@pytest.mark.parametrize(
    "value, words",
    [
        ("1/2", "half of it"), ("1/2", "one and a half"), ("2/3", "two third"), ("2/3", "about two thirds"),
        ("2", "two thirds"),
        ("1/3", "third"), ("2/3", "two thirds or three quarters"), ("1/3", "one thirds"), ("3/4", "not three quarters"),
        ("7/3", "one and four thirds"), ("3", "three halves"),
    ],
)  # fmt: skip
def test_other_words_of_fractions(value, words):
    assert not is_paid(value, words)


@pytest.mark.parametrize(
    "reference, answer",
    [("no", "No, it does not."), ("no", "no it isn't"), ("yes", "Yes, they do"), ("false", "False statement")],
)
def test_yes_and_no_may_be_said_twice(reference, answer):
    assert is_paid(reference, answer)


@pytest.mark.parametrize(
    "reference, answer",
    [
        ("no", "no, it is"),
        ("no", "No, they do."),
        ("yes", "yes, it isn't"),
        ("true", "True, it is not"),
        ("no", "no yes"),
    ],
)
def test_yes_and_no_that_take_themselves_back(reference, answer):
    assert not is_paid(reference, answer)


@pytest.mark.parametrize(
    "label", ["The answer is ", "Total: ", "Area = ", r"\text{The area is } ", "x equals ", "(C) ", "C. ", "exactly "]
)
def test_labels_go(label):
    assert [token.text for token in without_label(tokenise(clean(label + "12")))] == ["12"]
    assert is_paid("12", label + "12") and not is_paid("12", label + "13")


@pytest.mark.parametrize("hedge", sorted(HEDGES))
def test_a_hedge_in_a_label_is_not_paid(hedge):
    for text in (
        f"The answer is {hedge} 12",
        f"{hedge} the answer is 12",
        rf"\text{{{hedge} }} 12",
        f"12 {hedge}",
        f"12 ({hedge} 13)",
    ):
        assert not is_paid("12", text)


@pytest.mark.parametrize(
    "text",
    table(
        "7 is 12", "7: 12", "x^2 = 12", "it is never 12", "2x: 12", "12 is wrong", "12 (not really)", "12 (or so)",
        "twice x = 12", "the square of x is 12", "the reciprocal is 12", "sqrt(x) = 12", "log x = 12", "abs(x) = 12",
        "x squared = 12", "We exclude: 12", "Rejected: 12", "The upper bound is 12",
    ),
)  # fmt: skip
def test_labels_that_say_something_else(text):
    assert not is_paid("12", text)


@pytest.mark.parametrize(
    "reference, answer",
    table(
        ("12", r"\text{six: } 12"),
        ("12", "12 (seven)"),
        ("12", "seven is 12"),
        ("Alice", "Bob is Alice"),
    ),
)
def test_a_candidate_in_words_is_no_label(reference, answer):
    assert not is_paid(reference, answer)


@pytest.mark.parametrize(
    "words, noun", [("apples", "apple"), ("red marbles left", "marble"), ("ways", "way"), ("square units", "unit")]
)
def test_counted(words, noun):
    assert counted(words.split()) == noun


@pytest.mark.parametrize(
    "words", ["dozens", "or more", "times", "thousandths", "less", "is", "apples or oranges", "perhaps", ""]
)
def test_not_counted(words):
    assert counted(words.split()) is None


@pytest.mark.parametrize(
    "text, words",
    [
        ("The Circle", "circle"),
        ("Yes, it is.", "yes"),
        ("No, it is not", "no"),
        ("3 apples", None),
        ("a - b", None),
        ("x", None),
        ("", None),
    ],
)
def test_as_words(text, words):
    assert as_words(text) == words


@pytest.mark.parametrize(
    "text, letters",
    [("C", "C"), ("(C)", "C"), ("A, C", "AC"), ("A and C", "AC"), ("(A)(C)", None), ("AC", None), ("12", None)],
)
def test_letters(text, letters):
    assert letters_of(text) == (None if letters is None else frozenset(letters))


@pytest.mark.parametrize(
    "answer", ["C", "(C)", "C)", "C. 12", "(C) 12", "Option C", "The correct answer is (C).", "C: twelve", "Choice C"]
)
def test_a_choice(answer):
    assert chosen(answer) == frozenset("C") and is_paid("C", rf"\text{{{answer}}}")


@pytest.mark.parametrize(
    "answer",
    table(
        "C or D", "C, D", "(C)(D)", "C / D", "C. or (d)", "(C) [D]", "C: not certain", "(C) no", "D: C", "Not C",
        "c", "C = 5", "C+1", "CC",
        "C_1", "C5", "C?", "C. E is right too", "(D) C", "C D", "C and D", "A dog C", "",
        "(C) (d)", "(C) d", "C) also d", "C. See e", "(C) ⓓ", "(C) and the fourth option", "(C) option 4",
        "(C) optionD", "(C) (K)",
    ),
)  # fmt: skip
def test_not_the_choice(answer):
    assert not is_paid("C", answer)


@pytest.mark.parametrize(
    "text, count", [("1,234", 2), ("10:30", 2), ("5 m", 2), ("3, maybe 4", 0), ("hello there", 1), ("2 2", 0), ("", 0)]
)
def test_how_many_readings(text, count):
    assert len(readings(text)) == count
