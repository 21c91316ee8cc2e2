"""Bad rows in data sets of every file format, files that are no data sets, and too few rows; in three commands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from benchmarks.attack.case import Case
from benchmarks.attack.inputs.common import ZERO, good_rows, json_lines, own_train, prompts

PROMPT, ANSWER, FORMAT, FEW = "rows: prompts", "rows: answers", "rows: files that are no data sets", "rows: too few"
PREPARE, EVAL = "rows of `data prepare`", "rows of `eval`"
_MATH = "--reward=bandpo.rewards.math_reward"

_PROMPTS: dict[str, Any] = {
    "null": None, "empty": "", "blank": " \n", "a number": 7, "a number with a point": 0.5, "true": True,
    "a list of numbers": [1, 2], "no message": [], "a message that is a text": ["hello"],
    "a message without content": [{"role": "user"}], "a message without role": [{"content": "3 7 11 2 -> 13"}],
    "null content": [{"role": "user", "content": None}], "content that is a number": [{"role": "user", "content": 7}],
    "a mapping": {"text": "3 7 11 2 -> 13"}, "a message in place of a list": {"role": "user", "content": "3 7 11"},
    "longer than the model": "3 " * 5_000,
}  # fmt: skip
_ANSWERS: dict[str, Any] = {
    "null": None, "empty": "", "blank": "  ", "a list without an entry": [], "a mapping": {"value": 3},
    "NaN": float("nan"), "infinity": float("inf"), "a list of null": [None], "a list of lists": [["3"]], "true": True,
}  # fmt: skip
_GOOD_LINES = "".join(f'"{prompt}",13\n' for prompt in prompts(40))
_CSV = {
    "an empty prompt": f"prompt,answer\n{_GOOD_LINES},13\n",
    "an empty answer": f'prompt,answer\n{_GOOD_LINES}"3 7 11 2 -> 14",\n',
    "a row without its answer": f'prompt,answer\n{_GOOD_LINES}"3 7 11 2 -> 14"\n',
    "a row too long": f'prompt,answer\n{_GOOD_LINES}"3 7 11 2 -> 13",13,14,15\n',
    "only rows too long": "prompt,answer\n" + '"3 7 11 2 -> 13",13,14,15\n' * 40,
    "an open quote": f'prompt,answer\n{_GOOD_LINES}"3 7 11 2 -> 13,13\n',
    "semicolons": "prompt;answer\n" + "3 7 11 2 -> 13;13\n" * 40,
    "a head alone": "prompt,answer\n",
    "nothing": "",
    "bytes in Latin-1": f"prompt,answer\n{_GOOD_LINES}3 7 11 2 -> größer,13\n".encode("latin-1"),
    "JSON": json_lines(good_rows()),
}
_JSON = {
    "an object": '{"prompt": "3 7 11 2 -> 13"}x',
    "a number": "7",
    "a text": '"prompt"',
    "a list of numbers": "[1, 2, 3]",
    "a list of lists": "[[1], [2]]",
    "nothing": "",
    "an empty list": "[]",
    "an empty object": "{}",
    "cut short": '[{"prompt": "3 7 11 2 -> 13"}, {"pro',
    "5,000 levels": "[" * 5_000 + "]" * 5_000,
    "Python's words": "[{'prompt': '3 7 11 2 -> 13'}]",
}
_LINES = {
    "a broken line": json_lines(good_rows(8)) + '{"prompt": "3 7\n' + json_lines(good_rows(8)),
    "a line that is a list": json_lines([*good_rows(8), [1, 2]]),
    "a line that is a number": json_lines([*good_rows(8), 7]),
    "no prompt column": json_lines([{"question": "3 7 11 2 -> 13"}] * 32),
    "a prompt in some rows": json_lines([*good_rows(8), {"answer": "3"}]),
    "another type in a later row": json_lines([*good_rows(40), {"prompt": {"a": 1}, "answer": "3"}]),
    "nothing": "",
    "empty lines": "\n\n\n",
    "empty objects": "{}\n" * 32,
    "zeros": bytes(4096),
    "half a character": json_lines(good_rows(8)).encode() + b'{"prompt": "\xc3"}\n',
    "a lone surrogate": '{"prompt": "3 7 \\ud800 2 -> 13", "answer": "13"}\n' * 32,
}
# How a Parquet table is made with pyarrow as `pa` from 32 good prompts `p`.
_PARQUET = {
    "a prompt of bytes": "{'prompt': [t.encode() for t in p], 'answer': ['13'] * 32}",
    "a prompt of numbers": "{'prompt': list(range(32)), 'answer': ['13'] * 32}",
    "a prompt of nulls": "{'prompt': pa.nulls(32), 'answer': ['13'] * 32}",
    "a null among prompts": "{'prompt': [*p[:31], None], 'answer': ['13'] * 32}",
    "a null among answers": "{'prompt': p, 'answer': [*['13'] * 31, None]}",
    "answers of bytes": "{'prompt': p, 'answer': [b'13'] * 32}",
    "answers of mappings": "{'prompt': p, 'answer': [{'a': 1}] * 32}",
    "answers of dates": "{'prompt': p, 'answer': pa.array(range(32), pa.timestamp('s'))}",
    "a NaN among answers": "{'prompt': p, 'answer': [*[13.0] * 31, float('nan')]}",
    "no row": "{'prompt': pa.array([], pa.string()), 'answer': pa.array([], pa.string())}",
    "no column": "{}",
    "no prompt": "{'question': p, 'answer': ['13'] * 32}",
}


def cases() -> list[Case]:
    """One bad row among good ones, broken files, and fewer rows than a batch takes."""
    return [*_bad_prompts(), *_bad_answers(), *_broken_files(), *_parquet(), *_too_few(), *_prepared(), *_evaluated()]


def _bad_prompts() -> Iterator[Case]:
    for name, prompt in _PROMPTS.items():
        for suffix, write in ((".jsonl", json_lines), (".json", json.dumps)):
            file = f"rows{suffix}"
            rows = write([*good_rows(40), {"prompt": prompt, "answer": "13"}, *good_rows(8)])
            argv = own_train(f"--dataset={file}", "--reward=own.zero")
            yield Case(PROMPT, f"prompt in {file}: {name}", argv, {file: rows, "own.py": ZERO}, says=(file, "dataset"))


def _bad_answers() -> Iterator[Case]:
    for name, answer in _ANSWERS.items():
        rows = json_lines([*good_rows(40), {"prompt": prompts(1)[0], "answer": answer}, *good_rows(8)])
        argv = own_train("--dataset=rows.jsonl", _MATH)
        yield Case(ANSWER, f"answer in rows.jsonl: {name}", argv, {"rows.jsonl": rows}, says=("rows.jsonl", "dataset"))
    for name, answer in {"a list": ["3", "5"], "a number": 13, "a number with a point": 13.5}.items():
        rows = json_lines([{"prompt": prompt, "answer": answer} for prompt in prompts()])
        argv = own_train("--dataset=rows.jsonl", _MATH)
        yield Case(ANSWER, f"answers in rows.jsonl: all {name}", argv, {"rows.jsonl": rows}, must="either")
    rows = json_lines([{"prompt": prompt} for prompt in prompts()])
    yield Case(ANSWER, "answer: no such column", own_train("--dataset=rows.jsonl", _MATH), {"rows.jsonl": rows},
               says=("answer",))  # fmt: skip


def _broken_files() -> Iterator[Case]:
    for suffix, table in ((".csv", _CSV), (".json", _JSON), (".jsonl", _LINES)):
        for name, content in table.items():
            file = f"rows{suffix}"
            argv = own_train(f"--dataset={file}", "--reward=own.zero" if "answer" not in name else _MATH)
            yield Case(FORMAT, f"{file}: {name}", argv, {file: content, "own.py": ZERO}, says=(file, "dataset"))
    for name, content in {"zeros": bytes(4096), "text": b"PAR1 and no more", "nothing": b""}.items():
        argv = own_train("--dataset=rows.parquet", "--reward=own.zero")
        yield Case(FORMAT, f"rows.parquet: {name}", argv, {"rows.parquet": content, "own.py": ZERO},
                   says=("rows.parquet",))  # fmt: skip
    for file in ("rows.txt", "rows", "rows.xlsx", "rows.jsonl.gz", "rows.JSONL"):
        argv = own_train(f"--dataset={file}", "--reward=own.zero")
        yield Case(FORMAT, f"a file called {file}", argv, {file: json_lines(good_rows()), "own.py": ZERO}, says=(file,))


def _parquet() -> Iterator[Case]:
    for name, columns in _PARQUET.items():
        setup = f"import pyarrow as pa, pyarrow.parquet as pq; p = {prompts(32)!r}; "
        setup += f"pq.write_table(pa.table({columns}), 'rows.parquet')"
        argv = own_train("--dataset=rows.parquet", _MATH if "answers" in name else "--reward=own.zero")
        kind = PROMPT if "prompt" in name else ANSWER if "answer" in name else FORMAT
        says = ("rows.parquet", "dataset")
        yield Case(kind, f"rows.parquet: {name}", argv, {"own.py": ZERO}, setup=setup, says=says)


def _too_few() -> Iterator[Case]:
    for count in (1, 3):
        for steps in ("--max_steps=50", "--max_steps=-1"):
            argv = own_train("--dataset=rows.jsonl", "--reward=own.zero", steps)
            files = {"rows.jsonl": json_lines(good_rows(count)), "own.py": ZERO}
            yield Case(
                FEW, f"{count} rows, {steps}", argv, files, says=(f"{count} row", f"{count} prompt", "rows.jsonl")
            )


def _prepared() -> Iterator[Case]:
    argv = ("data", "prepare", "rows.jsonl", "--out", "out", "--format", "trl")
    for name, row in {
        **{f"answer is {name}": {"problem": "1+1", "answer": answer} for name, answer in _ANSWERS.items()},
        **{f"prompt is {name}": {"prompt": prompt, "answer": "2"} for name, prompt in _PROMPTS.items()},
        "no answer": {"problem": "1+1"},
        "no problem": {"answer": "2"},
    }.items():
        must = "either" if name in ("prompt is longer than the model",) else "refuse"
        yield Case(PREPARE, f"data prepare: {name}", argv, {"rows.jsonl": json_lines([row] * 3)}, must,
                   ("rows.jsonl",))  # fmt: skip


def _evaluated() -> Iterator[Case]:
    argv = ("eval", "--tasks", "rows.jsonl", "--n", "2", "--max-tokens", "7", "--output-dir", "run")
    for name, row in {
        **{f"answer is {name}": {"prompt": prompts(1)[0], "answer": answer} for name, answer in _ANSWERS.items()},
        **{f"prompt is {name}": {"prompt": prompt, "answer": "2"} for name, prompt in _PROMPTS.items()},
    }.items():
        yield Case(EVAL, f"eval: {name}", (*argv, "--reward", "own.zero"), {
            "rows.jsonl": json_lines([{"prompt": prompts(1)[0], "answer": "13"}, row]), "own.py": ZERO,
        }, "either" if name.startswith("answer") else "refuse", ("rows.jsonl", "tasks", "row", "problem"))  # fmt: skip
        if name.startswith("answer"):
            chat = [{"role": "user", "content": "1+1"}]
            rows = [{"prompt": chat, "answer": "2"}, {**row, "prompt": chat}]
            yield Case(EVAL, f"eval, graded as mathematics: {name}", (*argv, "--plain"),
                       {"rows.jsonl": json_lines(rows)}, says=("rows.jsonl",))  # fmt: skip
