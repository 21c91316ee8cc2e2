"""`bandpo eval`: sample a model on tasks, score the samples, compare two evaluations."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from bandpo.cli.commands import LIST
from bandpo.cli.console import console, fail, user_errors

_INTERRUPTED = 130
_LARGEST_TRIVIAL = {"pass@": 1, "maj@": 2}


def evaluate(
    model: Annotated[str, typer.Option(help="Folder, Hub id or embedded task.")] = "countdown",
    tasks: Annotated[str, typer.Option(metavar=LIST, help="Tasks, math sets, files.")] = "countdown",
    n: Annotated[int, typer.Option(help="Samples per problem.")] = 8,
    k: Annotated[str | None, typer.Option(metavar=LIST, help="Of pass@k, maj@k: 1,8,32.")] = None,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 1.0,
    top_p: Annotated[float, typer.Option(help="Nucleus to draw from.")] = 1.0,
    max_tokens: Annotated[int | None, typer.Option(help="Of an answer.")] = None,
    seed: Annotated[int, typer.Option(help="Of samples, intervals.")] = 0,
    batch_size: Annotated[int | None, typer.Option(help="Drawn and saved at once.")] = None,
    limit: Annotated[int | None, typer.Option(help="Problems of a task at most.")] = None,
    reward: Annotated[str | None, typer.Option(help="Dotted reward function.")] = None,
    template: Annotated[str | None, typer.Option(help="boxed, paper, none, a text.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Chats as text: base models.")] = False,
    chat_template_kwargs: Annotated[str | None, typer.Option(help="JSON, to the template.")] = None,
    engine: Annotated[str, typer.Option(help="vllm, transformers.")] = "auto",
    engine_kwargs: Annotated[str | None, typer.Option(help="JSON, to the engine.")] = None,
    dtype: Annotated[str, typer.Option(help="Such as bfloat16.")] = "auto",
    revision: Annotated[str | None, typer.Option(help="Of the model on the Hub.")] = None,
    output_dir: Annotated[str | None, typer.Option(help="Resumes what was cut short.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    compare: Annotated[
        tuple[str, str] | None, typer.Option(metavar="A B", help="Two result folders, nothing else is done.")
    ] = None,
) -> None:
    """Sample a model n times a problem: mean@n, unbiased pass@k, maj@k, entropy.

    Every sample is saved as it comes; the same command resumes.

    Example:  bandpo eval --model countdown --tasks countdown --n 8
    """
    with user_errors("eval"):
        if compare is not None:
            _compare(compare, output_dir)
            return
        from bandpo.evals.planning import plan
        from bandpo.evals.settings import EvalSettings
        from bandpo.rewards.functions import grader_limits

        grader_limits()
        settings = EvalSettings(
            model=model,
            tasks=tasks,
            n=n,
            k=_numbers(k),
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_tokens,
            seed=seed,
            batch_size=batch_size,
            engine=engine,
            dtype=dtype,
            engine_kwargs=_mapping("engine_kwargs", engine_kwargs),
            revision=revision,
            reward=reward,
            template=template,
            limit=limit,
            plain=plain,
            chat_template_kwargs=_mapping("chat_template_kwargs", chat_template_kwargs),
        )
        planned = plan(settings, output_dir, overwrite)
        where = str(planned.folder.path)
        if planned.is_complete:
            console.print(f"complete already, nothing to do: {escape(where)}/", soft_wrap=True)
        else:
            done, total = planned.samples_done(), planned.samples_total()
            begun = f"resuming with {done} of {total} samples" if done else f"{total} samples"
            model_name, by = escape(model), escape(planned.config.engine)
            console.print(f"[bold]{model_name}[/bold] by {by}: {begun}, writing to {escape(where)}/", soft_wrap=True)
        try:
            result = planned.execute()
        except KeyboardInterrupt:
            saved, total = planned.samples_done(), planned.samples_total()
            again = f"the same command goes on (--output-dir {where})"
            fail("eval", f"stopped with {saved} of {total} samples saved; {again}", _INTERRUPTED)
    console.print(_scores_table(result))
    _print_intervals(result)
    console.print(f"scores in {escape(where)}/result.json, samples beside it", soft_wrap=True)


def _numbers(text: str | None) -> list[int] | None:
    try:
        return None if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"k={text!r}: expected whole numbers with commas between, such as 1,8,32") from None


def _mapping(name: str, text: str | None) -> dict[str, Any]:
    try:
        value = {} if text is None else json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"{name}={text!r}: expected a JSON object such as '{{\"enable_thinking\": false}}'")
    return value


def _is_shown(name: str) -> bool:
    """Leave out what is equal to the mean by definition: pass@1, maj@1, and maj@2 with ties drawn."""
    kind, _, k = name.partition("@")
    return not (f"{kind}@" in _LARGEST_TRIVIAL and int(k) <= _LARGEST_TRIVIAL[f"{kind}@"])


def _scores_table(result: Mapping[str, Any]) -> Table:
    from bandpo.evals.config import EvalConfig

    config = EvalConfig.read(result["settings"])
    title = f"{config.model}, n={config.n}, temperature {config.temperature:g}"
    table = Table(title=escape(title))
    table.add_column("")
    for name, task in config.tasks.items():
        table.add_column(escape(f"{name} ({task.problems})"))
    names = dict.fromkeys(name for scores in result["scores"].values() for name in scores)
    for name in filter(_is_shown, names):
        table.add_row(name, *(_cell(result["scores"][task].get(name)) for task in config.tasks))
    for task, logged in result["logged"].items():
        for name, value in logged.items():
            table.add_row(escape(name), *(f"{value:.3f}" if other == task else "" for other in config.tasks))
    return table


def _print_intervals(result: Mapping[str, Any]) -> None:
    console.print(f"{result['intervals']['level']:.0%} intervals: {result['intervals']['method']}", soft_wrap=True)


def _cell(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return ""
    interval = "" if entry["low"] is None else f"  {_number(entry['low'])} .. {_number(entry['high'])}"
    return _number(entry["value"]) + interval


def _number(value: float | None, sign: str = "") -> str:
    if value is None or math.isnan(value):
        return "–"
    return f"{value:{sign}.3f}" if abs(value) < 100 else f"{value:{sign}.0f}"


def _compare(folders: tuple[str, str], output_dir: str | None) -> None:
    from bandpo.evals.comparing import compare
    from bandpo.store.folder import to_json

    result = compare(*folders)
    if Path(folders[0]).resolve() == Path(folders[1]).resolve():
        console.print("note: A and B are the same folder, so nothing can differ", soft_wrap=True)
    for task, scores in result["differences"].items():
        table = Table("", "A", "B", "A − B", "p", title=escape(task))
        for name, entry in scores.items():
            if _is_shown(name):
                interval = "" if entry["low"] is None else f"  {entry['low']:+.3f} .. {entry['high']:+.3f}"
                change = _number(entry["difference"], "+") + interval
                table.add_row(
                    escape(name),
                    _number(entry["a"]),
                    _number(entry["b"]),
                    change,
                    "" if entry["p"] is None else f"{entry['p']:.2g}",
                )
        console.print(table)
    for letter, side in zip("AB", ("a", "b"), strict=True):
        model = result[side]["settings"]["model"]
        console.print(f"{letter}: {escape(model)}, {escape(result[side]['folder'])}", soft_wrap=True)
    _print_intervals(result)
    console.print(f"p: {result['p']['method']}, uncorrected", soft_wrap=True)
    for name, (a, b) in result["versions_differ"].items():
        console.print(escape(f"note: {name.removeprefix('version.')} {a} in A, {b} in B"), soft_wrap=True)
    if output_dir is not None:
        path = Path(output_dir) / "comparison.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_json(result, indent=1) + "\n", encoding="utf-8")
        console.print(f"written to {escape(str(path))}", soft_wrap=True)
