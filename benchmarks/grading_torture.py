"""Answers that hang, crash or fill the memory of graders: each must be graded or refused in time.

Lists of (name, reference, completion); the tests run them, `benchmarks/grading.py` measures them. `MEMORY` has those
that need more than 128 MB before they need much time.
"""

from __future__ import annotations


def _box(content: str) -> str:
    return rf"\boxed{{{content}}}"


def _nested(opening: str, core: str, closing: str, depth: int) -> str:
    return opening * depth + core + closing * depth


MATRIX = r"\begin{pmatrix}" + r"\\".join("&".join(f"x_{{{i}}}+{j}" for j in range(7)) for i in range(7))
MATRIX += r"\end{pmatrix}"

ROOTS = [rf"\sqrt{{{i}}}" for i in range(2, 60)]
NUMBERS = [str(i) for i in range(250)]

TORTURE: list[tuple[str, str, str]] = [
    ("power tower 9^9^9^9", "5", _box("9^{9^{9^{9}}}")),
    ("power tower against its like", "9^{9^{9^{9}}}", _box("9^{9^{9^{8}}}")),
    ("plain power tower", "5", "Answer: 9^9^9^9^9"),
    ("huge power modulo", "1", _box(r"7^{10^{12}} \bmod 10")),
    ("difference of huge powers", "0", _box("10^{10^{10}} - 10^{10^{10}}")),
    ("factorial of a million", "5", _box("1000000!")),
    ("factorial of a factorial", "5", _box("(((9!)!)!)!")),
    ("huge binomial", "5", _box(r"\binom{10^{9}}{5 \cdot 10^{8}}")),
    ("a million digits", "5", _box("7" * 10**6)),
    ("a million digits, unmarked", "5", "7" * 10**6),
    ("900 digits", "5", _box("7" * 900 + "^2")),
    ("product of 900-digit numbers in a root", "5", _box(r"\sqrt[3]{" + "7" * 450 + "}^{" + "9" * 400 + "}")),
    ("unclosed box", "5", r"\boxed{\frac{1}{2"),
    ("unclosed fraction in a box", "5", _box(r"\frac{1}{2")),
    ("unclosed environment", "5", _box(r"\begin{pmatrix} 1 & 2 \\")),
    ("200,000 open braces", "5", r"\boxed" + "{" * 200_000),
    ("100,000 open boxes", "5", r"\boxed{" * 100_000),
    ("100,000 closed boxes joined", "5", r"\boxed{1}, " * 100_000),
    ("a million backslashes", "5", "\\" * 10**6),
    ("a million dollar signs", "5", "$" * 10**6),
    ("1 MB of text, answer at its end", "34", "word " * 200_000 + _box("34")),
    ("1 MB in the box", "34", _box("word " * 200_000)),
    ("1 MB of digits and commas after Answer:", "34", "Answer: " + "1," * 500_000),
    ("1 MB of Answer: lines", "34", "Answer: 1\n" * 100_000),
    ("1 MB of spaces in an answer line", "34", "Answer:" + " " * 10**6 + "34"),
    ("75 nested fractions", "5", _box(_nested(r"\frac{1}{1+", "1", "}", 75))),
    ("300 nested parentheses", "5", _box(_nested("(", "x", ")", 300))),
    ("140 nested roots", "5", _box(_nested(r"\sqrt{", "2", "}", 140))),
    ("nested absolute values", "5", _box(_nested("|", "x", "|", 200))),
    ("long sum of roots", "5", _box("+".join(rf"\sqrt{{{i}}}" for i in range(2, 90)))),
    ("equal long sums of roots", "+".join(ROOTS), _box("+".join(ROOTS[::-1]))),
    ("expansion of a huge power", "x^{3000}+1", _box("(x+y+z+1)^{3000}")),
    ("equal powers of a sum, expanded", "(x+1)^{600}", _box("((x+1)^{2})^{300} + (x-x)^{700}")),
    ("trigonometric identity, 30 angles", "0", _box("+".join(rf"\sin^{{{i}}}({i}x)\cos({i}y)" for i in range(1, 30)))),
    ("integral without closed form", "5", _box(r"\int_0^{1} \sin(\cos(\tan(x^{x}))) e^{x^{3}} dx")),
    ("infinite sum", "5", _box(r"\sum_{n=1}^{\infty} \frac{\sin(n^{2})}{n^{3}+\sqrt{n}}")),
    ("sum of ten million terms", "5", _box(r"\sum_{n=1}^{10000000} \frac{1}{n^{3}+n+1}")),
    ("product of a million terms", "5", _box(r"\prod_{n=1}^{1000000} (n^{2}+1)")),
    ("limit", "5", _box(r"\lim_{x \to 0} \frac{\sin(x^{x^{x}}) - \tan(\sin(x))}{x^{7}}")),
    ("determinant of a symbolic matrix", "5", _box(r"\det " + MATRIX)),
    ("symbolic matrix to the 50th", "5", _box(MATRIX + "^{50}")),
    ("inverse of a symbolic matrix", MATRIX, _box(MATRIX + "^{-1}")),
    ("set of 250 numbers", "5", _box(r"\{" + ",".join(NUMBERS) + r"\}")),
    ("two large sets", r"\{" + ",".join(NUMBERS) + r"\}", _box(r"\{" + ",".join(NUMBERS[::-1]) + r"\}")),
    ("union of 90 intervals", "5", _box(r"\cup".join(f"({2 * i},{2 * i + 1})" for i in range(90)))),
    ("polynomial equation of degree 60", "x=1", _box("x^{60}+x^{59}-3x^{7}+" + "x^{2}+" * 40 + "1=0")),
    ("tower of twos", "5", _box(r"2^{2^{2^{2^{2^{2}}}}}")),
    ("floor of a huge quotient", "5", _box(r"\lfloor 10^{3000000000} / 7 \rfloor")),
    ("2^10^10", "5", _box("2^{10000000000}")),
    ("2^10^10 against x", "x", _box("x+2^{9999999999}")),
    ("control characters", "5", _box("\x00\x01\ud800\u202e5")),
    ("emoji", "5", _box("🎉" * 300)),
    ("Python in the answer", "5", _box("__import__('os').system('sleep 60')")),
    ("Python after Answer:", "5", "Answer: __import__('os').system('sleep 60')"),
    ("lambda in the answer", "5", "Answer: (lambda f: f(f))(lambda f: f(f))"),
    ("exponent of a decimal", "5", _box("1.000001^{10^{15}}")),
    ("1e999999999", "5", _box("1e999999999")),
    ("scientific with a huge exponent", "5", _box(r"1 \times 10^{999999999}")),
    ("primorial-like gcd", "5", _box(r"\gcd(" + "9" * 300 + "," + "7" * 300 + ")")),
]  # fmt: skip

# Large, but right.
CORRECT = {
    "1 MB of text, answer at its end", "1 MB of spaces in an answer line", "equal long sums of roots",
    "equal powers of a sum, expanded", "two large sets",
}  # fmt: skip

MEMORY: list[tuple[str, str, str]] = [
    ("2^3000000000", "x^2+y", _box("2^{3000000000}")),
    ("(x+y+z+1)^3000", "x^2+y", _box("(x+y+z+1)^{3000}")),
]
