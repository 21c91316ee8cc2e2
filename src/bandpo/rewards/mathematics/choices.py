"""Multiple choice: which letter an answer gives, alone or with the text of the choice behind it."""

from __future__ import annotations

import re

from bandpo.rewards.mathematics.words import HEDGES

_LETTER = re.compile(r"\(?\s*([A-J])\s*\)?")
_LETTERS = re.compile(r"\(?[A-J]\)?(?:(?:\s*[,;&]\s*(?:and\s+)?|\s+and\s+|\s+)\(?[A-J]\)?)+")
_LEAD = re.compile(
    r"(?:the\s+)?(?:(?:correct|right|best|final)\s+)?(?:(?:option|choice|answer|选项|故选|选)s?)\s*(?:is|:|为|是)?\s*:?\s*",
    re.IGNORECASE,
)
_ONE = re.compile(r"(?:\(\s*([A-J])\s*\)|([A-J])(?![A-Za-z0-9^_'])(\))?)")
_OTHERS = frozenset(
    "option options choice choices answer answers also too both first second third fourth fifth".split()
)
_ANOTHER = re.compile(
    r"\(\s*[a-j]\s*\)|[,;]\s*[a-j]\W*$|[\u2460-\u24ff\u0400-\u04ff]|(?i:\bsee [a-j]\b|option[a-j]\b)"
    r"|^[\s.)]*\(?[a-kK]\)?\W*$"
    r"|(?<![A-Za-z\\])(?:[B-J]|A(?!\s[a-z]))(?![A-Za-z'])"
)


def letters_of(reference: str) -> frozenset[str] | None:
    """Return the letters of a reference that is one choice or several, None where it is none.

    >>> from bandpo.rewards.mathematics.choices import letters_of
    >>> letters_of("(C)"), sorted(letters_of("A, C")), letters_of("AB")
    (frozenset({'C'}), ['A', 'C'], None)
    """
    text = reference.strip(" .")
    one = _LETTER.fullmatch(text)
    if one:
        return frozenset(one[1])
    if not _LETTERS.fullmatch(text):
        return None
    letters = re.findall(r"[A-J]", re.sub(r"\band\b", "", text))
    return frozenset(letters) if letters == sorted(set(letters)) else None


def chosen(answer: str) -> frozenset[str] | None:
    """Return the letters that an answer gives, None where it gives none or more than it may.

    >>> from bandpo.rewards.mathematics.choices import chosen
    >>> chosen("Option C"), chosen("(C) 12"), chosen("C or D"), chosen("B. C is wrong")
    (frozenset({'C'}), frozenset({'C'}), None, None)
    """
    text = answer.strip(" *_.:")
    text = text[match.end() :] if (match := _LEAD.match(text)) else text
    if _LETTERS.fullmatch(text) or _LETTER.fullmatch(text):
        letters = re.findall(r"[A-J]", re.sub(r"\band\b", "", text))
        return frozenset(letters) if len(set(letters)) == len(letters) else None
    if re.fullmatch(r"[A-J]{2,5}", text) and list(text) == sorted(set(text)):
        return frozenset(text)
    one = _ONE.match(text)
    if one is None:
        return None
    rest = text[one.end() :]
    return frozenset(one[1] or one[2]) if _is_text_of_choice(rest, one[1] is not None or one[3] is not None) else None


def _is_text_of_choice(rest: str, is_bracketed: bool) -> bool:
    """Return whether what stands behind a letter is the text of its choice: no other letter, nothing that hedges."""
    bare = rest.strip(" .):*")
    if not bare:
        return True
    is_apart = is_bracketed or re.match(r"\s*[.:)\-]\s*|\s*\n|\s+\(", rest) is not None
    if not is_apart or re.match(r"\s*[=+^/*<>,&]", rest) or "?" in rest:
        return False
    words = re.findall(r"[a-z']+", bare.lower())
    return not _ANOTHER.search(rest) and not (set(words) & (HEDGES | _OTHERS))
