"""Draws docs/images/live.png, the live view of `bandpo train` as it stood in the middle of a finished run.

    bandpo train --output-dir RUN
    python docs/live_picture.py RUN

Needs Chromium.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from rich.console import Console

from bandpo.cli.live.screen import Screen
from bandpo.store.folder import EVALUATIONS, METRICS, RunFolder

PICTURE = Path(__file__).parent / "images" / "live.png"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WIDTH, HEIGHT, COLOURS = 88, 30, 32


def screen_of(run: Path, share: float = 0.6) -> Screen:
    """Return what the view showed when this share of the run was done."""
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    now, folder = [0.0], RunFolder(run)
    shown = Screen(f"{result['method']} on countdown", clock=lambda: now[0])
    shown.begin(0, result["steps"])
    records = [*folder.read(EVALUATIONS), *folder.read(METRICS)]
    for record in sorted(records, key=lambda record: record["step"]):
        if record["step"] <= share * result["steps"]:
            now[0] = result["seconds"] * record["step"] / result["steps"]
            shown.move(record["step"])
            (shown.evaluated if "problems" in record else shown.log)(record)
    return shown


def draw(run: Path, out: Path) -> None:
    """Write the picture."""
    console = Console(record=True, force_terminal=True, width=WIDTH, height=HEIGHT, file=io.StringIO())
    console.print(screen_of(run))
    # The font of rich's drawing is not on this machine, and none is fetched.
    svg = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="bandpo train"), flags=re.DOTALL)
    svg = svg.replace("Fira Code", "DejaVu Sans Mono")
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        page_file = Path(folder) / "live.html"
        page_file.write_text(f"<meta charset=utf-8><body style='margin:0;width:1000px'>{svg}", encoding="utf-8")
        context = started.chromium.launch(executable_path=browser, args=FLAGS)
        page = context.new_page(viewport={"width": 1000, "height": 600})
        page.goto(page_file.as_uri())
        page.locator("svg.rich-terminal").screenshot(path=out)
        context.close()
    with Image.open(out) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(out, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--out", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    draw(arguments.run, arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e3:.0f} kB")
