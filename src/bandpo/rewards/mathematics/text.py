r"""One spelling for the many in which models write: Unicode, full-width signs and synonyms of LaTeX become plain LaTeX.

Nothing is dropped here but what carries no meaning: dollar signs, spacing, the size of brackets, emphasis, a final
full stop.
"""

from __future__ import annotations

import re
import unicodedata

from bandpo.rewards.mathematics.errors import Unreadable

LONGEST = 1000

_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉ₙ", "0123456789n")
_GREEK = dict(
    zip(
        "αβγδεζηθικλμνξρστφχψωΓΔΘΛΞΣΦΨΩϕϵµ",
        (
            "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau phi chi psi omega "
            "Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega phi epsilon mu"
        ).split(),
        strict=True,
    )
)
_SIGNS = {
    **dict.fromkeys("−–—－‐‑‒﹣", "-"),
    **dict.fromkeys("\xa0\u2009\u200a\u202f\u2002\u2003\u3000\ufeff", " "),
    **dict.fromkeys("\u200b\u200c\u200d\u2060", ""),
    **dict.fromkeys("’‘′", "'"),
    **dict.fromkeys("“”", '"'),
    **{letter: rf"\{name} " for letter, name in _GREEK.items()},
    "″": "''", "√": r"\rootof ", "∛": r"\cuberootof ", "π": r"\pi ", "°": r"^\circ ", "º": r"^\circ ",
    "∞": r"\infty ", "×": r"\times ", "✕": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "•": r"\cdot ",
    "∗": "*", "÷": r"\div ", "∕": "/", "⁄": "/", "∶": ":", "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ", "⩾": r"\ge ",
    "≦": r"\le ", "≧": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "≡": r"\equiv ", "∪": r"\cup ", "∩": r"\cap ",
    "∈": r"\in ", "∉": r"\notin ", "∖": r"\setminus ", "∅": r"\emptyset ", "ø": r"\emptyset ", "Ø": r"\emptyset ",
    "ℝ": r"\reals ", "ℤ": r"\integers ", "ℕ": r"\naturals ", "ℚ": r"\rationals ", "ℂ": r"\complexes ",
    "±": r"\pm ", "∓": r"\mp ", "…": r"\ldots ", "⋯": r"\ldots ", "∠": r"\angle ", "△": r"\triangle ",
    "⟨": r"\langle ", "⟩": r"\rangle ", "∣": "|", "ⅇ": "e", "ⅈ": "i", "℃": r"^\circ\text{C}", "∑": r"\sum ",
    "∏": r"\prod ", "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "∨": r"\lor ", "∧": r"\land ",
    "€": r"\euro ", "₹": r"\rupee ", "£": r"\sterling ", "¥": r"\othercurrency ",
    "￥": r"\othercurrency ",
    "和": " and ", "与": " and ", "及": " and ", "或": " or ", "、": ",", "。": ".", "，": ",", "；": ";", "：": ":",
    "【": "[", "】": "]",
}  # fmt: skip
_SIGN = re.compile("|".join(map(re.escape, _SIGNS)))
_RAISED_RUN, _LOWERED_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+"), re.compile("[₀₁₂₃₄₅₆₇₈₉ₙ]+")
_RAISED_FRACTION = re.compile("([⁰¹²³⁴⁵⁶⁷⁸⁹]+)[⁄/]([₀₁₂₃₄₅₆₇₈₉]+)")
_OTHER_ALPHABET = re.compile("[^\x00-\x7f]")
_VULGAR = re.compile("[¼½¾⅐-⅞]")

_SYNONYMS = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "dbinom": "binom", "tbinom": "binom", "leq": "le", "geq": "ge",
    "leqslant": "le", "geqslant": "ge", "leqq": "le", "geqq": "ge", "lt": "<", "gt": ">", "neq": "ne", "lbrace": "{",
    "rbrace": "}", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")", "varnothing": "emptyset",
    "infin": "infty", "cdots": "ldots", "dots": "ldots", "dotsc": "ldots", "dotsb": "ldots", "lvert": "|",
    "rvert": "|", "vert": "|", "Vert": "|", "mid": "|",
    "colon": ":", "degree": "^\\circ", "textdegree": "^\\circ", "prime": "'",
    "ast": "*", "cdotp": "cdot", "bullet": "cdot", "backslash": "setminus", "smallsetminus": "setminus",
    "thickapprox": "approx", "vee": "lor", "wedge": "land", "R": "reals", "Z": "integers", "N": "naturals",
    "Q": "rationals", "C": "complexes", "C\\hspace": "complexes", "tg": "tan", "ctg": "cot", "arctg": "arctan",
    "cosec": "csc", "ge": "ge", "varphi": "phi", "varepsilon": "epsilon", "vartheta": "theta", "textpi": "pi",
    "textdollar": "currency", "pounds": "sterling", "textsterling": "sterling", "texteuro": "euro",
    "yen": "othercurrency",
}  # fmt: skip
_COMMAND = re.compile(r"\\([a-zA-Z]+)")
_BLACKBOARD = re.compile(r"\\(?:mathbb|mathbf|Bbb)\s*\{?\s*([RZNQC])(?![a-zA-Z])\s*\}?")
_SETS = {"R": "reals", "Z": "integers", "N": "naturals", "Q": "rationals", "C": "complexes"}
_SIZES = re.compile(
    r"\\(?:displaystyle|textstyle|limits|nolimits|thinspace|medspace|thickspace|hfill|noindent|allowbreak"
    r"|(?:left|right)(?![a-z])\.?|[bB]igg?[lrm]?(?![a-zA-Z]))|\\(?:hspace|vspace|phantom|hphantom)\*?\{[^{}]*\}"
)
_SPACES = re.compile(r"(?:\\[;: ]|\\q?quad(?![a-zA-Z])|~|\s)+")
# A wide space between two formulas separates them as a comma does; beside words or a bracket it is only a space.
_QUAD = re.compile(
    r"(?<=[\w})\]])\s*(?:\\q?quad(?![a-zA-Z])\s*)+(?=[-\w\\])(?!\\q?quad|\\[a-z]*(?:text|mathrm|mod|cup|cap|in|le|ge|cdot|"
    r"times)|\\[\\})\]]|(?:and|or|for|if|where|when|with|mod)\b)"
)
_TRAILING = re.compile(r"[\s.,;:]+$")
_EXPLICIT_THOUSANDS = re.compile(r"(?<![\d.,])(\d{1,3})((?:(?:\{,\}|\\,|,\\!|\{,\}\\!|,\\,)\d{3})+)(?!\d)")
_SPACED_THOUSANDS = re.compile(r"(?<![\d.,_^]) ?(?<!\d )(\d{1,3})((?: \d{3})+)(?![\d/,.]|\s*\d|\s*\\frac)")
_BOLD = re.compile(r"(?<![\w)\]}*])\*\*(?=[^\s*])([^*]+?)(?<=\S)\*\*(?![\w(\[{\\*])")
_APPROXIMATELY = re.compile(r"(^|[\s=])~(?=\s*[\d.$-])")
_HALF_SEPARATED = re.compile(r"\d(?:\{,\}|\\,)\d")


def clean(text: str) -> str:
    r"""Return an answer in the one spelling that the tokens are made of.

    Raises:
        Unreadable: longer than `LONGEST`, or digits grouped as no number is.

    >>> from bandpo.rewards.mathematics.text import clean
    >>> clean("$x² ≥ \\dfrac12$."), clean("1{,}234,\\!567"), clean("**２√３**")
    ('x^{2} \\ge \\frac12', '1234567', '2\\rootof 3')
    """
    if len(text) > LONGEST:
        raise Unreadable(f"{len(text)} characters: expected at most {LONGEST}")
    text = _BOLD.sub(r"\1", _one_alphabet(text))
    text = _EXPLICIT_THOUSANDS.sub(lambda m: m[1] + re.sub(r"\D", "", m[2]), text)
    if _HALF_SEPARATED.search(text):
        raise Unreadable("digits in groups that are not of three")
    text = _without_dollars(text.replace(r"\!", ""))
    text = _BLACKBOARD.sub(lambda m: rf"\{_SETS[m[1]]} ", text)
    text = _QUAD.sub(", ", text)
    text = text.replace("\\\\", r"\newline ").replace(r"\|", "|").replace(r"\&", " and ").replace(r"\#", "#")
    text = _SIZES.sub(" ", text.replace(r"\,", " "))
    text = _COMMAND.sub(_synonym, text)
    text = _SPACES.sub(" ", _APPROXIMATELY.sub(r"\1\\approx ", text))
    text = _SPACED_THOUSANDS.sub(lambda m: m[0].replace(m[1] + m[2], m[1] + m[2].replace(" ", "")), text)
    return _bare(text)


def _one_alphabet(text: str) -> str:
    text = _RAISED_FRACTION.sub(lambda m: rf"\frac{{{m[1].translate(_RAISED)}}}{{{m[2].translate(_LOWERED)}}}", text)
    text = _RAISED_RUN.sub(lambda m: "^{" + m[0].translate(_RAISED) + "}", text)
    text = _LOWERED_RUN.sub(lambda m: "_{" + m[0].translate(_LOWERED) + "}", text)
    text = _VULGAR.sub(lambda m: r"\frac{{{}}}{{{}}}".format(*unicodedata.normalize("NFKC", m[0]).split("⁄")), text)
    text = _SIGN.sub(lambda m: _SIGNS[m[0]], text)
    text = _OTHER_ALPHABET.sub(_plain_letters, text)
    return _SIGN.sub(lambda m: _SIGNS[m[0]], text)


def _plain_letters(match: re.Match[str]) -> str:
    """Return full-width and italic characters as plain ones, raised and lowered ones as such; others stay."""
    tag = unicodedata.decomposition(match[0][0]).partition(" ")[0]
    plain = unicodedata.normalize("NFKC", match[0])
    if tag in ("<super>", "<sub>"):
        return ("^{" if tag == "<super>" else "_{") + plain + "}"
    return (
        plain
        if tag in ("<wide>", "<narrow>", "<font>", "<noBreak>", "<fraction>", "<small>", "<compat>")
        and (tag != "<compat>" or len(plain) == 1)
        else match[0]
    )


def _without_dollars(text: str) -> str:
    r"""Return a text without the signs around formulas; a dollar sign that is money becomes `\currency`."""
    text = text.replace(r"\$", r"\currency ")
    if text.count("$") % 2 and re.match(r"[\s*]*\$\s*\d", text):
        text = text.replace("$", r"\currency ", 1)
    return re.sub(r"\\[()\[\]]", " ", text.replace("$", " "))


def _synonym(match: re.Match[str]) -> str:
    name = _SYNONYMS.get(match[1])
    if name is None:
        return match[0]
    if name in ("{", "}"):
        return "\\" + name
    return (name if not name.isalpha() else "\\" + name) + (" " if name == "^\\circ" else "")


def _bare(text: str) -> str:
    """Return a text without emphasis around it and the full stop behind it."""
    while True:
        bare = _TRAILING.sub("", text) if not re.search(r"\.\.\s*$", text) else text.strip()
        bare = bare.strip(" ")
        for mark in ("**", "__", "*", "`", '"'):
            if bare.startswith(mark) and bare.endswith(mark) and len(bare) > 2 * len(mark):
                bare = bare[len(mark) : -len(mark)]
                break
        if bare == text:
            return bare
        text = bare
