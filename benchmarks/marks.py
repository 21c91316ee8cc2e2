"""What a benchmark writes on a page of the documentation stands between two lines of that page."""

from __future__ import annotations

from pathlib import Path

from bandpo.files.durable import write_file

END = "<!-- end of table -->\n"


def put(page: Path, start: str, text: str, end: str = END) -> None:
    """Put text between two lines of a page, in place of what is there.

    Raises:
        ValueError: a page without these lines.
    """
    before, found_start, rest = page.read_text(encoding="utf-8").partition(start)
    _, found_end, after = rest.partition(end)
    if not (found_start and found_end):
        raise ValueError(f"{page.name}: expected the lines {start.strip()} and {end.strip()}")
    write_file(page, f"{before}{start}{text}{end}{after}")
