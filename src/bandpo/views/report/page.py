"""The page: every part as data, one template, scripts that the page's own policy knows by their hashes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

import bandpo
from bandpo.microscope.inspection.rule import rule
from bandpo.microscope.inspection.sentences import percent
from bandpo.views.report import settings, summary, versus
from bandpo.views.report.clipping import ENOUGH_TOKENS, SIDES, clipping
from bandpo.views.report.comparison import Comparison, read_comparison
from bandpo.views.report.figures import Figure
from bandpo.views.report.inspected import Inspected, inspected
from bandpo.views.report.run import Run, read_run
from bandpo.views.report.samples import Samples, held_out_samples, recorded_samples
from bandpo.views.report.sources import COMPARISON, RUN, Source, find_sources
from bandpo.views.report.target import MARK
from bandpo.views.report.text import line, short
from bandpo.views.report.training import thinning, training_figures
from bandpo.views.style import COLOURS, DARK_COLOURS


def report(paths: Iterable[str | Path], *, method: str | None = None, options: Mapping[str, Any] | None = None) -> str:
    """Return one page that shows runs, comparisons and recorded batches, in any mixture; it loads nothing.

    Args:
        paths: folders of runs, folders of comparisons, files or folders of recorded batches.
        method, options: the method to look at recorded batches with; if not given, the one that they name.

    Returns:
        HTML, the same for the same input.

    Raises:
        ValueError, TypeError: a path that holds nothing to show, an unknown method.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "config.yaml").write_text("method: band-kl")
    >>> "band-kl" in report([folder])
    True
    """
    if method is not None:
        rule(method, options)
    sources = find_sources(paths)
    runs = [read_run(source) for source in sources if source.kind == RUN]
    comparisons = [read_comparison(source) for source in sources if source.kind == COMPARISON]
    recorded = [(run.batches, run.name) for run in runs if run.batches is not None]
    recorded += [(source.path, source.name) for source in sources if source.kind not in (RUN, COMPARISON)]
    looks = [inspected(path, name, method, options) for path, name in recorded if path is not None]
    if not runs and not comparisons and not any(look.found for look in looks):
        raise ValueError(" ".join(remark for look in looks for remark in look.remarks))
    samples = [_samples_of(run) for run in runs]
    samples += [_Sampled(source.name, recorded_samples(source.path)) for source in sources if _is_batches(source)]
    return _render(sources, runs, comparisons, looks, [each for each in samples if each.parts or each.remarks])


def _is_batches(source: Source) -> bool:
    return source.kind not in (RUN, COMPARISON)


class _Sampled:
    """Answers of one run or of recorded batches."""

    def __init__(self, name: str, parts: list[Samples], remarks: Sequence[str] = ()):
        self.name, self.parts, self.remarks = name, parts, list(remarks)


def _samples_of(run: Run) -> _Sampled:
    before_after = [] if run.batches is None else recorded_samples(run.batches)
    held_out, remarks = held_out_samples(run.samples, "Final policy, held-out problems")
    return _Sampled(run.name, [*before_after, *held_out], remarks)


class _Figures:
    """Gives every figure an id, under which the page's code finds what to draw."""

    def __init__(self):
        self.carried: dict[str, dict[str, Any]] = {}

    def place(self, figure: Figure) -> str:
        """Return the id of the element to draw the figure in."""
        name = f"figure-{len(self.carried) + 1}"
        self.carried[name] = {"data": figure.data, "layout": figure.layout}
        return name


def _render(
    sources: Sequence[Source],
    runs: Sequence[Run],
    comparisons: Sequence[Comparison],
    looks: Sequence[Inspected],
    samples: Sequence[_Sampled],
) -> str:
    folder = resources.files("bandpo.views") / "page"
    style, script, template = ((folder / f"report.{kind}").read_text("utf-8") for kind in ("css", "js", "html.j2"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"short": short, "percent": percent, "line": line}
    figures = _Figures()
    environment.globals |= {"place": figures.place, "carried": figures.carried}
    plotly = get_plotlyjs()
    return environment.from_string(template).render(
        version=bandpo.__version__,
        mark=Markup(MARK),
        names=[source.name for source in sources],
        parts=_parts(sources, runs, comparisons, looks),
        comparisons=[(each, _compared(each)) for each in comparisons],
        runs=runs,
        training=training_figures(runs),
        thinning=thinning(runs),
        keys=versus.keys([run.name for run in runs]),
        clipped=[(run.name, found) for run in runs if (found := clipping(run.history)) is not None],
        sides=list(SIDES.values()),
        enough=ENOUGH_TOKENS,
        looks=looks,
        samples=samples,
        values=[{"reward": p.reward, "tokens": p.values} for look in looks for p in look.passages],
        differing=[[name, *values] for name, values in settings.differing(runs)] if len(runs) > 1 else [],
        settings=_settings(runs, comparisons),
        themes={"light": COLOURS, "dark": DARK_COLOURS},
        style=Markup(style),
        script=Markup(script),
        plotly=Markup(plotly),
        hashes=[_hash(text) for text in (plotly, script)],
    )


def _parts(
    sources: Sequence[Source], runs: Sequence[Run], comparisons: Sequence[Comparison], looks: Sequence[Inspected]
) -> list[tuple[str, list[str], list[str]]]:
    """Return name, sentences and remarks of every source, in the order in which they were given."""
    by_run = {run.source: run for run in runs}
    by_comparison = {each.source: each for each in comparisons}
    verdicts = {look.name: look for look in looks}
    found = []
    for source in sources:
        said: list[str] = []
        remarks: list[str] = []
        if source in by_run:
            said, remarks = summary.on_run(by_run[source]), [*by_run[source].remarks]
        if source in by_comparison:
            said, remarks = summary.on_comparison(by_comparison[source]), [*by_comparison[source].remarks]
        look = verdicts.get(source.name)
        if look is not None:
            said = [*said, *look.verdict]
            remarks += [] if look.found else look.remarks
        found.append((source.name, said, remarks[:20]))
    return found


def _compared(found: Comparison) -> dict[str, Any]:
    """Return what the template shows of a comparison."""
    return {
        "intervals": versus.versus_figures(found),
        "curves": versus.curve_figures(found),
        "keys": versus.keys(list(found.scores) or list(found.curves)),
        "rows": versus.score_rows(found),
        "differences": versus.difference_rows(found),
    }


def _settings(runs: Sequence[Run], comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name if isinstance(each, Run) else each.source.name,
            "config": settings.setting_rows(each.config),
            "environment": settings.environment_rows(each.environment),
            "command": "" if isinstance(each, Run) else each.command,
        }
        for each in (*runs, *comparisons)
    ]


def _hash(text: str) -> str:
    """Return what a page's policy calls a script by.

    >>> _hash("1")
    'sha256-a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s='
    """
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def size_of(page: str) -> str:
    """Return how large a page is, for people.

    >>> size_of("a" * 5_040_000)
    '5.0 MB'
    """
    return f"{len(page.encode()) / 1e6:.1f} MB"
