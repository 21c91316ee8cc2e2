"""The words of answers: numbers in words, phrases that mean mathematics, nouns that are counted, words that hedge."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

_ONES = (
    r"zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    r"seventeen eighteen nineteen"
).split()
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_CHINESE = dict(zip("零一二三四五六七八九十", range(11), strict=True)) | {"两": 2}
NUMBERS = {word: n for n, word in enumerate(_ONES)} | {word: 10 * n for n, word in enumerate(_TENS, 2)}
SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}

# What a set of solutions can be in words.
NO_SOLUTION = frozenset({
    "no solution", "no solutions", "none", "no real solution", "no real solutions", "empty set",
    "no such number exists", "there is no solution", "there are no solutions", "there are no real solutions",
    "no integer solutions",
    "no such integer exists", "no such numbers exist", "no such integers exist", "no such function exists",
    "no such value exists", "no such values exist", "no values", "no value", "null set", "has no solution",
    "has no solutions", "no real roots", "no such integer", "no such number", "无解",
})  # fmt: skip
INFINITELY_MANY = frozenset({
    "infinitely many", "infinity", "infinite", "infinitely many solutions", "positive infinity", "infinite number",
    "infinite number of solutions", "infinitely many values", "an infinite number", "an infinite number of solutions",
    "无穷多", "无数",
})  # fmt: skip
ALL_REALS = frozenset({
    "all real numbers", "all reals", "all real x", "all real values", "all real values of x", "any real number",
    "every real number", "set of all real numbers", "real numbers", "reals", "all real number", "所有实数", "全体实数",
})  # fmt: skip
UNDEFINED = frozenset({"undefined", "does not exist", "dne", "not defined", "limit does not exist", "diverges"})

# Words that make a label or a sentence say something else than "the answer is".
HEDGES = frozenset(
    "not no never cannot can't isn't aren't doesn't don't won't wasn't least most than about "
    "approximately roughly between less more either maybe perhaps possibly probably might may could if or "
    "unless almost over under up any neither nor wrong incorrect except excluding other rather instead "
    "near nearly around guess guessing incorrectly unlikely likely false fewer greater exceeds below "
    "above vs versus alternatively otherwise ignoring without false estimate estimated unsure uncertain "
    "different but although however before after minus plus times".split()
)
_NEVER_COUNTED = frozenset(
    "times thousands millions billions hundreds dozens tens pairs halves thirds quarters fourths fifths "
    "sixths sevenths eighths ninths tenths hundredths thousandths plus minus less unless always perhaps "
    "others yes versus vs does has is was as this its his hers ours yours thus plusses cubes squares "
    "roots percents scores grosses modulus ones twos threes fours fives sixes sevens eights nines factors "
    "multiples powers exponents reciprocals inverses negatives opposites besides sometimes towards "
    "afterwards".split()
)
COUNTED = frozenset(
    "way people person men man women woman child children student apple square solutions cases points roots "
    "values fish sheep mice feet geese dice pence dollars cents degrees integers numbers value point solution "
    "case integer element digit edge vertex vertices matrices parabola triangle color colour game ticket coin "
    "card marble book pencil ball pen dollar egg orange banana seat page dog cat bird cow sq cubic total 个 人 "
    "种 次 只 本 条 名 页 块 枚 张 位 件 辆 支 头 棵 朵 对 组 段 步 场 局 票 分 家 间 座 双 盒 袋 瓶 杯 篇 首 "
    "句 字 题 队 级 层 号 项 排 列 种方法 种方案".split()
)
# Words before an answer that change its value.
ALTERING = frozenset(
    "twice half thrice squared cubed negation negative opposite reciprocal inverse double triple bound exclude "
    "excluded discard discarded reject rejected unequal candidate candidates option options".split()
)
# What a remark behind an answer must not say: that it may be another one.
DOUBTS = HEDGES | frozenset(NUMBERS)
_BEHIND = frozenset("left remaining altogether total in each long tall high wide old away apart deep".split())
_ADJECTIVES = frozenset(
    "square cubic sq cu different distinct possible more such whole positive red blue green white black "
    "yellow full complete extra additional total in altogether per each ordered unordered real integer "
    "prime nonnegative negative unique valid consecutive small large new old real-valued of the for all "
    "left remaining".split()
)


def number_in_words(words: tuple[str, ...]) -> int | None:
    """Return the number that words write, None for anything else.

    >>> from bandpo.rewards.mathematics.words import number_in_words
    >>> number_in_words(("two",)), number_in_words(("one", "hundred", "and", "twenty-five")), number_in_words(("to",))
    (2, 125, None)
    """
    parts = [part for word in words for part in word.lower().split("-") if part != "and" or len(words) == 1]
    if len(parts) == 1 and parts[0] in _CHINESE:
        return _CHINESE[parts[0]]
    if not parts or not all(part in NUMBERS or part in SCALES for part in parts):
        return None
    whole, group, previous = 0, 0, 1000
    for part in parts:
        if part == "hundred":
            if not 0 < group < 10:
                return None
            group, previous = group * 100, 100
        elif part in SCALES:
            if group == 0:
                return None
            whole, group, previous = whole + group * SCALES[part], 0, 1000
        else:
            value = NUMBERS[part]
            size = 10 if value >= 20 else 1
            if previous != 100 and (size >= previous or value >= previous):
                return None
            group, previous = group + value, 10 if value >= 20 else 1
    return whole + group


_PARTS = {
    word: n
    for n, names in enumerate(
        "half halves,third thirds,quarter quarters fourth fourths,fifth fifths,sixth sixths,seventh sevenths,"
        "eighth eighths,ninth ninths,tenth tenths".split(","),
        2,
    )
    for word in names.split()
}


def fraction_in_words(text: str) -> Fraction | None:
    """Return the fraction that words write, None for anything else.

    >>> from bandpo.rewards.mathematics.words import fraction_in_words
    >>> fraction_in_words("two thirds"), fraction_in_words("one and a half"), fraction_in_words("half of it")
    (Fraction(2, 3), Fraction(3, 2), None)
    """
    before, joint, last = text.lower().strip(" .").rpartition(" and ")
    whole = number_in_words(tuple(before.split())) if joint else 0
    *count, part = last.replace("-", " ").split() or [""]
    above = 1 if count in ([], ["a"], ["an"]) else number_in_words(tuple(count))
    below = _PARTS.get(part)
    is_counted = bool(count) or (part == "half" and not joint)
    is_plural = part.endswith("s")
    if whole is None or above is None or below is None or not is_counted or is_plural != (above > 1):
        return None
    return None if joint and above >= below else whole + Fraction(above, below)


def counted(words: Sequence[str]) -> str | None:
    """Return the noun of words that a number counts, in the singular: "apples", "red marbles left"; None for others.

    >>> from bandpo.rewards.mathematics.words import counted
    >>> counted(["red", "marbles"]), counted(["dozens"]), counted(["or", "more"])
    ('marble', None, None)
    """
    said = [word.lower() for word in words]
    while len(said) > 1 and said[-1] in _BEHIND:
        said.pop()
    if not said or len(said) > 4 or not _is_noun(said[-1]):
        return None
    is_described = all(word in _ADJECTIVES or _is_noun(word) for word in said[:-1])
    return said[-1].removesuffix("s") if is_described else None


def _is_noun(word: str) -> bool:
    is_part = word.endswith(("ths", "illions")) and word not in ("months", "lengths", "widths", "depths", "paths")
    is_plural = re.fullmatch(r"[a-z]{3,}s", word) is not None and not word.endswith("ss") and not is_part
    return word in COUNTED or (is_plural and word not in _NEVER_COUNTED and word not in HEDGES)


def as_words(text: str) -> str | None:
    """Return a text of words in the form that two are compared in, None where there is more to it than words.

    >>> from bandpo.rewards.mathematics.words import as_words
    >>> as_words("The Circle"), as_words("Yes, it is."), as_words("3 apples"), as_words("a - b")
    ('circle', 'yes', None, None)
    """
    bare = text.strip(" .!\"'")
    if not re.fullmatch(r"[A-Za-z\u4e00-\u9fff][A-Za-z\u4e00-\u9fff ,;.'-]*", bare) or re.search(
        r"(?<![A-Za-z])-|-(?![A-Za-z])", bare
    ):
        return None
    if not re.search(r"[A-Za-z]{2}|[\u4e00-\u9fff]", bare) or re.search(r"\b[A-Za-z]-|-[A-Za-z]\b", bare):
        return None
    words = [word for word in re.findall(r"[^\s,;.]+", bare.casefold()) if word not in ("a", "an", "the", "and")]
    return " ".join(words[:1] if _is_echoed(words) else words) or None


_VERBS = frozenset("is does are do did was were can will has have".split())
_NEGATED = frozenset({"not", "cannot", "can't", "won't"}) | {f"{verb}n't" for verb in _VERBS}
_PRONOUNS = frozenset("it he she they this that statement".split())


def _is_echoed(words: Sequence[str]) -> bool:
    """Return whether words are yes or no and then the same once more: "no, it does not", never "no, it does"."""
    if len(words) < 2 or words[0] not in ("yes", "no", "true", "false"):
        return False
    said = set(words[1:])
    is_negated = bool(said & _NEGATED)
    is_negation = words[0] in ("no", "false") and bool(said & _VERBS or is_negated)
    return said <= _PRONOUNS | _VERBS | _NEGATED and is_negated == is_negation
