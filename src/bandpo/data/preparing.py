"""From a data set's name to files to train on: template, length filter, duplicates, a report of what was dropped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset

from bandpo.data.catalogue import DATASETS
from bandpo.data.duplicates import duplicates
from bandpo.data.loading import Problem, in_schema, read_problems
from bandpo.data.messages import plain_messages
from bandpo.data.templates import get_template
from bandpo.data.writing import FORMATS, write


@dataclass
class Report:
    """The rows of a data set that were kept and dropped.

    Attributes:
        name, template: what was prepared.
        rows: problems read.
        repeated: rows that repeat an earlier row of the data set: id, id of the other, similarity.
        in_tests: rows that are in a test set: id, id of the other, similarity.
        too_long: rows whose prompt has too many tokens: id, tokens.
        kept: problems written.
        files: where they are.
    """

    name: str
    template: str
    rows: int
    repeated: list[dict[str, Any]] = field(default_factory=list)
    in_tests: list[dict[str, Any]] = field(default_factory=list)
    too_long: list[dict[str, Any]] = field(default_factory=list)
    kept: int = 0
    files: list[str] = field(default_factory=list)


def prepare(
    name: str,
    out: str | Path,
    *,
    source: str | None = None,
    split: str | None = None,
    formats: Sequence[str] = FORMATS,
    template: str = "boxed",
    against: Sequence[str] = (),
    near: float = 0.7,
    max_prompt_tokens: int | None = None,
    tokenizer: Any = None,
    alternatives: bool = False,
) -> Report:
    """Load a data set, drop what repeats itself, what is in a test set and what is too long, and write the rest.

    Args:
        name, source, split, template, alternatives: as `load` takes them.
        out: folder for NAME.trl.parquet, NAME.verl.parquet and NAME.report.json.
        formats: "trl", "verl" or both.
        against: test sets, each a name, a path, or NAME=PATH to read a known one from a file.
        near: least similarity of a near duplicate; 1.0 keeps to exact ones.
        max_prompt_tokens: longest prompt, counted with the tokenizer's chat template.
        tokenizer: of the model, needed with `max_prompt_tokens`.

    Raises:
        ValueError: as `load`; an unknown format, a limit without a tokenizer, or no row left.
    """
    _check(formats, max_prompt_tokens, tokenizer)
    get_template(template)
    label = Path(name).stem
    problems = read_problems(name, source, split=split, alternatives=alternatives)
    report = Report(label, template, len(problems))
    problems = _without(problems, _repeated(problems, near), report.repeated)
    for test in against:
        problems = _without(problems, _in_test(problems, test, near), report.in_tests)
    if max_prompt_tokens is not None:
        problems = _without(problems, _too_long(problems, template, tokenizer, max_prompt_tokens), report.too_long)
    if not problems:
        raise ValueError(f"{name}: no row of {report.rows} is left, expected a weaker --against or --max-prompt-tokens")
    report.kept = len(problems)
    folder = Path(out).expanduser()
    report.files = [str(p) for p in write(in_schema(problems, template), folder, label, formats, split or "train")]
    (folder / f"{label}.report.json").write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")
    return report


def prompt_lengths(rows: Dataset, tokenizer: Any) -> list[int]:
    """Return the tokens of each prompt as the model gets it: in its chat template, the answer's beginning included."""
    prompts = [plain_messages(prompt) for prompt in rows["prompt"]]
    if tokenizer.chat_template is None:
        return [len(tokenizer("\n".join(m["content"] or "" for m in prompt))["input_ids"]) for prompt in prompts]
    encoded = tokenizer.apply_chat_template(prompts, add_generation_prompt=True, return_dict=True)
    return [len(ids) for ids in encoded["input_ids"]]


Dropped = dict[int, dict[str, Any]]


def _repeated(problems: list[Problem], near: float) -> Dropped:
    repeats = duplicates([p.text for p in problems], near=near, answers=[p.answer for p in problems])
    return {d.row: {"id": problems[d.row].id, "of": problems[d.of].id, "similarity": d.similarity} for d in repeats}


def _in_test(problems: list[Problem], test: str, near: float) -> Dropped:
    known, _, source = test.partition("=")
    name, source = (known, source) if known in DATASETS else (test, "")
    # Only the problems count here, so their answers may be of either kind.
    others = read_problems(name, source or None, alternatives=True)
    repeats = duplicates([p.text for p in problems], [p.text for p in others], near=near)
    return {d.row: {"id": problems[d.row].id, "of": others[d.of].id, "similarity": d.similarity} for d in repeats}


def _too_long(problems: list[Problem], template: str, tokenizer: Any, most: int) -> Dropped:
    lengths = prompt_lengths(in_schema(problems, template), tokenizer)
    return {i: {"id": problems[i].id, "tokens": n} for i, n in enumerate(lengths) if n > most}


def _without(problems: list[Problem], dropped: Dropped, record: list[dict[str, Any]]) -> list[Problem]:
    record.extend(dropped.values())
    return [problem for i, problem in enumerate(problems) if i not in dropped]


def _check(formats: Sequence[str], max_prompt_tokens: int | None, tokenizer: Any) -> None:
    for kind in formats:
        if kind not in FORMATS:
            raise ValueError(f"format={kind!r}: expected trl, verl or both")
    if max_prompt_tokens is not None and max_prompt_tokens < 1:
        raise ValueError(f"max_prompt_tokens={max_prompt_tokens}: expected at least 1")
    if max_prompt_tokens is not None and tokenizer is None:
        raise ValueError(f"max_prompt_tokens={max_prompt_tokens}: expected a tokenizer to count with")
