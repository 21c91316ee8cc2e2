"""docs/reproduce.md says what the recipes say."""

import re
from pathlib import Path

from bandpo.runs.paper import arms, gpu_hours, models

PAGE = (Path(__file__).parents[2] / "docs" / "reproduce.md").read_text(encoding="utf-8")


def test_every_run_of_the_paper_has_its_hours():
    rows = dict(re.findall(r"^\| `([^`]+)` \|.*\| ([\d,]+) \| \d+ h \|$", PAGE, re.MULTILINE))
    assert rows == {name: f"{gpu_hours(name):,.0f}" for name in models()}
    for name in models():
        assert f"{gpu_hours(name) / 8:.0f} h" in PAGE


def test_every_method_is_named():
    assert all(f"`{name}`" in PAGE for name in arms())
