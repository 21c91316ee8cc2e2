"""Folders that are not ours: nothing in them may be changed, whatever is asked for."""

from __future__ import annotations

from benchmarks.attack.case import Case
from benchmarks.attack.inputs.common import small_train

KIND = "folders of someone else"
_PRECIOUS = "precious\n"
_LAYOUTS: dict[str, dict[str, str]] = {
    "a recipe and a model": {"p/config.yaml": "name: mine\n", "p/model/weights.txt": _PRECIOUS},
    "an empty recipe and a model": {"p/config.yaml": "", "p/model/weights.txt": _PRECIOUS},
    "a result and a model": {"p/result.json": '{"mine": 1}\n', "p/model/weights.txt": _PRECIOUS},
    "a recipe and checkpoints": {"p/config.yaml": "lr: 1\n", "p/checkpoint-100/weights.txt": _PRECIOUS},
    "a recipe and metrics": {"p/config.yaml": "lr: 1\n", "p/metrics.jsonl": '{"mine": 1}\n'},
    "a recipe and samples": {"p/config.yaml": "lr: 1\n", "p/countdown.samples.jsonl": _PRECIOUS},
    "a model": {"p/model/weights.txt": _PRECIOUS},
    "a file": {"p/notes.txt": _PRECIOUS},
    "a hidden file": {"p/.notes": _PRECIOUS},
    "a recipe that is a list": {"p/config.yaml": "- 1\n", "p/model/weights.txt": _PRECIOUS},
    "a recipe and an environment": {
        "p/config.yaml": "lr: 1\n",
        "p/environment.json": '{"python": "3"}\n',
        "p/model/weights.txt": _PRECIOUS,
    },
}
_EVAL = ("eval", "--n", "2", "--limit", "2", "--k", "1", "--output-dir", "p")
_COMPARE = ("compare", "--methods", "grpo", "--seeds", "1", "--out", "p", "--max_steps", "2", "--jobs", "1")


def cases() -> list[Case]:
    """Each layout under train and eval, with and without --overwrite; a file in place of a folder."""
    found = []
    for name, files in _LAYOUTS.items():
        for argv in (small_train("--output_dir=p"), _EVAL):
            for more in ((), ("--overwrite",)):
                words = f"{argv[0]}{' --overwrite' if more else ''} on {name}"
                found.append(
                    Case(
                        KIND,
                        words,
                        (*argv, *more),
                        files,
                        says=("'p'", "p holds", "p/", "p/config.yaml"),
                        keeps=tuple(files),
                    )
                )
    for argv in (small_train("--output_dir=p"), _EVAL, _COMPARE):
        found.append(Case(KIND, f"{argv[0]} on a file in its place", argv, {"p": _PRECIOUS}, says=("p",), keeps=("p",)))
        inside = tuple(
            part.replace("=p", "=p/x") if part.endswith("=p") else "p/x" if part == "p" else part for part in argv
        )
        found.append(Case(KIND, f"{argv[0]} below a file", inside, {"p": _PRECIOUS}, says=("p/x",), keeps=("p",)))
    return found
