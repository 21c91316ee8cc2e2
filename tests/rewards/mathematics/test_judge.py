"""The judge as a whole: true answers in other notation are paid, answers changed in one place never are."""

from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandpo.rewards.mathematics.judge import Unread, readable, same_answer
from tests.rewards.mathematics.random_expressions import (
    are_equal,
    latex,
    plain,
    random_points,
    random_tree,
    unicode,
    wrong_edit,
)
from tests.rewards.mathematics.verdicts import is_paid

NOTATIONS = (latex, plain, unicode)
REFERENCES = [
    r"\frac{1}{2}", "7", r"3\sqrt{2}", "(1, 2)", r"[0, 3)", r"\{1, 2, 3\}", r"x^2 + 3x", r"\frac{\pi}{6}", "25 cm",
    "no solution", r"x > 3", r"y = 2x + 1", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", "3:4", "10:30", r"50\%",
    "1, 2",
]  # fmt: skip
OTHERS = ["9", "13", r"\frac{7}{3}", r"\sqrt{5}", "z + 4", "100", "(8, 9)"]
HEDGES = [
    "{a} or {b}", "{a}, {b}", "{a} and {b}", "{a} / {b}", "{b} or {a}", "{b}, {a}", "{a} (or {b})", "{a} ({b})",
    "{a}; {b}", "either {a} or {b}", "{a}, maybe {b}", "maybe {a}", "{a}?", "{a} or so", "about {a}", "not {a}",
    r"{a} \text{{ or }} {b}", r"\text{{{a} or {b}}}", r"{a} \lor {b}", r"{a} \quad {b}", r"{a} \\ {b}", "{a} | {b}",
    "{a} -> {b}", r"{a} \to {b}", "{a} = {b}", "{b} = {a}", "{a} vs {b}", "{a} but {b}", "{a} 或 {b}", "{a}、{b}",
    "x = {a} or x = {b}", "x = {a}, x = {b}", "x = {a} = {b}", r"{a} \neq {b}", "{a} & {b}", "{a} [{b}]",
    "{a} instead of {b}", "{a} rather than {b}", "{a}... {b}", "possibly {a}", "{a} unless {b}", "{a}\n{b}",
    r"\boxed{{{a}}} \boxed{{{b}}}", "(A) {a} (B) {b}", "{a} . {b}", "at most {a}", "less than {a}",
    r"{a} \text{{ approximately}}", r"\approx {a}", "{a} is wrong", "{a}, no, {b}", "first {a} then {b}",
]  # fmt: skip


@pytest.mark.parametrize("variables", ["", "x", "xy"])
def test_one_expression_in_two_notations_is_equal(variables):
    random, compared = Random(f"notations {variables}"), 0
    while compared < 100:
        tree = random_tree(random, random.randint(1, 3), variables)
        if are_equal(tree, tree, random_points(random, variables)) is None:
            continue
        one, other = random.sample(NOTATIONS, 2)
        compared += 1
        assert same_answer(one(tree), other(tree)), f"{one(tree)} | {other(tree)}"


@pytest.mark.parametrize("variables", ["", "x", "xy"])
def test_an_edit_that_mpmath_tells_apart_is_not_paid(variables):
    random, compared = Random(f"edits {variables}"), 0
    while compared < 150:
        tree = random_tree(random, random.randint(1, 3), variables)
        edited = wrong_edit(random, tree)
        truth = are_equal(tree, edited, random_points(random, variables))
        if truth is None:
            continue
        compared += 1
        if truth is False and not (variables and "abs" in str((tree, edited))):  # those have a test of their own
            assert not is_paid(latex(tree), plain(edited)), f"{latex(tree)} | {plain(edited)}"


@pytest.mark.parametrize(
    "reference, answer",
    [
        ("x + 3", "|x + 3|"),
        ("|x - 30|", "30 - x"),
        (r"\sqrt{(2x + 5)^2}", "2x + 5"),
        ("|x^3 + 100|", "x^3 + 100"),
        ("x", r"\max(x, -100)"),
        ("x", r"\min(x, 50)"),
        ("1", r"\operatorname{sgn}(x + 10)"),
        ("x^2 + 4x + 4", "(x+2)|x+2|"),
    ],
)
def test_far_points_tell_an_absolute_value_from_what_is_in_it(reference, answer):
    assert not is_paid(reference, answer)


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_second_candidate_never_pays(reference):
    paid = [
        text
        for hedge in HEDGES
        for other in OTHERS
        if is_paid(reference, text := hedge.format(a=reference, b=other)) and other not in reference
    ]
    assert paid == []


@pytest.mark.parametrize("hedge", HEDGES)
def test_no_answer_pays_for_two_numbers(hedge):
    for a, b in (("5", "6"), ("12", "9"), ("0.5", "50")):
        text = hedge.format(a=a, b=b)
        assert not (is_paid(a, text) and is_paid(b, text)), text


@pytest.mark.parametrize(
    "answer, candidates", [(r"5 \approx 6", "56"), ("9 ≈ 8", "98"), ("5 ~ 6", "56"), (r"x = 3 \approx 4", "34")]
)
def test_an_approximation_is_no_second_candidate(answer, candidates):
    assert sum(is_paid(candidate, answer) for candidate in candidates) < 2


@pytest.mark.parametrize("reference", ["12", "3.5", r"\frac{3}{7}", r"2\sqrt{3}", "(4, 5)", r"\{2, 7\}", "x + 4"])
@pytest.mark.parametrize(
    "edit", ["-{}", "{} + 1", "2 \\cdot {}", "{}^2", "{} x", "{}0", "1{}", "{}, 8", "{} words here"]
)
def test_an_answer_with_something_added_is_another(reference, edit):
    text = edit.format(reference if edit in ("{}0", "1{}", "{}, 8", "{} words here") else f"({reference})")
    assert not is_paid(reference, text) or text in ("3.50", "1x + 4")


@pytest.mark.parametrize("reference", ["12", "-3.5", r"\frac{3}{7}", "1,234", "10^9", "(4, 15)", "[2, 31]", "2026"])
def test_a_changed_digit_is_another_answer(reference):
    for place, digit in enumerate(reference):
        if digit.isdigit():
            for other in {"1", "4", "9"} - {digit}:
                assert not is_paid(reference, reference[:place] + other + reference[place + 1 :])


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="0123456789xyei+-*/^_={}()[]\\|,.;: !'%$&<>√π²½≤", max_size=24), st.sampled_from(REFERENCES))
def test_no_text_raises_anything_else_than_unread(text, reference):
    for pair in ((reference, text), (text, reference)):
        try:
            assert same_answer(*pair) in (True, False)
        except Unread as unread:
            assert str(unread) in ("unread", "reference", "size")


@pytest.mark.parametrize("text", REFERENCES + OTHERS)
def test_every_text_equals_itself_and_the_order_of_a_pair_does_not_matter(text):
    assert same_answer(text, text) and same_answer(text, f" ${text}$. ")
    for other in REFERENCES + OTHERS:
        if text[-1] not in "%m":
            assert is_paid(text, other) == is_paid(other, text), other


def test_threads_do_not_change_verdicts():
    pairs = [(latex(tree), plain(tree)) for tree in (random_tree(Random(seed), 3) for seed in range(24))]
    pairs += [(rf"\sqrt{{2}} + 10^{{-{n}}}", r"\sqrt{2}") for n in (3, 30, 90, 100)]
    pairs += [(r"\frac{2}{3}", r"\frac{2}{3} \approx 0.667"), (r"\pi", r"\pi \approx 3.142")] * 4
    alone = [is_paid(*pair) for pair in pairs]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda pair: is_paid(*pair), pairs * 6))
    assert together == alone * 6


@pytest.mark.parametrize("text", ["3 or so", "", "?", "x +", r"\foo", "1..2", "2 2", "((1)"])
def test_a_reference_that_is_not_understood_says_so(text):
    assert not readable(text)
    with pytest.raises(Unread, match="reference"):
        same_answer(text, "5")


@pytest.mark.parametrize("text", ["3 or so", "?", "x +", r"\foo", "1..2", "2 2", "((1)"])
def test_an_answer_that_is_not_understood_is_unread(text):
    with pytest.raises(Unread, match="unread"):
        same_answer("5", text)


@pytest.mark.parametrize(
    "reference, answer", [("5", r"9^{9^{9^9}}"), ("5", "(10^{17})!"), ("5", r"\sum_{k=1}^{99999} k")]
)
def test_what_takes_too_much_work_is_too_large(reference, answer):
    with pytest.raises(Unread, match="size"):
        same_answer(reference, answer)
