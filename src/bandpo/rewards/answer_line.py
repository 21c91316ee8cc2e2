"""The rule of the paper's runs: the last "Answer:" line must be the reference, letter for letter after clean-up.

It reads the last 300 characters, takes the last match of "Answer: ..." and normalises as in the appendix of Minerva
(Lewkowycz et al. 2022, arXiv 2206.14858): units and filler words go, fractions and roots get their braces. There is no
mathematics in it: 1/2 is not 0.5, and an answer in a box without such a line is wrong. The prompt asks for the line.
"""

from __future__ import annotations

import re

TAIL = 300

_LINE = re.compile(r"(?i)Answer\s*:\s*([^\n]+)")
_REPLACED = (
    ("an ", ""), ("a ", ""), (".$", "$"), (r"\$", ""), ("\\ ", ""), (" ", ""), ("mbox", "text"),
    (r",\text{and}", ","), (r"\text{and}", ","), (r"\text{m}", r"\text{}"),
)  # fmt: skip
_REMOVED = (
    "square", "ways", "integers", "dollars", "mph", "inches", "hours", "km", "units", r"\ldots", "sue", "points",
    "feet", "minutes", "digits", "cents", "degrees", "cm", "gm", "pounds", "meters", "meals", "edges", "students",
    "childrentickets", "multiples", r"\text{s}", r"\text{.}", "\\text{\ns}", r"\text{}^2", r"\text{}^3",
    "\\text{\n}", r"\text{}", r"\mathrm{th}", r"^\circ", r"^{\circ}", r"\;", r",\!", "{,}", '"', r"\dots",
)  # fmt: skip


def answer_line(completion: str) -> str | None:
    r"""Return what stands after the last "Answer:" in the last 300 characters, None without one.

    >>> from bandpo.rewards.answer_line import answer_line
    >>> answer_line("Answer: 3\nNo.\nAnswer: $\\frac12$")
    '$\\frac12$'
    """
    found = _LINE.findall(completion[-TAIL:])
    return found[-1] if found else None


def normalised(answer: str) -> str:
    r"""Return an answer in the form that the exact match compares.

    >>> from bandpo.rewards.answer_line import normalised
    >>> normalised("x = 12,000 dollars"), normalised(r"$\frac12$"), normalised(r"\sqrt3")
    ('12000', '\\frac{1}{2}', '\\sqrt{3}')
    """
    text = answer.split("=")[-1]
    for old, new in _REPLACED:
        text = text.replace(old, new)
    for word in _REMOVED:
        text = text.replace(word, "")
    text = re.sub(r".*?\$(.*?)\$.*", r"$\1$", text)  # of a line with a formula, the formula
    for command in ("text", "textbf", "overline"):
        text = re.sub(rf"\\{command}\{{(.*?)\}}", r"\1", text)
    text = re.sub(r"\\boxed\{(.*)\}", r"\1", text)
    text = re.sub(r"frac([^{])(.)", r"frac{\1}{\2}", text)
    text = re.sub(r"sqrt([^{])", r"sqrt{\1}", text).replace("$", "")
    without_commas = text.replace(",", "")
    return (without_commas if without_commas.isdigit() else text).strip()


def answer_line_equal(completion: str, reference: str) -> tuple[bool, str]:
    """Return whether the answer line equals the reference, and the normalised answer ("[INVALID]" without a line).

    >>> from bandpo.rewards.answer_line import answer_line_equal
    >>> answer_line_equal("So it is 34.\\nAnswer: 34", "34"), answer_line_equal("$\\\\boxed{34}$", "34")
    ((True, '34'), (False, '[INVALID]'))
    """
    line = answer_line(completion)
    given = "[INVALID]" if line is None else normalised(line)
    return given == normalised(str(reference)), given
