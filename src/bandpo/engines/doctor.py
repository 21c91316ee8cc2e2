"""Whether a trust region will act in an engine under given options: findings, and where each engine's check is.

An engine plugs in with one function, `check(options) -> list[Finding]`, in `bandpo.engines.NAME`, or in
`bandpo.engines.checks.NAME` where the adapter cannot be imported without its engine. Options are flat: dotted names as
the engine's configuration nests them, without a leading + or --, and with underscores for hyphens.
Names that nobody reads are failures where that is certain, see `names_findings`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import math
import pkgutil
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bandpo.engines._names import did_you_mean, is_group, misspelt

Options = Mapping[str, Any]
LEVELS = ("ok", "warn", "fail")
# What else is in the package; a helper of several adapters belongs here too, or starts with an underscore.
_NO_ENGINES = {"activity", "checks", "doctor", "objective", "stand_ins"}


@dataclass(frozen=True)
class Finding:
    """One line of a diagnosis.

    Attributes:
        level: "ok"; "warn", the trust region acts but not quite as the options say; "fail", it will not act.
        text: what was found, one sentence.
        advice: what to do about it, "" for nothing.
    """

    level: str
    text: str
    advice: str = ""

    def __post_init__(self):
        if self.level not in LEVELS:
            raise ValueError(f"level={self.level!r}: expected one of {', '.join(map(repr, LEVELS))}")


class Given(dict[str, Any]):
    """Options as a user wrote them, and the names among them that hydra is told to add (`+name=value`).

    >>> given = Given({"a": 1, "b": 2}, added=["b"])
    >>> given == {"a": 1, "b": 2}, given.added
    (True, frozenset({'b'}))
    """

    def __init__(self, options: Options, added: Iterable[str] = ()):
        super().__init__(options)
        self.added = frozenset(added)


def engines() -> list[str]:
    """Names of the engines that have a check.

    >>> "trl" in engines()
    True
    """
    import bandpo.engines
    import bandpo.engines.checks

    folders = [*bandpo.engines.__path__, *bandpo.engines.checks.__path__]
    found = {module.name for module in pkgutil.iter_modules(folders)}
    return sorted(name for name in found - _NO_ENGINES if not name.startswith("_"))


def diagnose(engine: str, options: Options) -> list[Finding]:
    """What the engine's check says about these options.

    Raises:
        ValueError: no such engine.

    >>> [finding.level for finding in diagnose("trl", {"num_iterations": 1})][-1]
    'fail'
    """
    if engine not in engines():
        raise ValueError(f"no engine {engine!r}: expected one of {', '.join(engines())}")
    return find_check(engine)(options)


def find_check(engine: str) -> Callable[[Options], list[Finding]]:
    """The engine's `check`."""
    beside = f"bandpo.engines.checks.{engine}"
    module = beside if importlib.util.find_spec(beside) is not None else f"bandpo.engines.{engine}"
    return importlib.import_module(module).check


def release(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, for comparisons.

    >>> release("0.10.0.dev1") > release("0.9.1")
    True
    """
    leading = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, leading.group().split("."))) if leading else ()


def is_installed(package: str) -> bool:
    """Whether a distribution of that name is installed; a folder of the name that Python could import does not count.

    >>> is_installed("torch"), is_installed("no-such-engine")
    (True, False)
    """
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def installed(
    package: str, minimum: str, tested: tuple[str, ...] = (), below: str | None = None, install: str | None = None
) -> Finding:
    """Whether a package is installed in a version that the adapter was written for.

    Args:
        package: its distribution.
        minimum: oldest supported version.
        tested: versions that the contract tests run with.
        below: the first version that is known not to work, or for which nothing is known.
        install: command that installs it, pip's by default.

    >>> installed("torch", "2.4").level, installed("no-such-engine", "1.0").level
    ('ok', 'fail')
    """
    install = install or f"pip install '{package}>={minimum}{f',<{below}' if below else ''}'"
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return Finding("fail", f"{package} is not installed here", install)
    if release(version) < release(minimum):
        return Finding("fail", f"{package} {version} is older than {minimum}, the oldest supported", install)
    if below is not None and release(version) >= release(below):
        return Finding("fail", f"{package} {version}: supported below {below}", install)
    if tested and release(version) not in map(release, tested):
        return Finding("warn", f"{package} {version} is supported, but tests ran with {', '.join(tested)}")
    return Finding("ok", f"{package} {version}, supported")


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


def cut(sentence: str) -> tuple[str, str]:
    """Text and advice of a sentence that has both.

    >>> cut("The ratio is always 1; set num_iterations above 1")
    ('The ratio is always 1', 'set num_iterations above 1')
    """
    text, _, advice = sentence.partition("; ")
    return text, advice


def count(options: Options, name: str, default: int | None = None) -> Any:
    """The option as a whole number of at least 1, `default` where it is not given or null; ValueError for any other.

    >>> count({"epochs": "2"}, "epochs"), count({}, "epochs", 1)
    (2, 1)
    """
    value = number(options, name, default)
    if value is not None and not (1 <= value < math.inf and value == int(value)):
        raise ValueError(f"{name}={options.get(name)!r}: expected a whole number of at least 1")
    return None if value is None else int(value)


def number(options: Options, name: str, default: Any = None) -> Any:
    """The option as a number, `default` where it is not given or null; a string such as "1e-6" is read.

    Raises:
        ValueError: it is no number.

    >>> number({"lr": "1e-6"}, "lr"), number({}, "ppo_epochs", 1)
    (1e-06, 1)
    """
    value = options.get(name)
    if value is None:
        return default
    if not isinstance(value, (int, float, str)) or isinstance(value, bool):
        raise ValueError(f"{name}={value!r}: expected a number")
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"{name}={value!r}: expected a number") from None


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with dotted names.

    >>> flat({"actor": {"clip": {"low": 0.2}, "epochs": 1}})
    {'actor.clip.low': 0.2, 'actor.epochs': 1}
    """
    options: dict[str, Any] = {}
    for name, value in nested.items():
        is_group = isinstance(value, Mapping) and value
        options.update(flat(value, f"{prefix}{name}.") if is_group else {f"{prefix}{name}": value})
    return options


def prefixed(options: Options, prefix: str) -> dict[str, Any]:
    """Options under a dotted prefix, without it.

    >>> prefixed({"actor.optim.lr": 1, "actor.clip": 2, "critic.lr": 3}, "actor")
    {'optim.lr': 1, 'clip': 2}
    """
    return {name[len(prefix) + 1 :]: value for name, value in options.items() if name.startswith(f"{prefix}.")}
