"""Property: a right answer is paid in every spelling, and none of many edits that make it wrong is."""

import re

import mpmath
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bandpo.rewards import math_reward
from tests.rewards.answer_edits import KINDS, Case

FRAMES = (r"So the answer is $\boxed{{{}}}$.", "Therefore we are done.\n\nAnswer: {}", "\\boxed{{{}}}")


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data(), frame=st.sampled_from(FRAMES))
def test_right_answers_are_paid_and_wrong_edits_are_not(kind, data, frame):
    case: Case = data.draw(KINDS[kind])
    wrong = [(edit, rf"\boxed{{{answer}" if edit == "cut" else frame.format(answer)) for edit, answer in case.wrong]
    right = [frame.format(answer) for answer in case.right]
    texts = right + [answer for _, answer in wrong]
    paid = math_reward(texts, answer=[case.reference] * len(texts))
    refused = [text for text, reward in zip(right, paid, strict=False) if reward != 1.0]
    faults = [(edit, text) for (edit, text), reward in zip(wrong, paid[len(right) :], strict=True) if reward]
    assert not faults, f"{case.reference}: paid {faults}"
    assert not refused, f"{case.reference}: refused {refused}"


@pytest.mark.parametrize("kind", ["integer", "fraction", "decimal", "root", "multiple of pi"])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_edits_of_numbers_differ_in_value(kind, data):
    """An oracle beside the generators: what both sides are by mpmath, wherever they are plain numbers."""
    case: Case = data.draw(KINDS[kind])
    truth = value(case.reference)
    assert truth is not None
    for text in case.right:
        given_value = value(text)
        assert given_value is None or mpmath.almosteq(given_value, truth, 1e-12), text
    for edit, text in case.wrong:
        given_value = value(text)
        assert given_value is None or not mpmath.almosteq(given_value, truth, 1e-12), (edit, text)


def value(latex: str) -> mpmath.mpf | None:
    """The value of LaTeX that is one plain number, None for anything else."""
    text = latex.replace(r"\dfrac", r"\frac").replace("{,}", "").replace("π", r"\pi")
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    for _ in range(3):
        text = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"((\1)/(\2))", text)
        text = re.sub(r"\\sqrt\{([^{}]*)\}", r"sqrt(\1)", text)
    text = re.sub(r"\\sqrt\[3\]\{([^{}]*)\}", r"cbrt(\1)", text)
    text = text.replace(r"\pi", "pi").replace(r"\cdot", "*").replace(r"\times", "*").replace(r"\div", "/")
    text = re.sub(r"\^\{?(-?\d+)\}?", r"**\1", text)
    text = re.sub(r"(?<=[\d)])\s*(?=pi|sqrt|cbrt|\()", "*", text)
    if not re.fullmatch(r"(?:pi|sqrt|cbrt|[-+*/().\d]|(?<!\d) +| +(?!\d))+", text):
        return None
    names = {"pi": mpmath.pi, "sqrt": mpmath.sqrt, "cbrt": mpmath.cbrt, "mpf": mpmath.mpf}
    try:
        return mpmath.mpf(
            eval(re.sub(r"(?<![\w.])(\d+(?:\.\d*)?|\.\d+)", r"mpf('\1')", text), {"__builtins__": {}}, names)
        )
    except (SyntaxError, ZeroDivisionError, TypeError):
        return None
