"""One bad input: what is typed, which files lie there, what must happen; and the shell lines that repeat it."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

_LONGEST_SHOWN = 300


@dataclass(frozen=True)
class Case:
    """A command with its surroundings and what must come of it.

    Attributes:
        kind: the row of the table it counts in.
        name: what is wrong, unique.
        argv: arguments of `bandpo`.
        files: path in the working folder -> content, written before.
        must: "refuse", end with another exit code than 0 and a sentence; "work", exit code 0; "either".
        says: one of these has to be in the message of a refusal, in small letters.
        env: environment variables besides.
        setup: Python code that is run in the working folder before.
        own_code: name of the user's module whose error may be shown with its traceback.
        keeps: files that must be the same afterwards.
    """

    kind: str
    name: str
    argv: tuple[str, ...]
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    must: Literal["refuse", "work", "either"] = "refuse"
    says: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    setup: str = ""
    own_code: str | None = None
    keeps: tuple[str, ...] = ()

    def repro(self) -> str:
        """Shell lines that do the same in an empty folder; long ones are cut, `--case` repeats them whole.

        >>> Case("kind", "name", ("train", "--seed", "a b"), {"a.txt": "1"}).repro()
        "printf %s 1 > a.txt; bandpo train --seed 'a b'"
        """
        lines = [_writing(path, content) for path, content in self.files.items()]
        if self.setup:
            lines.append(f"python -c {_shown(self.setup)}")
        variables = [f"{name}={_shown(value)}" for name, value in self.env.items()]
        lines.append(" ".join([*variables, "bandpo", *map(_shown, self.argv)]))
        return "; ".join(lines)


def _shown(text: str) -> str:
    """The text as a shell takes it: control characters in $'...', what is too long cut."""
    if len(text) > _LONGEST_SHOWN:
        text = f"{text[:60]}... ({len(text):,} characters)"
    if text.isprintable() or set(text) - {"\n"} <= set(map(chr, range(32, 127))):
        return shlex.quote(text)
    escaped = "".join(_escaped(character) for character in text)
    return f"$'{escaped}'"


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    return character if character.isprintable() else f"\\u{ord(character):04x}"


def _writing(path: str, content: str | bytes) -> str:
    folder = path.rpartition("/")[0]
    make = f"mkdir -p {_shown(folder)}; " if folder else ""
    if isinstance(content, str):
        return f"{make}printf %s {_shown(content)} > {_shown(path)}"
    coded = base64.b64encode(content).decode()
    return f"{make}echo {_shown(coded)} | base64 -d > {_shown(path)}"
