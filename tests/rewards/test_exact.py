"""What is decided without algebra, against `fractions`; where answers are found; no text breaks or delays either."""

import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandpo.rewards.answers import final_answer
from bandpo.rewards.exact import decide, plain, rational, said_letter

PIECES = [
    "\\boxed{", "}", "{", "\\frac", "1", "2", "12", "3", ",", ".", " ", "\n", "Answer:", "answer is", "\\text{", "$",
    "\\%", "%", "(", ")", "\\{", "\\}", "[", "x", "=", "-", "/", "\\overline{", "_", "e5", "\\times10^", "A", "or",
    "\\", "−", "½", "\\left", "\\right", "\x00", "²", "٣",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)
fractions = st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=10**6)


def written(number: Fraction) -> list[str]:
    """Ways to write a number."""
    n, d = number.numerator, number.denominator
    whole, rest = divmod(abs(n), d)
    sign = "-" if n < 0 else ""
    ways = [f"{n}/{d}", rf"\frac{{{n}}}{{{d}}}", rf"$\dfrac{{{-n}}}{{{-d}}}$", rf"-\frac{{{-n}}}{{{d}}}"]
    if d == 1:
        ways += [f"{n}", f"{n}.0", f"{n:,}", f"{n:,}".replace(",", "{,}"), rf"{n * 100}\%"]
    elif whole:
        ways += [rf"{sign}{whole}\frac{{{rest}}}{{{d}}}", f"{sign}{whole} {rest}/{d}"]
    return ways


@given(fractions)
def test_every_way_to_write_a_number_is_that_number(number):
    for text in written(number):
        read = rational(plain(text))
        assert read is not None and read[0] == number, text


@given(fractions, fractions)
def test_two_numbers_are_equal_where_their_values_are(a, b):
    for first in written(a):
        for second in written(b):
            if "%" not in first + second:
                assert decide(first, second) is (a == b), (first, second)


@given(st.decimals(min_value=-(10**6), max_value=10**6, places=6), st.integers(-9, 9))
def test_decimals_and_powers_of_ten(number, power):
    assert rational(f"{number}") == (Fraction(number), False)
    assert rational(rf"{number}\times10^{{{power}}}") == (Fraction(number) * Fraction(10) ** power, False)


@given(st.integers(0, 99), st.from_regex(r"[0-9]{0,3}", fullmatch=True), st.from_regex(r"[0-9]{1,4}", fullmatch=True))
def test_repeating_decimals(whole, start, period):
    read = rational(rf"{whole}.{start}\overline{{{period}}}")
    many = Fraction(f"{whole}.{start}{period * 30}")
    assert read is not None and abs(read[0] - many) < Fraction(1, 10**25)


@pytest.mark.parametrize("text", ["1/0", r"\frac{3}{0}", "", ".", "-", "1..2", "1,23", "1/2/3", "x", "1e", "½", "²"])
def test_what_is_no_number(text):
    assert rational(text) is None


def test_percent_may_be_value_or_number():
    assert decide("50", r"50\%") and decide(r"50\%", "50") and decide("0.5", r"50\%") and decide(r"50\%", "1/2")
    assert decide(r"50\%", r"0.5\%") is False and decide(r"5\%", "50") is False


def test_bases():
    assert decide("101_2", "5_{10}") and decide("ff_{16}", "255_{10}") and decide("101_2", "101")
    assert decide("101_2", "101_3") is False and decide("101_2", "5") is False
    assert decide("9_2", "1_2") is None and decide("x_1", "x_2") is None


def test_choices():
    assert (
        decide("B", "(B)") and decide("(B)", "B") and decide("B", r"\textbf{(B)}\ 12") and decide("B", "B: the second")
    )
    for other in ("C", "AB", "b^2", "A, B", "B or C", "B, C", "3", "Because"):
        assert decide("B", other) is False, other
    assert said_letter("B", "I think the answer is A. No, the answer is (B).")
    assert said_letter("B", "The answer is Because.") is None


@settings(max_examples=300)
@given(texts, texts)
def test_no_text_raises(completion, reference):
    answer = final_answer(completion)
    assert decide(reference, answer.text) in (True, False, None)
    assert said_letter(reference, answer.text) in (True, False, None)


@pytest.mark.parametrize(
    "piece", ["\\boxed{1}, ", "\\boxed{", "{", "}", "$", "Answer: ", "Answer:\n", " ", "1,", "\\", "*", "\\text{"]
)
def test_a_megabyte_takes_no_time(piece):
    text = piece * (10**6 // len(piece))
    started = time.perf_counter()
    answer = final_answer(text)
    assert time.perf_counter() - started < 1.0
    started = time.perf_counter()
    decide("34", answer.text[:1000])
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize("content", ["1", r"\frac{1}{2}", r"\{1,2\}", r"\text{a {b} c}", "{{}}", "x^{2^{3}}"])
def test_a_box_holds_all_that_its_braces_hold(content):
    for text in (rf"\boxed{{{content}}}", rf"so $\boxed {{{content}}}$.", rf"\fbox{{{content}}} {{}}"):
        assert final_answer(text).text == content


def test_boxes_that_belong_together():
    assert final_answer(r"$\boxed{1}$, $\boxed{2}$ and $\boxed{3}$").text == "1, 2, 3"
    assert final_answer(r"$x_1=\boxed{1}$ or $x_2=\boxed{2}$").text == "2"
    assert final_answer(r"$\boxed{1}$. Then $\boxed{2}$").text == "2"
    assert final_answer(r"\boxed{1}" * 12).text == ", ".join("1" * 8)
