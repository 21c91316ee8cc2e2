r"""The final answer of a completion: linear string work, safe on a megabyte of anything.

What counts is the end: the last `\boxed{...}`, `<answer>` tag or line after "Answer:", whichever comes latest. Only
without any of them does the last sentence count, as a whole. Nothing is looked for inside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bandpo.rewards.mathematics.text import LONGEST
from bandpo.rewards.mathematics.words import DOUBTS, HEDGES

TAIL = 4000
_MOST_BOXES = 8

_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE = re.compile(r"[^\s${}\\.,;]+")
_JOINS_BOXES = re.compile(
    r"(?:[\s$,;./|&*•()-]|\\\\|\\q?quad|\\[lr]?or\b|\\text\{|\}|\b(?:and|or|also|alternatively)\b|和|或"
    r"|\d{1,2}[.)]\s|[A-Da-d]\)\s|(?<![a-zA-Z])[a-zA-Z]\w?\s*=)*"
)
_OR_BEFORE = re.compile(r"(?:\bor\b|或)(?:\s+(?:maybe|perhaps|possibly|else))?\s*\}?[\s$]*(?:[a-zA-Z]\w?\s*=)?[\s$]*\Z")
_OR_BEHIND = re.compile(
    r"[\s$]*[,;]\s*\$?\s*(?:[-+]?\d|\\(?!boxed|fbox|text|quad|qquad)[a-z])[^\n]{0,80}"
    r"|[\s$,;.)]*(?:\\text\{\s*)?\(?\s*(?:and/or\b|or\b|或|/\s*\\?[\w{]|but\b|maybe\b|perhaps\b)[^\n]{0,80}"
)
_DENIED_BEFORE = re.compile(
    r"(?:\bnot|n't|\bnever|\bcannot be|\bincorrectly)\s*(?:be\s*)?(?:\*\*)?[\s$]*\Z", re.IGNORECASE
)
_DENIED_BEHIND = re.compile(
    r"[\s$*.]*(?:(?:is|was|would be|seems|looks)\s+(?:not|wrong|incorrect|false|impossible|too)|isn't|wasn't)\b",
    re.IGNORECASE,
)
# What stands before or behind a box and goes on with its formula.
_GOES_ON_BEFORE = re.compile(
    r"(?:[\d)}\]^_]|(?<!\*)[^\s*]\*|[^\n\s-][ \t]*[-+/<>]|(?:\$|\\\[|=)[ \t]*[-+][ \t]*|^[-+]"
    r"|(?:[\d)}\]]|(?<![A-Za-z])[a-zA-Z])[ \t]*[-+/<>][ \t]*"
    r"|\\(?:pm|mp|times|cdot|div|sqrt|ln|log|sin|cos|tan|exp|frac|le|ge|leq|geq|lt|gt|ne|neq|in|notin|approx)\s*"
    r"|(?:\\frac\{[^{}]*\}|[\^_])\{)\Z"
)
_GOES_ON_BEHIND = re.compile(
    r"\s*(?:\\,|\\;|\\ )*\s*(?:[+^!_=<>]|-\s*[\d\\({]|-[a-z]\b|\*\s*[\d\\({a-z]|/\s*\d|\d|\(\s*[\d\\]"
    r"|\\(?:pi|sqrt|frac|times|cdot|div|pm|mp|le|ge|leq|geq|ne|neq|pmod|bmod|infty|approx)\b)|[a-zA-Z]|\.\d"
)
# A bracket around several boxes belongs to the answer; one that lists something before a box goes on.
_OPENS = re.compile(r"(?:\\left\s*|(?<![A-Za-z\\]))(\(|\[|\\\{)[\s$]*\Z")
_CLOSES = re.compile(r"[\s$]*(?:\\right\s*)?(\)|\]|\\\})")
_LISTED_BEFORE = re.compile(r"(?:(?<!\\)[(\[]|\\\{)\s*[-+\\\w{}^/. ]{1,40}[,;]\s*\Z")
_UNIT_BEHIND = re.compile(r"\s*(?:\\?%|\^\\circ|\^\{\\circ\}|°)")
_MARK = re.compile(
    r"(?:\banswer\b(?:\s+is)?[ \t]*(?:\*\*|__)?[ \t]*[:：]|(?:最终|最后)?的?答案[ \t]*(?:是|为|[:：])[ \t]*[:：]?"
    r"|^####[ \t]*(?=[-+$\\\d]))",
    re.IGNORECASE | re.MULTILINE,
)
_TAG = re.compile(r"<answer>", re.IGNORECASE)
_TAG_END = re.compile(r"</answer>", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?。])(?<!\b[A-Z]\.)(?:\*\*|\$)?\s+(?=[A-Z\"'*$\\(])|(?<=。)")
_CONNECTIVE = re.compile(
    r"(?:(?:and so|so|thus|hence|therefore|finally|consequently|then|in conclusion|overall|in total|altogether"
    r"|as a result|this means that|it follows that|we (?:conclude|find|see|get|obtain|have)(?: that)?)(?![A-Za-z])"
    r"[,:，]?\s*|(?:所以|因此|故|综上)[,:，]?\s*)+",
    re.IGNORECASE,
)
_STILL_WORKING = re.compile(
    r"(?:let|suppose|assume|check|compute|calculate|try|first|second|next|now|consider|step|if|when|note|recall|given|wait|"
    r"maybe|perhaps|since|because|for example|for instance|e\.g)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Answer:
    """The answer that a completion gives.

    Attributes:
        text: the answer itself, without box or label; empty where there is none.
        mark: "box", "line", "tag", "sentence", or "" where there is none.
    """

    text: str
    mark: str

    @property
    def is_marked(self) -> bool:
        """Tell whether it stood in a box, in a tag or after "Answer:"."""
        return self.mark in ("box", "line", "tag")


NONE = Answer("", "")


def final_answer(text: str) -> Answer:
    r"""Return the answer that a completion ends with.

    Boxes with nothing but "and", "or" or a comma between them are one answer of several parts, so that naming every
    candidate does not pay. A last box that is cut off is no answer.

    >>> from bandpo.rewards.answers import final_answer
    >>> final_answer(r"So \boxed{3}, no: \boxed{\frac{1}{2}}.").text
    '\\frac{1}{2}'
    >>> final_answer("First 7.\nAnswer: 12").text
    '12'
    >>> final_answer(r"$x = \boxed{1}$ or $x = \boxed{2}$").text
    '1, 2'
    """
    box = max(text.rfind(r"\boxed"), text.rfind(r"\fbox"))
    start = max(0, len(text) - TAIL)
    tag = max((match.start() for match in _TAG.finditer(text, start)), default=-1)
    line = max((match.end() for match in _MARK.finditer(text, start)), default=-1)
    if tag > max(box, line) or (tag >= 0 and _TAG_END.search(text, max(box, line))):
        return _tagged(text, tag)
    if line > box:
        begun = text.rfind("\n", 0, line) + 1
        marks = [match.end() for match in _MARK.finditer(text, begun, line)]
        return Answer(_line(text, min(marks, default=line)), "line")
    if box >= 0:
        return Answer(_boxed(text, box), "box")
    return Answer(_last_sentence(text[start:]), "sentence")


def _tagged(text: str, at: int) -> Answer:
    """Return what a tag holds: a box in it, a line in it, or all of it; nothing where it is never closed."""
    start = at + len("<answer>")
    end = _TAG_END.search(text, start)
    if end is None:
        return NONE
    inside = text[start : end.start()]
    before = text.rfind("</answer>", 0, at)
    if before >= 0 and _JOINS_BOXES.fullmatch(text, before + len("</answer>"), at):
        return Answer("? " + " ".join(inside.split()), "tag")
    if _BOX.search(inside) or _MARK.search(inside):
        return Answer(final_answer(inside).text, "tag")
    return Answer(" ".join(inside.split()), "tag")


def _line(text: str, at: int) -> str:
    """Return what follows "Answer:": the rest of the line, the next one where it is empty, a whole display formula."""
    rest = re.sub(r"\A(?:[ \t]*(?:\*\*|__)?[ \t]*\n)*[ \t]*", "", text[at : at + TAIL])
    display = re.match(r"(?:\*\*)?\s*(?:\$\$(.+?)\$\$|\\\[(.+?)\\\])", rest, re.DOTALL)
    if display and "\n" in display.group():
        return " ".join((display[1] or display[2]).split())
    line = rest.partition("\n")[0].strip(" \t_")
    if line.count("**") % 2:
        line = line.removeprefix("**") if line.startswith("**") else line.removesuffix("**")
    return _without_remarks(line.strip())


def _without_remarks(text: str) -> str:
    """Return a text without sentences behind it that say nothing: no number, no formula, nothing that hedges."""
    sentences = _SENTENCE_END.split(text)
    while len(sentences) > 1:
        words = re.findall(r"[a-z']+", sentences[-1].lower())
        if re.search(r"[\d\\$=]|\b[A-J]\b(?! [a-z])", sentences[-1]) or set(words) & DOUBTS or not words:
            break
        sentences.pop()
    kept = (
        text
        if len(sentences) == len(_SENTENCE_END.split(text))
        else text[: text.rfind(sentences[-1]) + len(sentences[-1])]
    )
    return kept.strip()


def _boxed(text: str, at: int) -> str:
    """Return what stands in the box at `at` and those joined to it, with what touches it; "" where it is cut off."""
    last = _box_content(text, at)
    if last is None:
        return ""
    content, end = last
    parts, around = [content], 0
    while len(parts) < _MOST_BOXES and around < _MOST_BOXES:
        before = max(text.rfind(r"\boxed", 0, at), text.rfind(r"\fbox", 0, at))
        found = _box_content(text, before) if before >= 0 else None
        if found is None:
            break
        if found[1] > end:
            parts, at, end, around = [found[0]], before, found[1], around + 1
            continue
        if found[1] > at or at - found[1] > 40 or not _JOINS_BOXES.fullmatch(text, found[1], at):
            break
        parts.insert(0, found[0])
        at = before
    before, behind = text[max(0, at - 60) : at], text[end : end + 100]
    if len(parts) > 1 and (opening := _OPENS.search(before)):
        closing = _CLOSES.match(behind)
        return f"{opening[1]}{', '.join(parts)}{closing[1]}" if closing else f"? {content}"
    return _in_its_place(", ".join(parts), before, behind)


def _in_its_place(content: str, before: str, behind: str) -> str:
    """Return what a box holds; unread where its formula goes on outside, or words offer another or take it back."""
    if not content:
        return ""
    if _OR_BEFORE.search(before):
        return f"or {content}"
    if unit := _UNIT_BEHIND.match(behind):
        content, behind = content + unit.group(), behind[unit.end() :]
    if offered := _OR_BEHIND.match(behind):
        return f"{content} {offered.group().strip()}"
    if _DENIED_BEFORE.search(before) or _DENIED_BEHIND.match(behind):
        return f"not {content}"
    if _LISTED_BEFORE.search(before) or _GOES_ON_BEFORE.search(before) or _GOES_ON_BEHIND.match(behind):
        return f"? {content}"
    return content


def _box_content(text: str, at: int) -> tuple[str, int] | None:
    """Return content and end of the box at `at`, None where its brace is never closed."""
    start = _BOX.match(text, at)
    if start is None:
        return None
    if not text.startswith("{", start.end()):
        bare = _BARE.match(text, start.end())
        return (bare.group(), bare.end()) if bare else None
    depth = 0
    for brace in _BRACE.finditer(text, start.end()):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if depth == 0:
            return text[start.end() + 1 : brace.start()].strip(), brace.end()
    return None


def _last_sentence(text: str) -> str:
    """Return the last sentence without the word that concludes; "" where it does not conclude."""
    paragraph = next((line for line in reversed(text.split("\n")) if line.strip(" \t*_#$")), "")
    if "\n" in text.strip() and paragraph.strip() in ("\\]", "$$"):
        return ""
    kept = _without_remarks(paragraph.strip())
    sentence = _SENTENCE_END.split(kept)[-1].strip() if kept else ""
    if len(sentence) > LONGEST or _STILL_WORKING.match(sentence.lstrip("*_ ")):
        return ""
    concluded = _CONNECTIVE.sub("", sentence, count=1) if _CONNECTIVE.match(sentence) else sentence
    words = set(re.findall(r"[a-z']+", re.sub(r"\\[a-z]+", " ", concluded.lower())))
    return (
        ""
        if words & HEDGES - {"before", "after", "other", "or"} or _STILL_WORKING.match(concluded)
        else concluded.strip()
    )
