"""What a check finds: findings, and those about names that nobody reads."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from bandpo.engines.common.names import did_you_mean, is_group, misspelt
from bandpo.engines.common.options import Options

LEVELS = ("ok", "warn", "fail")


@dataclass(frozen=True)
class Finding:
    """One line of a diagnosis.

    Attributes:
        level: "ok"; "warn", the trust region acts but not quite as the options say; "fail", it will not act.
        text: what was found, one sentence.
        advice: what to do about it, "" for nothing.

    >>> print(Finding("fail", "the ratio is always 1", "set num_iterations above 1"))
    the ratio is always 1; set num_iterations above 1
    """

    level: str
    text: str
    advice: str = ""

    def __post_init__(self):
        if self.level not in LEVELS:
            raise ValueError(f"level={self.level!r}: expected one of {', '.join(map(repr, LEVELS))}")

    def __str__(self) -> str:
        return f"{self.text}; {self.advice}" if self.advice else self.text


class FindingWarning(UserWarning):
    """A finding that nobody asked for."""

    def __init__(self, finding: Finding):
        super().__init__(str(finding))
        self.finding = finding


def names_findings(engine: str, options: Options, known: Collection[str], is_complete: bool = False) -> list[Finding]:
    """Return a failure for every option that nobody reads, and a line that says which names were not checked.

    Args:
        engine: what the findings call it.
        options: by their dotted names.
        known: every dotted name that is read, groups as a whole or by their members.
        is_complete: the engine takes no other names; else a name is a mistake only if it is close to a known one.

    >>> for finding in names_findings("AReaL", {"actor.eps_clp": 0.2, "seed": 1}, ["actor.eps_clip"]):
    ...     print(finding.level, finding.text, finding.advice)
    fail actor.eps_clp=0.2: no option of AReaL did you mean actor.eps_clip?
    ok not checked here: seed
    """
    others = [name for name in options if name not in known and not is_group(name, known)]
    meant = {name: did_you_mean(name, known) for name in others} if is_complete else misspelt(others, known)
    findings = [
        Finding("fail", f"{name}={options[name]!r}: no option of {engine}", f"did you mean {right}?" if right else "")
        for name, right in meant.items()
    ]
    rest = [name for name in others if name not in meant]
    return [*findings, *([Finding("ok", f"not checked here: {', '.join(rest)}")] if rest else [])]


def known_names(first: Finding, engine: str, options: Options, known: Collection[str]) -> list[Finding]:
    """Return an engine's first finding with the names that were not checked added, then failures for misspelt ones.

    For engines that refuse unknown names themselves as they start.

    >>> found = known_names(Finding("ok", "AReaL 1"), "AReaL", {"actor.eps_clp": 1, "seed": 1}, ["actor.eps_clip"])
    >>> [finding.text for finding in found]
    ['AReaL 1; not checked: seed', 'actor.eps_clp=1: no option of AReaL']
    """
    mistakes = names_findings(engine, options, known)
    if mistakes and mistakes[-1].level == "ok":
        rest = mistakes.pop().text.removeprefix("not checked here: ")
        first = replace(first, text=f"{first.text}; not checked: {rest}")
    return [first, *mistakes]
