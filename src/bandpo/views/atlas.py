"""The atlas: one page that opens offline and shows every method as two maps, with sliders for its options.

Every frame of every slider is computed here, by the library itself, and stored in the page in hundredths; the page's
own code only chooses which frame to show. Plotly draws.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

import bandpo
from bandpo.core.methods.method import Method
from bandpo.views.atlas_axes import THEMES, draw_axes, theme_of
from bandpo.views.knobs import Knob, knobs
from bandpo.views.listing import ANCHORS, FAMILIES, SCOPES, describe, option_words, written
from bandpo.views.maps import Grid, situation, weights

GRID = Grid.of(columns=151, rows=161)
PER_UNIT, NO_VALUE, _LARGEST = 100, -32768, 32767


def check_target(path: str | Path) -> Path:
    """Return the file to write the page to.

    Raises:
        ValueError: it does not end in .html, or its folder is not there.

    >>> check_target("atlas.html").name
    'atlas.html'
    """
    path = Path(path)
    if path.suffix not in (".html", ".htm"):
        raise ValueError(f"out={str(path)!r}: expected a file ending in .html")
    if not path.parent.is_dir():
        raise ValueError(f"out={str(path)!r}: no folder {str(path.parent)!r}")
    return path


def draw_sheet(method: Method, grid: Grid = GRID) -> dict[str, Any]:
    """Return all that the page shows of one method: what the registry says, its knobs, the frames they lead to.

    Args:
        method: the method.
        grid: where the weight is computed.

    Returns:
        A dictionary for the page's template; frame 0 is the authors' values.

    >>> sheet = draw_sheet(bandpo.get_method("cfpo"), Grid.of(5, 5))
    >>> sheet["knobs"][0]["frames"]
    [1, 0, 2, 3, 4, 5]
    """
    shown = situation(method)
    frames = [_frame(method, grid, {})]
    moved, idle = [], []
    for knob in [*_choices(method), *knobs(method, shown.options)]:
        knob, numbers = _drawn(method, grid, knob, frames)
        if any(numbers):
            moved.append({**knob._asdict(), "frames": numbers})
        else:
            idle.append(knob.name)
    packed = zlib.compress(np.stack(frames).astype("<i2").tobytes(), 9)
    return {
        **describe(method),
        "options": {name: written(value) for name, value in method.hyperparameters.items()},
        "words": option_words(method),
        "note": shown.note,
        "knobs": moved,
        "idle": idle,
        "frames": base64.b64encode(packed).decode(),
    }


def _drawn(method: Method, grid: Grid, knob: Knob, frames: list[np.ndarray]) -> tuple[Knob, list[int]]:
    """Return a knob without the values that the method refuses, and the number of the frame of each that is left."""
    labels, settings, numbers = [], [], []
    for label, setting in zip(knob.labels, knob.settings, strict=True):
        try:
            frame = _frame(method, grid, setting)
        except ValueError:
            continue
        labels.append(label)
        settings.append(setting)
        numbers.append(_number_of(frame, frames))
    return knob._replace(labels=labels, settings=settings, start=labels.index(knob.labels[knob.start])), numbers


def _choices(method: Method) -> list[Knob]:
    """Return the further choice that a situation offers, as a knob."""
    choices = situation(method).choices
    if choices is None:
        return []
    name, entries = choices
    return [Knob(name, [label for label, _ in entries], [dict(setting) for _, setting in entries], 0, False)]


def _frame(method: Method, grid: Grid, setting: dict[str, Any]) -> np.ndarray:
    """Return both maps, (2, rows, columns), in hundredths; NO_VALUE where r p is above 1."""
    hundredths = (weights(method, grid, setting) * PER_UNIT).round().clamp(-_LARGEST, _LARGEST)
    return torch.where(grid.impossible, float(NO_VALUE), hundredths).numpy().astype(np.int16)


def _number_of(frame: np.ndarray, frames: list[np.ndarray]) -> int:
    """Return the number of a frame, which joins the others unless it is there already."""
    for number, known in enumerate(frames):
        if np.array_equal(frame, known):
            return number
    frames.append(frame)
    return len(frames) - 1


def render(sheets: Sequence[dict[str, Any]], grid: Grid = GRID) -> str:
    """Return the page.

    Args:
        sheets: of the methods, family by family, see `draw_sheet`.
        grid: the one they were drawn on.

    Returns:
        HTML that loads nothing.
    """
    folder = resources.files("bandpo.views") / "page"
    style, script, template = ((folder / f"atlas.{kind}").read_text("utf-8") for kind in ("css", "js", "html.j2"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["linked"] = _linked
    data = {
        "sheets": {sheet["name"]: _carried(sheet) for sheet in sheets},
        "figure": draw_axes(grid),
        "themes": {name: theme_of(**colours) for name, colours in THEMES.items()},
        "shape": [len(grid.log_ratio), len(grid.log_odds)],
        "p": [float(f"{p:.4g}") for p in grid.p.tolist()],
        "per_unit": PER_UNIT,
        "no_value": NO_VALUE,
    }
    return environment.from_string(template).render(
        version=bandpo.__version__,
        sheets=sheets,
        families=FAMILIES,
        anchors=ANCHORS,
        scopes=SCOPES,
        themes=THEMES,
        style=Markup(style),
        script=Markup(script),
        plotly=Markup(get_plotlyjs()),
        data=data,
    )


def _carried(sheet: dict[str, Any]) -> dict[str, Any]:
    """Return what the page's code needs of a sheet."""
    knobs = [{key: knob[key] for key in ("name", "labels", "start", "frames")} for knob in sheet["knobs"]]
    return {"knobs": knobs, "frames": sheet["frames"]}


def _linked(citation: str) -> Markup:
    """Return a citation with its arXiv numbers as links."""
    link = r'<a href="https://arxiv.org/abs/\1" rel="noreferrer">arXiv \1</a>'
    return Markup(re.sub(r"arXiv (\d{4}\.\d{4,5})", link, str(escape(citation))))
