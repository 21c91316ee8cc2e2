"""Draws docs/images/report.png, the picture of a report in the README, from a recorded run.

    bandpo train --record-every 10 --output-dir RUN
    python docs/pictures.py RUN

Needs Chromium. The picture leaves out what would make it long: most panels, tables, samples and settings.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from bandpo.views.report.page import report

PICTURE = Path(__file__).parent / "images" / "report.png"
WIDTH, SCALE, COLOURS = 1260, 1.1, 256
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
LEFT_OUT = """
  .skip, #theme, #training figure:nth-child(n+4), #training details, #stopped .scroll, #tokens .scroll, #samples,
  #inspection, #settings, footer, .passage:nth-child(n+7) { display: none !important; }
  header { position: static; } body { padding-bottom: 4rem; } h2 { margin-top: 1.1rem; }
"""


def draw(run: str, out: Path) -> None:
    """Write a picture of the run's report in its light theme."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        page_file = Path(folder) / "report.html"
        page_file.write_text(report([run]), encoding="utf-8")
        context = started.chromium.launch(executable_path=browser, args=FLAGS)
        page = context.new_page(viewport={"width": WIDTH, "height": 800}, device_scale_factor=SCALE)
        page.goto(page_file.as_uri())
        page.add_style_tag(content=LEFT_OUT)
        deadline = time.monotonic() + 60
        while not page.evaluate("document.documentElement.classList.contains('drawn')"):
            assert time.monotonic() < deadline, "the page was not drawn in 60 s"
            time.sleep(0.05)
        height = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": WIDTH, "height": height})
        page.locator(".sequence .stopped").nth(5).hover()
        out.parent.mkdir(exist_ok=True)
        page.screenshot(path=out)
        context.close()
    with Image.open(out) as picture:
        picture.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            out, optimize=True
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", help="folder of a run with recorded batches")
    parser.add_argument("--out", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    draw(arguments.run, arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e3:.0f} kB")
