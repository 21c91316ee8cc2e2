"""Writes docs/methods.md from `bandpo.methods()`, and tables in engines.md, engines/verl.md, metrics.md and README.md.

Those of engines are made of the contract tests' results, that of metrics of the docstrings that define them, that of
README.md of what `bandpo.views.recommended` advises.

    python docs/generate.py [--check]

With --check it writes nothing and exits with 1 where a page is stale.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import bandpo
from bandpo.core.methods.method import FAMILIES, Method
from bandpo.core.methods.registry import ALIASES
from bandpo.core.objective import metrics
from bandpo.microscope.alignment.first_ratio import first_ratio_metrics
from bandpo.views.recommended import advice_rows

PAGE = Path(__file__).with_name("methods.md")
ENGINES = Path(__file__).with_name("engines.md")
VERL = Path(__file__).parent / "engines" / "verl.md"
METRICS = Path(__file__).with_name("metrics.md")
README = Path(__file__).parents[1] / "README.md"
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
# What is between these lines of the other pages is written here, the rest by hand.
START, END = "<!-- table: docs/generate.py -->\n", "<!-- end of table -->\n"

INTRODUCTION = """\
# Methods

Every trust region that `policy_loss`, the trainer and the command line take by name. `docs/generate.py` writes this
page from `bandpo.methods()`. `bandpo methods NAME` shows one of them, `bandpo atlas` draws them all: how much of the
policy gradient each lets through, over old probability and ratio, with sliders for its hyperparameters.

Symbols: p is the sampled token's probability under the anchor (μ where that is the rollout policy), q under the policy
being trained, r = q/p, A the advantage, logp = log q, ℓ the loss to minimise. Formulas give ℓ, the bounds or the weight
of a token. Hyperparameters are the authors', except of methods marked ours or [experimental](#experimental).

## Families

| family | what it does to a token |
|---|---|
| [interval](#interval) | bounds r; past the bound that A pushes it to, a token has no gradient |
| [mask](#mask) | drops it where a rule says so (KL-Cov: penalises it); there are no bounds to hand to an engine |
| [gate](#gate) | no hard stop: the gradient fades, is capped, or turns and brings the token back |
| [sequence](#sequence) | decides by one ratio for the whole response |
| [bonus](#bonus) | adds an entropy bonus to the loss of another method, `base` |

## How to choose

1. See that any of them can act: with one update per batch they nearly all coincide
   ([when does it act](when-does-it-act.md)). If less than a percent of tokens is clipped, the choice hardly matters.
2. Decide what you want: answers that differ, or the mean of a short run. For the first take
   `band-upper:eps_low=0.05`, for the second `grpo` or `clip-higher` ([evidence](evidence.md)).
3. The lower side comes first: a tight bound there keeps rare tokens alive, under `clip-higher` too. `band-mirror` and
   `band-upper` have one, the other bands let one bad sample erase a rare token.
4. If rare tokens should grow faster than likely ones, take a region that knows p: a band, `dcpo`, `maspo`.
5. If sampler and trainer disagree, anchor on the sampler: `dppo-tv`, `dppo-kl`, `drpo`, or `anchor="rollout"` with any
   other.
6. If no token should be dropped: `cispo`, `ce-gppo` and `sapo` keep a gradient outside, `cfpo` and `drpo` bring tokens
   back.

Some are one function under two names ([identities](identities.md)). Otherwise the same δ is not equally tight in two
methods: compare at matched clip fractions ([which radius](which-radius.md)).

## Which old log-probs

The anchor is whose log-probs divide the ratio and enter the bounds: "old", recomputed by the trainer, or "rollout", the
sampler's own. Each method has its authors'; `anchor="old"` or `anchor="rollout"` overrides it. See
[which log-probs](which-log-probs.md).

## Inputs

All methods take `logp`, `logp_old`, `advantages` and `mask`. Without what it needs besides, a method refuses and names
it: `method 'quatro' needs group_rewards: rewards of all answers to each row's prompt`. B is responses, T tokens, K
listed tokens, V the vocabulary, G answers to a prompt. `flex-entropy` needs the one of its two that its `strategy` goes
by.

"""
LEADS = {
    "interval": """\
`Method.interval` gives the bounds. In the bands f is the generator of the divergence; `band-alpha=NUMBER` is the band
of any α-divergence, and every divergence that you register is one more `band-NAME`.

""",
    "mask": "DPPO with `two_sided=True` drops a token outside whatever its advantage.\n\n",
}
EXPERIMENTAL = """\
## Experimental

The published form of these could not be verified in full. They are sound methods and tested as such, but may differ
from their authors':

"""
HEADS = ("name", "what it does", "formula", "hyperparameters", "anchor", "needs", "source")
ROLLOUT = 'log-probs of the sampled tokens under the sampler; not with `anchor="old"`'


def code(text: str) -> str:
    """A code span."""
    return f"`{text.replace('`', '')}`"


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head, *lines = ([cell.replace("|", r"\|") for cell in line] for line in (heads, *rows))
    return "".join(f"|{'|'.join(line)}|\n" for line in (spaced(head), ["---"] * len(head), *map(spaced, lines)))


def spaced(cells: Iterable[str]) -> list[str]:
    return [f" {cell} " for cell in cells]


def value(option: Any) -> str:
    return f"{option:g}" if isinstance(option, float) else f'"{option}"' if isinstance(option, str) else str(option)


def source(citation: str) -> str:
    """The citation with its arXiv numbers as links."""
    return re.sub(r"arXiv (\d{4}\.\d{5})", r"[arXiv \1](https://arxiv.org/abs/\1)", citation)


def needs(method: Method) -> list[str]:
    inputs = [f"`{name}`" + (" (optional)" if needed.optional else "") for name, needed in method.inputs.items()]
    return [*(["`logp_rollout`"] if method.anchor == "rollout" else []), *inputs]


def row(method: Method) -> tuple[str, ...]:
    aliases = [f"`{alias}`" for alias, name in ALIASES.items() if name == method.name]
    marks = [mark for mark, holds in (("experimental", method.experimental), ("ours", method.ours)) if holds]
    name = " ".join([", ".join([f"`{method.name}`", *aliases]), *(f"({mark})" for mark in marks)])
    given = {option: default for option, default in method.hyperparameters.items() if default is not None}
    options = ", ".join(code(f"{option}={value(default)}") for option, default in given.items())
    formula, needed = code(method.formula), ", ".join(needs(method)) or "–"
    return name, method.summary, formula, options or "–", method.anchor, needed, source(method.citation)


def off(methods: Iterable[Method]) -> str:
    """The options that are off unless given, with the methods that have them."""
    who: dict[tuple[str, ...], list[str]] = {}
    for method in methods:
        options = tuple(option for option, default in method.hyperparameters.items() if default is None)
        if options:
            who.setdefault(options, []).append(method.name)
    lines = (
        f"- {', '.join(f'`{option}`' for option in options)}: {', '.join(f'`{name}`' for name in names)}\n"
        for options, names in who.items()
    )
    return f"\nOff unless given:\n\n{''.join(lines)}" if who else ""


def inputs(methods: Iterable[Method]) -> str:
    methods = list(methods)
    known = {name: needed for method in methods for name, needed in method.inputs.items()}
    anchored = [method.name for method in methods if method.anchor == "rollout"]
    rows = [("`logp_rollout`", "(B, T)", ROLLOUT, ", ".join(f"`{name}`" for name in anchored))]
    for name, needed in known.items():
        users = ", ".join(f"`{method.name}`" for method in methods if name in method.inputs)
        shape = f"({', '.join(needed.shape)})" if needed.shape else "number"
        rows.append((f"`{name}`" + (" (optional)" if needed.optional else ""), shape, needed.summary, users))
    return table(("input", "shape", "what", "for"), rows)


def page() -> str:
    methods = list(bandpo.methods().values())
    parts = [INTRODUCTION, inputs(methods)]
    for family in FAMILIES:
        members = [method for method in methods if method.family == family]
        parts += [
            f"\n## {family.capitalize()}\n\n",
            LEADS.get(family, ""),
            table(HEADS, map(row, members)),
            off(members),
        ]
    notes = [f"- `{method.name}`: {method.experimental}.\n" for method in methods if method.experimental]
    return "".join([*parts, "\n", EXPERIMENTAL, *notes])


def engine_rows() -> list[tuple[str, ...]]:
    """The engines' contract tests as they last ran: engine, release, what ran of it, tests, Python, torch, date."""
    found = json.loads((RESULTS / "engines.json").read_text(encoding="utf-8"))["rows"]
    rows = [
        trl_row(one)
        for one in json.loads((RESULTS / "versions.json").read_text(encoding="utf-8"))["rows"]
        if "trl" in one["suites"]
    ]
    for one in found:
        exercised = one["exercised"] or f"nothing: {one['note'] or 'no test passed'}"
        rows.append(engine_row(one["engine"], one["version"], exercised, one, one["python"], one["torch"], one["date"]))
    return rows


def trl_row(found: Any) -> tuple[str, ...]:
    """TRL's contract tests in one row of the table of releases."""
    counts, versions = found["suites"]["trl"], found["versions"]
    exercised = "whole trainer" if counts["passed"] else "nothing: no test passed"
    return engine_row("trl", versions["trl"], exercised, counts, versions["python"], versions["torch"], counts["date"])


def engine_row(
    engine: str, version: str | None, exercised: str, counts: Any, python: str | None, torch: str | None, date: str
) -> tuple[str, ...]:
    page = ENGINES.parent / "engines" / f"{engine}.md"
    name = f"[{engine}](engines/{engine}.md)" if page.is_file() else engine
    tests = f"{counts['passed']}, {len(counts['failed'])}, {sum(counts['skipped'].values())}"
    return name, version or "–", exercised, tests, python or "–", torch or "–", date


def engines_page() -> str:
    """docs/engines.md with its table as of now."""
    heads = ("engine", "release", "exercised", "passed, failed, skipped", "Python", "torch", "date")
    return with_table(ENGINES, table(heads, engine_rows()))


def verl_page() -> str:
    """docs/engines/verl.md with its table of what verl's `main_ppo` logged."""
    heads = ("run", "steps", "score, first and last", "largest share clipped", "loss, smallest and largest")
    found = json.loads((RESULTS / "engines.json").read_text(encoding="utf-8"))["rows"]
    runs = [run for one in found if one["engine"] == "verl" for run in one.get("measured", {}).values()]
    return with_table(VERL, table(heads, map(main_ppo_row, runs)) if runs else "Not run yet.\n")


def main_ppo_row(run: Any) -> tuple[str, ...]:
    scores, losses = run["critic/score/mean"], run["actor/pg_loss"]
    clipped = max(run["actor/band_clip"])
    score, loss = f"{scores[0]:.2f}, {scores[-1]:.2f}", f"{min(losses):.4f}, {max(losses):.4f}"
    return run["run"], str(run["steps"]), score, f"{clipped:.2%}", loss


def metrics_page() -> str:
    """docs/metrics.md with the tables of the docstrings that define metrics."""
    lines = [line for text in (metrics.__doc__, first_ratio_metrics.__doc__) for line in (text or "").splitlines()]
    cells = [line.strip()[2:-2].replace(r"\|", "¦").split(" | ") for line in lines if line.strip().startswith("| ")]
    rows = [[cell.replace("¦", "|") for cell in row] for row in cells]
    return with_table(METRICS, table(("name", "mean of", "over"), (row for row in rows if row[0] != "name")))


def readme() -> str:
    """README.md with the table of which method to take."""
    return with_table(README, table(("you want", "take", "because", "how sure"), advice_rows()))


def with_table(path: Path, text: str) -> str:
    """A page with another table; ValueError where the lines around it are missing."""
    before, start, rest = path.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"{path}: expected the lines {START.strip()!r} and {END.strip()!r}")
    return f"{before}{start}\n{text}\n{end}{after}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if a page is stale")
    parser.add_argument("--out", type=Path, help="write the page of methods there, and nothing else")
    options = parser.parse_args(arguments)
    if options.out:
        pages = {options.out: page()}
    else:
        pages = {PAGE: page(), ENGINES: engines_page(), VERL: verl_page(), METRICS: metrics_page(), README: readme()}
    stale = [path for path, text in pages.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if options.check:
            print(f"{path} is stale: run python docs/generate.py", file=sys.stderr)
        else:
            path.write_text(pages[path], encoding="utf-8")
    return int(options.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
