r"""All readings of an answer as a whole: `10:30` is a time and a ratio, `1,234` a number and a list.

Nothing is ever picked out of a text: what cannot be read to its end has no reading.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bandpo.rewards.mathematics.brackets import REALS
from bandpo.rewards.mathematics.errors import TooLarge, Unreadable
from bandpo.rewards.mathematics.forms import Based, Clock, Day, Difference, Finite, Form, Listing, Quantity, Words
from bandpo.rewards.mathematics.labels import without_label
from bandpo.rewards.mathematics.nodes import INFINITY, number
from bandpo.rewards.mathematics.structures import Structures
from bandpo.rewards.mathematics.text import clean
from bandpo.rewards.mathematics.tokens import Token, tokenise
from bandpo.rewards.mathematics.units import LETTERS
from bandpo.rewards.mathematics.words import (
    ALL_REALS,
    INFINITELY_MANY,
    NO_SOLUTION,
    UNDEFINED,
    as_words,
    counted,
    fraction_in_words,
    number_in_words,
)

_WRAPPER = re.compile(
    r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mbox|operatorname|boxed|emph)\s*\{([^{}]*)\}"
)
_CLOCK = re.compile(r"(\d{1,2})(?: ?: ?(\d{2})(?: ?: ?(\d{2}))?)? ?(?:([ap])\.? ?m\.?)?", re.IGNORECASE)
_MIDDAY = re.compile(r"(?:12(?: ?: ?00)? )?(noon|midnight)", re.IGNORECASE)
_DIGITS = r"\(?([0-9A-Za-z]{1,60})\)?"
_BASED = re.compile(
    rf"{_DIGITS}(?:_ ?\{{? ?\(?(\d{{1,2}}|[a-z]+)\)? ?\}}?|_? ?\(?(?:in )?base[ -](\d{{1,2}}|[a-z]+)\)?)"
)
_BASES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_MONTHS: Sequence[str] = "january february march april may june july august september october november december".split()
_DATE = re.compile(
    rf"(?:(?P<month>{'|'.join(_MONTHS)}) (?P<day>\d{{1,2}})"
    rf"|(?P<day2>\d{{1,2}}) (?:of )?(?P<month2>{'|'.join(_MONTHS)}))"
    r"(?:st|nd|rd|th)?(?:,? (?P<year>\d{4}))?",
    re.IGNORECASE,
)
_ALL_BUT = re.compile(
    r"(?:the )?(?:set of )?(?:all )?(?:reals?|real numbers)(?: [a-z])? (?:except|but)(?: for)? (.+)", re.I
)
_SUBJECTS = frozenset("the it this that answer final they he she we".split())
_THOUSANDS = re.compile(r"(?<![\d.,])(\d{1,3})((?:,\d{3})+)(?![\d,])")


def readings(text: str) -> tuple[Form, ...]:
    r"""Return every reading of an answer, none where it is not understood as a whole.

    >>> from bandpo.rewards.mathematics.readings import readings
    >>> len(readings("1,234")), readings("3, maybe 4"), readings(r"\text{no solution}")[0]
    (2, (), Finite(items=()))
    """
    try:
        cleaned = clean(text)
    except Unreadable:
        return ()
    flat = flattened(cleaned)
    found = _phrase(flat) or _all_but(flat) or _date(flat) or _based(flat)
    if found:
        return found
    clock = _clock(flat)
    if clock and (clock[0].minute < 10 or clock[0].half):
        return clock
    mathematics, words = list(clock), as_words(flat)
    for tokens in _variants(cleaned):
        mathematics += [form for form in _parsed(tokens) if form not in mathematics]
        if words and all(token.kind in ("word", "letters") for token in tokens):
            said = " ".join(token.text for token in tokens)
            mathematics += _phrase(said)
            is_labelled = flat.split()[0].lower() in _SUBJECTS and len(tokens) < len(flat.split())
            words = (as_words(said) if is_labelled else None) or words
    return (*mathematics, *((Words(words),) if words else ()))


def flattened(text: str) -> str:
    r"""Return a cleaned text without \text{} and its like around words.

    >>> from bandpo.rewards.mathematics.readings import flattened
    >>> flattened(r"\text{(C) } 12")
    '(C) 12'
    """
    for _ in range(4):
        bare = _WRAPPER.sub(r" \1 ", text)
        if bare == text:
            break
        text = bare
    return " ".join(text.split())


def _variants(cleaned: str) -> list[list[Token]]:
    """Return the token lists of a text: with thousands joined and, unless a bracket lists them, apart."""
    texts = [cleaned]
    if _THOUSANDS.search(cleaned):
        joined = _THOUSANDS.sub(lambda match: match[0].replace(",", ""), cleaned)
        texts = [cleaned] if re.search(r"[(\[]|\\\{", cleaned) and "\\frac" not in cleaned else [joined, cleaned]
    found = []
    for text in texts:
        try:
            found.append(without_label(tokenise(text)))
        except Unreadable:
            continue
    return found


def _parsed(tokens: Sequence[Token]) -> list[Form]:
    """Return the readings of tokens: single letters as variables and, where they stand apart, as units."""
    has_letter_unit = any(
        token.text in LETTERS and token.is_spaced and n > 0 and tokens[n - 1].kind == "number"
        for n, token in enumerate(tokens)
    )
    found = []
    for letters_are_units in (False, True) if has_letter_unit else (False,):
        reader = Structures(tokens)
        reader.letters_are_units = letters_are_units
        try:
            found.append(reader.answer())
        except (Unreadable, TooLarge):
            continue
    return found


def _phrase(flat: str) -> tuple[Form, ...]:
    """Return the readings of words that mean mathematics."""
    words = as_words(flat)
    if words is None:
        return ()
    if words in NO_SOLUTION:
        return (Finite(()), Words("no solution"))
    if words in INFINITELY_MANY:
        return (Quantity(INFINITY), Words("infinitely many"))
    if words in ALL_REALS:
        return (REALS,)
    if words in UNDEFINED:
        return (Words("undefined"),)
    part = fraction_in_words(flat)
    if part is not None:
        return (Quantity(number(part)),)
    parts = tuple(words.split()) if "," not in flat else ()
    for count in range(len(parts), 0, -1):
        value = number_in_words(parts[:count])
        noun = parts[count:]
        if value is not None and (not noun or counted(noun)):
            return (Quantity(number(value), None, counted(noun) if noun else None),)
    return ()


def _all_but(flat: str) -> tuple[Form, ...]:
    """Return the reading of "all real numbers except 2"."""
    match = _ALL_BUT.fullmatch(flat)
    removed = readings(match[1]) if match else ()
    values = [form.items if isinstance(form, Listing) else (form,) for form in removed]
    return tuple(Difference(REALS, Finite(items)) for items in values if all(isinstance(i, Quantity) for i in items))


def _clock(flat: str) -> tuple[Clock, ...]:
    if said := _MIDDAY.fullmatch(flat):
        return (Clock(12 if said[1].lower() == "noon" else 0, 0, 0, "p" if said[1].lower() == "noon" else "a"),)
    match = _CLOCK.fullmatch(flat)
    if match is None or int(match[1]) > 23 or int(match[2] or 0) > 59 or int(match[3] or 0) > 59:
        return ()
    if match[2] is None and (match[4] is None or not 1 <= int(match[1]) <= 12):
        return ()
    return (Clock(int(match[1]), int(match[2] or 0), int(match[3] or 0), (match[4] or "").lower()),)


def _date(flat: str) -> tuple[Day, ...]:
    match = _DATE.fullmatch(flat)
    if match is None:
        return ()
    month, day = match["month"] or match["month2"], int(match["day"] or match["day2"])
    year = int(match["year"]) if match["year"] else None
    return (Day(_MONTHS.index(month.lower()) + 1, day, year),) if 1 <= day <= 31 else ()


def _based(flat: str) -> tuple[Form, ...]:
    match = _BASED.fullmatch(flat)
    if match is None or not re.search(r"\d", match[1]):
        return ()
    base = match[2] or match[3]
    try:
        return (Based(match[1].lower(), int(match[1], _BASES.get(base) or int(base))),)
    except ValueError:
        return ()
