"""The code blocks of a page of docs/engines."""

import json
import re
import shlex
from pathlib import Path

PAGES = Path(__file__).parents[2] / "docs" / "engines"


def blocks(page, language):
    """Bodies of the page's fenced blocks in that language, in order."""
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def arguments(block):
    """Words of a shell command after the module it runs."""
    words = shlex.split(block.replace("\\\n", " "))
    return words[words.index("-m") + 2 :]


def as_options(words):
    """key=value words as the flat options of `bandpo doctor`."""
    return {name.lstrip("+"): _value(text) for name, text in (word.split("=", 1) for word in words if "=" in word)}


def _value(text):
    try:
        return json.loads(text)
    except ValueError:
        return text
