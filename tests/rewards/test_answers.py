"""The final answer of a completion: which part of it counts, in time that grows with its length alone."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandpo.rewards import Grader
from bandpo.rewards.answers import final_answer
from tests.rewards.mathematics.verdicts import table


def is_paid(reference: str, completion: str) -> bool:
    return Grader().grade([completion], [reference])[0].is_correct


@pytest.mark.parametrize(
    "completion, text, mark",
    [
        (r"So \boxed{5}.", "5", "box"),
        (r"\boxed{6}, no: \boxed{5}", "5", "box"),
        (r"\fbox{5}", "5", "box"),
        (r"\boxed 5", "5", "box"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", "box"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}", "box"),
        (r"\boxed{5}, \boxed{6}", "5, 6", "box"),
        (r"$(\boxed{5}, \boxed{6})$", "(5, 6)", "box"),
        (r"\left(\boxed{5},\boxed{6}\right)", "(5, 6)", "box"),
        (r"[\boxed{5}, \boxed{6})", "[5, 6)", "box"),
        (r"\{\boxed{5}, \boxed{6}\}", r"\{5, 6\}", "box"),
        (r"\(\boxed{5}, \boxed{6}\)", "5, 6", "box"),
        (r"(\boxed{5}, \boxed{6}", "? 6", "box"),
        (r"(4, \boxed{5})", "? 5", "box"),
        (r"(so \boxed{5})", "5", "box"),
        (r"$x = \boxed{1}$ or $x = \boxed{2}$", "1, 2", "box"),
        (r"\boxed{5} and \boxed{6}", "5, 6", "box"),
        ("Answer: 5", "5", "line"),
        ("**Answer:** 5", "5", "line"),
        ("Answer: 4\nAnswer: 5", "5", "line"),
        ("Answer:\n\n5", "5", "line"),
        ("Answer:\n$$\n5\n$$", "5", "line"),
        ("#### 5", "5", "line"),
        ("答案：5", "5", "line"),
        (r"\boxed{4}" + "\nAnswer: 5", "5", "line"),
        ("Answer: 4.\n" + r"\boxed{5}", "5", "box"),
        ("<answer>5</answer>", "5", "tag"),
        (r"<answer>It is \boxed{5}</answer>", "5", "tag"),
        ("<answer>4</answer>\nNo.\n<answer>5</answer>", "5", "tag"),
        ("Thus 5.", "5.", "sentence"),
        ("One. Two. Therefore, it is 5.", "it is 5.", "sentence"),
        (r"\boxed{5", "", "box"),
        ("<answer>5", "", ""),
        ("", "", "sentence"),
        ("Let us try 5.", "", "sentence"),
        ("Maybe 5.", "", "sentence"),
    ],
)
def test_final_answer(completion, text, mark):
    answer = final_answer(completion)
    assert (answer.text, answer.mark) == (text, mark)


@pytest.mark.parametrize(
    "completion",
    table(
        r"\boxed{5}", "Answer: 5", "The answer is 5.", "**Answer**: $5$.", r"$\boxed{x = 5}$", "Answer: **5**",
        r"\boxed{5} cm",
        r"\boxed{5}\text{ cm}", r"\boxed{\boxed{5}}", r"\boxed{\text{5}}", "So 5.", "#### 5", "<answer>5</answer>",
        r"\[ 5 \]",
        "Answer: 5\n\nThis is because 2 + 3 = 5.", "Hence the result is 5. Cheers",
        r"$$\boxed{5}$$.",
        r"\boxed{5}.", "There are 5 apples.", "Final answer: 5",
        open=["It's 5 dollars."], reason="a contraction as a label",
    ),
)  # fmt: skip
def test_five_is_paid(completion):
    assert is_paid("5", completion)


@pytest.mark.parametrize(
    "completion",
    table(
        r"\boxed{5} or \boxed{6}", r"\boxed{5}\boxed{6}", r"\boxed{6}, \boxed{5}", r"\boxed{5} or 6",
        r"\boxed{5} (or 6)", r"\boxed{5}, but 6",
        r"6 or \boxed{5}", "Answer: 5 or 6", "Answer: 5, 6", "Answer: 5; 6", "Answer: 5 / 6", "Answer: 5 - 6",
        "Answer: 5 → 6", "Answer: 5?",
        "Answer: 5. Answer: 6", "Answer: 5. Or six.", "Answer: 5 (approximately)", "Answer: 5, possibly",
        "Answer: 5 6", "Answer: 5 [6]",
        "<answer>5 or 6</answer>", "<answer>5", r"\boxed{5", r"<answer>5</answer> \boxed{6}", "Answer: 5\nAnswer: 6",
        "The answer is 5 or 6.",
        r"-\boxed{5}", r"\boxed{5}^2", r"\boxed{5}x", r"\boxed{5}!", r"\boxed{5}\sqrt{2}", r"2+\boxed{5}",
        r"1/\boxed{5}", r"\boxed{5} / 2",
        "It cannot be 5.", "x is less than 5.", "Maybe 5.", "Suppose it is 5.", "Answer: ~~6~~ 5", "Answer: not 5",
        r"\boxed{5 \text{ or } 6}",
        r"$\boxed{5}$ maybe", r"\boxed{4}\boxed{5}", "I think it is 5 but it may be 6.", "Answer: 5 [or 6]",
        "Answer: about 5",
        r"$x = - \boxed{5}$", r"2 + \boxed{5}", r"\boxed{5} + 1", r"\boxed{5} \sqrt{2}", r"\frac{1}{\boxed{5}}",
        r"\ln\boxed{5}", r"\pm\boxed{5}", r"\boxed{5} + 3i", r"\boxed{5} \times 10^5", r"x > \boxed{5}",
        r"\boxed{5} = 6", r"\boxed{6} / \boxed{5}", r"\boxed{6} \quad \boxed{5}", r"\boxed{6} | \boxed{5}",
        r"\boxed{6}, alternatively \boxed{5}", "Answer: 6 or Answer: 5", "<answer>6</answer> or <answer>5</answer>",
        r"The answer is not \boxed{5}.", "Reject: 5",
    ),
)  # fmt: skip
def test_five_is_not_paid(completion):
    assert not is_paid("5", completion)


@pytest.mark.parametrize(
    "reference, completion",
    table(
        ("1, 2", r"\boxed{1} and \boxed{2}"),
        (r"5\%", r"\boxed{5\%}"),
        ("-5", r"\boxed{-5}"),
        ("(1, 2)", r"\boxed{(1, 2)}"),
        ("5 cm", r"\boxed{5}\text{ cm}"),
        ("5", "2 + 3 = 5\n" + r"\boxed{5}"),
        ("5", r"\[ x = 5 \]" + "\n" + r"\boxed{5}"),
        (r"5\%", r"\boxed{5}\%"),
        (r"30^\circ", r"\boxed{30}^\circ"),
        ("(1,2)", r"(\boxed{1}, \boxed{2})"),
    ),
)
def test_what_is_around_a_box(reference, completion):
    assert is_paid(reference, completion)


@given(st.text(max_size=200), st.text(alphabet=r"\boxed{}answer:<>/ $5.\n*", max_size=200))
def test_no_text_raises(text, marked):
    for completion in (text, marked, text + r"\boxed{" + marked):
        assert isinstance(final_answer(completion).text, str)


@given(st.text(alphabet="abc .,$\n", max_size=60), st.integers(-999, 999))
def test_what_is_before_a_box_does_not_change_what_is_in_it(before, number):
    assert final_answer(f"{before}\n\nSo: \\boxed{{{number}}}").text == str(number)


@pytest.mark.parametrize(
    "completion",
    table(
        "Answer:" + " " * 100_000, "Answer:" + " \t**" * 1300, "Answer: " * 20_000, r"\boxed{" * 3000,
        r"\boxed{1}," * 20_000,
        r"\boxed" * 50_000, "<answer>" * 20_000, "<answer>1</answer>" * 10_000, r"\boxed{" + "{}" * 300_000 + "}",
        "A. " * 100_000,
        "so " * 50_000 + "5",
        "or " * 20_000 + r"\boxed{5}" + " or" * 20_000, "$" * 100_000, "\n" * 100_000, "." * 100_000,
        r"\boxed{\boxed{" * 1000 + "1" + "}}" * 1000,
    ),
    ids=lambda completion: f"{completion[:12]!r} {len(completion)}",
)  # fmt: skip
def test_any_completion_is_cut_in_a_moment(completion):
    started = time.process_time()
    final_answer(completion)
    assert time.process_time() - started < 1.0
