"""Ways to damage a file, each a function of its content; None is a file that is gone.

python -m benchmarks.attack.damage FILE WAY
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[bytes], "bytes | None"]

ANY: dict[str, Damage] = {
    "missing": lambda content: None,
    "empty": lambda content: b"",
    "cut in half": lambda content: content[: len(content) // 2],
    "one byte changed": lambda content: flipped(content),
    "zeros from the middle on": lambda content: content[: len(content) // 2] + bytes(len(content) - len(content) // 2),
}
WRONG_JSON: dict[str, Damage] = {
    "a list": lambda content: b"[]\n",
    "an empty object": lambda content: b"{}\n",
    "null": lambda content: b"null\n",
    "an open brace": lambda content: b"{\n",
    "a number for every value": lambda content: json.dumps(dict.fromkeys(json.loads(content), 7)).encode() + b"\n",
}
JSON_LINES: dict[str, Damage] = {
    "a bad line in the middle": lambda content: in_the_middle(content, b'{"step": 3, "lo\n'),
    "a list for a line": lambda content: in_the_middle(content, b"[1, 2]\n"),
    "a line without its keys": lambda content: in_the_middle(content, b'{"other": 1}\n'),
    "a line of zeros": lambda content: in_the_middle(content, bytes(40) + b"\n"),
    "its last line cut": lambda content: content[:-20],
}
YAML: dict[str, Damage] = {
    "not YAML": lambda content: b"model: [countdown\n: {\n",
    "a list": lambda content: b"- 1\n- 2\n",
    "a text": lambda content: b"countdown\n",
    "null": lambda content: b"null\n",
}


def flipped(content: bytes) -> bytes:
    """One bit of the middle byte changed: the highest, so that no text in UTF-8 stays one.

    >>> flipped(b"abc")
    b'a\\xe2c'
    """
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 0x80]) + content[at + 1 :]


def in_the_middle(content: bytes, line: bytes) -> bytes:
    """The line in place of the middle one of JSON lines.

    >>> in_the_middle(b"1\\n2\\n3\\n", b"x\\n")
    b'1\\nx\\n3\\n'
    """
    lines = content.splitlines(keepends=True)
    lines[len(lines) // 2] = line
    return b"".join(lines)


def apply(damage: Damage, path: Path) -> None:
    """Damage the file in place; its folder's other files stay as they are."""
    content = damage(path.read_bytes())
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


def fitting(path: Path) -> dict[str, Damage]:
    """The damages that make sense for a file of this name."""
    more = {".json": WRONG_JSON, ".jsonl": JSON_LINES, ".yaml": YAML}.get(path.suffix, {})
    if path.suffix == ".json":
        is_object = isinstance(json.loads(path.read_bytes()), dict)
        more = more if is_object else {name: more[name] for name in ("an empty object", "null", "an open brace")}
    return {**ANY, **more}


def repro(path: Path, name: str) -> str:
    """The shell line that damages a file so.

    >>> repro(Path("run/config.yaml"), "cut in half")
    "python -m benchmarks.attack.damage run/config.yaml 'cut in half'"
    """
    return f"python -m benchmarks.attack.damage {path} {shlex.quote(name)}"


if __name__ == "__main__":
    damaged, way = Path(sys.argv[1]), sys.argv[2]
    apply(fitting(damaged)[way], damaged)
