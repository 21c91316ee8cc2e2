"""Hostile answers without end, the same for the same seed: none of them may be paid, hang the grader or make it raise.

Each comes with a reference that it cannot equal, because the reference holds a 12-digit prime that was drawn for it
alone and that the answer has only with at least three digits changed, or in a phrase that makes it no answer.

>>> from benchmarks.grading_fuzz import hostile_answers
>>> list(hostile_answers(3, seed=7)) == list(hostile_answers(3, seed=7))
True
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

_TOKENS = r"""
\frac \dfrac \sqrt \left \right \begin \end {pmatrix} \boxed \text{ \mathrm{ \mathbb{R} \pi \infty \cdot \times \div \pm
\mp \le \ge \ne \in \notin \cup \cap \setminus \subset \{ \} \| \lfloor \rfloor \sum_{ \prod_{ \int_0^ \lim_{ \to \binom
\log \ln \sin \arctan \exp \gcd \max \bmod \pmod \equiv \overline{ \dot \vec \hat \circ ^\circ \% \$ $ $$ \( \) \[ \] \\
& \quad \, \! { } ( ) [ ] | , ; : . ' ! ^ _ ^{ _{ = < > + - * / // ** ~ # @ \ldots \dots \forall \exists \emptyset
\mathbf{ \operatorname{ 0 1 2 9 12 1,234 3.14 1e9 x y n e i E I inf nan None True or and not maybe Answer: <answer>
</answer> <think> either ans"""
TOKENS = _TOKENS.split()
NOISE = (
    "−–－√π²½°∞µ×·÷≤≥≠∪∈∅０１２٣४𝟜Ⅳ①⁰¹₂，。、：；（）｛｝【】🎉个和或"
    "\u200b\u200d\u202e\u2066\ufeff\u00a0\u3000\u0301\x00\x07\x1b\ud800"
)
MARKS = (",", ".", " ", r"\,", "{,}", r"{,}\!", ";", ":", "'", "_", "\n", "·", "，", "-", "/", r"\ ", "", "\u202f")
BRACKETS = (
    ("{", "}"), ("(", ")"), ("[", "]"), (r"\sqrt{", "}"), (r"\frac{1}{", "}"), (r"\left(", r"\right)"), ("|", "|"),
    (r"\text{", "}"), (r"\boxed{", "}"), ("-", ""), ("^{", "}"), (r"\{", r"\}"), (r"\begin{pmatrix}", r"\end{pmatrix}"),
)  # fmt: skip
ANSWERS = (
    r"\frac{3}{4}", r"2\sqrt{3}+1", "(1,2)", r"[0,\infty)", r"\{1,2,3\}", "x^2-1", r"3\pi", "12,345", "3:4", "B",
    r"0.\overline{36}", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"y = 2x+3", r"5\text{ cm}", r"\text{Monday}",
    r"50\%", r"\sum_{k=1}^{n} k^2", r"x \ge 3", r"1 \pm \sqrt{2}", r"10^{12}", r"n \equiv 3 \pmod{7}", "101_2",
)  # fmt: skip
REFERENCES = (
    "§", "§", "-§", r"\frac{§}{7}", r"\frac{1}{§}", r"\sqrt{§}", r"§\pi", "e^{-§}", "(3, §)", "[§.25, §.75)",
    r"\{1, §\}", "x^2+§x", "y=§x+1", r"§\text{ cm}", "0.§", "§:7",
)  # fmt: skip
PHRASES = (  # § is the reference, ¤ the like of it with another number
    "§, ¤", "¤, §", "§; ¤", r"§ \text{ or } ¤", r"¤ \text{ or } §", r"§ \vee ¤", "¤ = §", "§ = ¤", r"\text{not } §",
    r"§ \text{ (or } ¤ \text{)}", r"§ \ne ¤", r"§ \to ¤", "§! + ¤", r"\text{either } § \text{ or } ¤", "> §",
    r"§ \text{ thousand}", "§ + ¤", r"§ \text{ and } ¤",
)  # fmt: skip
HUGE = (
    "9^{9^{§}}", "§!", "(§!)!", r"\binom{§}{¤}", "2^{§}", "2^{-§}", r"\frac{10^{§}}{10^{¤}}", "§^{¤} - §^{¤} + 1",
    r"§^{¤} \bmod 7", "1e§", "1.§e-¤", r"\sqrt[§]{¤}", "(x+y+1)^{§}", r"\sum_{k=1}^{§} \frac{1}{k}",
    r"\prod_{k=1}^{§} k", "0.§¤", r"\sin(§^{¤})", r"\log_{§} ¤", "x^{§}+x^{¤}", r"\lfloor \pi \cdot 10^{§} \rfloor",
    r"\gcd(§!, ¤!)", "§_{¤}", "1/§/¤",
)  # fmt: skip
FRAMES = (
    r"\boxed{§}", r"So $\boxed{§}$.", "Answer: §", "<answer>§</answer>", "§", r"\boxed{§", r"\boxed{1} or \boxed{§}",
    "**Answer:** $§$",
)  # fmt: skip
JOINTS = ("", " ", ",", "+", "=", r" \text{ or } ", r"\\", "^", r"\cdot ")


class Hostile(NamedTuple):
    """An answer that must not be paid.

    Attributes:
        kind: how it was made.
        reference: what it is graded against.
        completion: what a model might have written.
    """

    kind: str
    reference: str
    completion: str


def hostile_answers(count: int, seed: int) -> Iterator[Hostile]:
    """Yield so many hostile answers, the same ones for the same seed."""
    chance = random.Random(seed)
    kinds = list(MAKERS)
    for n in range(count):
        kind, pattern, prime = kinds[n % len(kinds)], chance.choice(REFERENCES), _prime(chance)
        answer = MAKERS[kind](chance, pattern, prime)
        yield Hostile(kind, pattern.replace("§", str(prime)), chance.choice(FRAMES).replace("§", answer))


def _prime(chance: random.Random) -> int:
    """Return a random prime of twelve digits."""
    while True:
        n = chance.randrange(10**11 + 1, 10**12, 2)
        if _is_prime(n):
            return n


def _is_prime(n: int) -> bool:
    """Return whether an odd number below 3.4e14 is prime: Miller and Rabin's test, which seven bases decide there."""
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17):
        powers = [pow(base, odd << k, n) for k in range(twos)]
        if powers[0] != 1 and n - 1 not in powers:
            return False
    return True


def _other_number(chance: random.Random, prime: int) -> str:
    """Return the prime with three to six of its digits changed."""
    digits = list(str(prime))
    for place in chance.sample(range(12), chance.randint(3, 6)):
        digits[place] = chance.choice([digit for digit in "123456789" if digit != digits[place]])
    return "".join(digits)


def _spoiled(chance: random.Random, text: str) -> str:
    """Return a text with one to eight characters flipped, dropped, doubled, inserted, or cut off or moved."""
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(text)) if text else 0
        before, here, after = text[:at], text[at : at + 1] or "0", text[at + 1 :]
        text = chance.choice(
            (
                before + chr(ord(here) ^ (1 << chance.randrange(7))) + after,
                before + after,
                before + here * 2 + after,
                before + chance.choice(TOKENS) + here + after,
                before + chance.choice(NOISE) + here + after,
                before + chance.choice("{}()[]|$\\") + here + after,
                before,
                here + after + before,
            )
        )
    return text


def _near_miss(chance: random.Random, pattern: str, prime: int) -> str:
    text = pattern.replace("§", _other_number(chance, prime))
    return text if chance.random() < 0.5 else _spoiled(chance, text)


def _hedged(chance: random.Random, pattern: str, prime: int) -> str:
    other = pattern.replace("§", _other_number(chance, prime))
    return chance.choice(PHRASES).replace("§", pattern.replace("§", str(prime))).replace("¤", other)


def _mutated(chance: random.Random, pattern: str, prime: int) -> str:
    return _spoiled(chance, chance.choice(ANSWERS))


def _random_tokens(chance: random.Random, pattern: str, prime: int) -> str:
    return chance.choice(("", " ")).join(chance.choices(TOKENS, k=chance.randint(1, 60)))


def _random_characters(chance: random.Random, pattern: str, prime: int) -> str:
    most = chance.choice((0x7F, 0x7F, 0x2FF, 0xFFFF, 0x10FFFF))
    return "".join(chr(chance.randint(0, most)) for _ in range(chance.randint(1, 80)))


def _nested(chance: random.Random, pattern: str, prime: int) -> str:
    """Return brackets, roots, fractions or boxes one in another, up to 400 deep, closed or not."""
    depth = chance.choice((2, 5, 20, 60, 150, 400))
    pairs = [chance.choice(BRACKETS)] * depth if chance.random() < 0.7 else chance.choices(BRACKETS, k=depth)
    closed = pairs[::-1] if chance.random() < 0.7 else pairs[: chance.randrange(depth)]
    return "".join(pair[0] for pair in pairs) + chance.choice(ANSWERS) + "".join(pair[1] for pair in closed)


def _repeated(chance: random.Random, pattern: str, prime: int) -> str:
    piece = chance.choice((chance.choice(ANSWERS), chance.choice(TOKENS), _mutated(chance, pattern, prime)))
    return chance.choice(JOINTS).join([piece] * chance.choice((2, 9, 60, 300)))


def _huge(chance: random.Random, pattern: str, prime: int) -> str:
    """Return numbers that nobody can work out, and sums and quotients of them."""
    digits = "7" * chance.randint(1, 200)
    text = chance.choice(HUGE)
    for sign in "§¤":
        text = text.replace(sign, str(chance.choice((99, 10**4, 10**6, 10**9, _prime(chance), digits))))
    return text if chance.random() < 0.8 else _spoiled(chance, text)


def _separated(chance: random.Random, pattern: str, prime: int) -> str:
    """Return digits with separators of every kind between them."""
    groups = [chance.choices("0123456789", k=chance.randint(1, 4)) for _ in range(chance.randint(2, 12))]
    return "".join("".join(group) + chance.choice(MARKS) for group in groups)


MAKERS: dict[str, Callable[[random.Random, str, int], str]] = {
    "near miss": _near_miss,
    "hedged": _hedged,
    "mutated answer": _mutated,
    "random tokens of LaTeX": _random_tokens,
    "random characters": _random_characters,
    "nested": _nested,
    "repeated": _repeated,
    "huge numbers": _huge,
    "separators": _separated,
}
