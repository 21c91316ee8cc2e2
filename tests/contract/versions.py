"""The tests with several releases of Python, torch, transformers and TRL; exits with 1 if one fails.

    python tests/contract/versions.py [ROW ...] [--only SUITE ...] [--keep]

A row gets an environment of its own, build/versions/ROW, with what it pins and what pip resolves beside it, and
loses it once it has run; one that was kept, or left by a run that was interrupted, is used again. Writes versions.json
and versions.md to benchmarks/results after every suite, with what ran replaced, and the table in docs/engines.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments import ROOT, find_python, installation_error, make_environment, pip_install, run_tests

ENVIRONMENTS = ROOT / "build" / "versions"
RESULTS = ROOT / "benchmarks" / "results"
COMMAND = "python tests/contract/versions.py"
TRAINING = "train"
SUITES = {"core": "tests/core", "kernels": "tests/kernels", "methods": "tests/methods", "trl": "tests/contract/trl"}
REPORTED = ("torch", "transformers", "trl", "accelerate", "datasets", "tokenizers", "huggingface_hub", "triton")
TEST_TOOLS = ("setuptools", "pytest>=8", "hypothesis>=6.100", "mpmath>=1.3,<1.4")
TRAIN = ("train", "--max_steps=16", "--evaluate_every=1", "--eval_samples=2", "--logging_steps=4")


@dataclass(frozen=True)
class Row:
    """Releases that are tested together.

    Attributes:
        name: what the row is called on the command line.
        python: version of the interpreter, such as "3.12".
        packages: what pip installs beside this repository with [train].
        suites: names of `SUITES` that run.
    """

    name: str
    python: str
    packages: tuple[str, ...]
    suites: tuple[str, ...] = tuple(SUITES)


NEWEST = ("torch==2.15.0", "transformers==5.24.0", "trl==1.16.0")
OF_TRL = ("trl",)
# No kernels: they are built from torch 2.8 on.
OF_EAGER = ("core", "methods", "trl")
# transformers of a TRL's time, and what that TRL imports without asking for it.
ROWS = (
    Row("pinned", "3.11", ("torch==2.13.0", "transformers==5.23.0", "trl==1.16.0", "triton==3.6.0")),
    Row("newest-3.14", "3.14", NEWEST),
    Row("newest-3.13", "3.13", NEWEST),
    Row("newest-3.12", "3.12", NEWEST),
    Row("oldest", "3.10", ("torch==2.6.0", "transformers==5.6.2", "trl==1.0.0", "requests"), OF_EAGER),
    Row("trl-1.0.0", "3.11", ("torch==2.13.0", "transformers==5.6.2", "trl==1.0.0", "requests"), OF_TRL),
    Row("trl-1.6.0", "3.11", ("torch==2.13.0", "transformers==5.10.2", "trl==1.6.0", "requests"), OF_TRL),
    Row("trl-1.10.0", "3.11", ("torch==2.13.0", "transformers==5.14.1", "trl==1.10.0", "requests"), OF_TRL),
    Row("trl-1.13.0", "3.11", ("torch==2.13.0", "transformers==5.15.0", "trl==1.13.0", "requests"), OF_TRL),
)


def interpreter(row: Row) -> Path:
    """Python of an environment with what the row pins, this repository and what its tests import.

    Built anew where there is none or its pins were others.
    """
    folder, pins = ENVIRONMENTS / row.name, "\n".join((row.python, *row.packages, ""))
    stamp, python = folder / "pins.txt", folder / "bin" / "python"
    if not stamp.is_file() or stamp.read_text() != pins:
        stamp.unlink(missing_ok=True)
        python = make_environment(folder, find_python(row.python))
        pip_install(python, "--editable", f"{ROOT}[train]", *row.packages, *TEST_TOOLS)
        stamp.write_text(pins)
    return python


def installed(python: Path) -> dict[str, str | None]:
    """Versions of Python and of `REPORTED` in that environment; None for what is not there."""
    code = (
        "import importlib.metadata as m, json, platform, sys\n"
        "def v(n):\n"
        "    try: return m.version(n)\n"
        "    except m.PackageNotFoundError: return None\n"
        "print(json.dumps({'python': platform.python_version(), **{n: v(n) for n in sys.argv[1:]}}))"
    )
    done = subprocess.run([str(python), "-c", code, *REPORTED], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def tested(python: Path, suite: str, name: str) -> dict[str, Any]:
    """Counts of one suite; a suite whose pytest leaves no report has failed as a whole."""
    try:
        found = run_tests(python, Path(SUITES[suite]), ENVIRONMENTS / f"{name}-{suite}.xml")
    except RuntimeError as error:
        found = {"passed": 0, "failed": [str(error)], "skipped": {}, "seconds": 0.0}
    counts = {key: found[key] for key in ("passed", "failed", "skipped", "seconds")}
    return {"date": datetime.date.today().isoformat(), **counts}


def trained(python: Path, name: str) -> str:
    """Run a short `bandpo train`: "" if it ends with its model written, otherwise the last line of what it said."""
    folder = ENVIRONMENTS / f"{name}-run"
    shutil.rmtree(folder, ignore_errors=True)
    command = [str(python.absolute()), "-m", "bandpo", *TRAIN, f"--output_dir={folder}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    written = any(folder.rglob("*.safetensors"))
    shutil.rmtree(folder, ignore_errors=True)
    if done.returncode == 0 and written:
        return ""
    said = done.stderr.strip().splitlines()
    # Its table is for every machine: no path of this one.
    return said[-1].replace(f"{ROOT}/", "") if said else f"exit code {done.returncode}, model written: {written}"


def run(row: Row, only: Collection[str] = (), keep: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the row of the table as it grows, suite by suite and training last; or why nothing ran.

    Args:
        only: suites, and `TRAINING`, that run; all of the row's if empty.
        keep: leave the environment for the next run.
    """
    found: dict[str, Any] = {"row": row.name, "date": datetime.date.today().isoformat(), "pinned": list(row.packages)}
    found |= {"versions": {}, "suites": {}, "train": None, "note": ""}
    try:
        python = interpreter(row)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        reason = installation_error(error) if isinstance(error, subprocess.CalledProcessError) else str(error)
        pinned = dict(pin.split("==") for pin in row.packages if "==" in pin)
        yield {**found, "versions": {"python": row.python, **pinned}, "note": reason}
        return
    found["versions"] = installed(python)
    for suite in row.suites:
        if not only or suite in only:
            found["suites"] = {**found["suites"], suite: tested(python, suite, row.name)}
            yield found
    if not only or TRAINING in only:
        yield {**found, "train": trained(python, row.name)}
    if not keep:
        shutil.rmtree(ENVIRONMENTS / row.name)


def has_failed(found: dict[str, Any]) -> bool:
    """Return whether anything of a row failed, or a suite of it ran no test."""
    suites = found["suites"].values()
    return bool(found["note"] or found["train"]) or any(one["failed"] or not one["passed"] for one in suites)


def table(rows: list[dict[str, Any]], machine: str) -> str:
    """The page of all rows: versions, then passed, failed and skipped of each suite."""
    lines = [
        "# Releases of Python, torch, transformers and TRL that are tested",
        "",
        f"{machine}; generated by `{COMMAND}`.",
        f"Tests passed, failed, skipped of {', '.join(f'`{folder}`' for folder in SUITES.values())};",
        "whether `bandpo train` trains 16 steps. –: not run.",
        "",
        f"| row | Python | torch | transformers | TRL | {' | '.join(SUITES)} | train | date |",
        "|" + "---|" * (len(SUITES) + 7),
    ]
    for one in rows:
        versions = [one["versions"].get(name) or "–" for name in ("python", "torch", "transformers", "trl")]
        train = {"": "yes", None: "–"}.get(one["train"], "no")
        counts = [numbers(one["suites"].get(suite)) for suite in SUITES]
        oldest = min((suite["date"] for suite in one["suites"].values()), default=one["date"])
        lines.append("| " + " | ".join([one["row"], *versions, *counts, train, oldest]) + " |")
    return "\n".join([*lines, "", *notes(rows)]) + "\n"


def numbers(suite: dict[str, Any] | None) -> str:
    if suite is None:
        return "–"
    return f"{suite['passed']}, {len(suite['failed'])}, {sum(suite['skipped'].values())}"


def notes(rows: list[dict[str, Any]]) -> list[str]:
    """What failed, row by row, and every reason for a skip once."""
    said = []
    for one in rows:
        failed = [f"{suite}: {name}" for suite, found in one["suites"].items() for name in found["failed"]]
        train = [f"`bandpo train`: {one['train']}"] if one["train"] else []
        said += [f"- {one['row']}: {what}" for what in [*filter(None, [one["note"]]), *failed, *train]]
    reasons = sorted({reason for one in rows for suite in one["suites"].values() for reason in suite["skipped"]})
    return [*said, *([""] if said else []), *(f"- skipped: {reason}" for reason in reasons)]


def merged(earlier: list[dict[str, Any]], found: dict[str, Any]) -> list[dict[str, Any]]:
    """`earlier` with what was found of one row, in the order of `ROWS`; rows of other names are dropped.

    Suites that did not run this time stay where the row had the same releases.
    """
    by_name = {one["row"]: one for one in earlier}
    before = by_name.get(found["row"])
    if before and before["versions"] == found["versions"]:
        train = before["train"] if found["train"] is None else found["train"]
        found = {**found, "suites": before["suites"] | found["suites"], "train": train}
    by_name[found["row"]] = found
    return [by_name[row.name] for row in ROWS if row.name in by_name]


def record(found: dict[str, Any]) -> None:
    """Write what was found of a row into versions.json, and versions.md from it."""
    file = RESULTS / "versions.json"
    earlier = json.loads(file.read_text())["rows"] if file.is_file() else []
    machine, rows = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores", merged(earlier, found)
    file.write_text(json.dumps({"command": COMMAND, "machine": machine, "rows": rows}, indent=2) + "\n")
    (RESULTS / "versions.md").write_text(table(rows, machine))


def chosen(name: str) -> list[Row]:
    """The row of that name, or those whose name it begins; ValueError if there is none."""
    if found := [row for row in ROWS if row.name == name or row.name.startswith(f"{name}-")]:
        return found
    raise ValueError(f"ROW {name}: expected some of {', '.join(row.name for row in ROWS)}, or a beginning of them")


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the tests with several releases of what bandpo stands on.")
    names = ", ".join(row.name for row in ROWS)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"some of {names}; trl is all of trl-; all if none")
    suites = [*SUITES, TRAINING]
    parser.add_argument("--only", nargs="+", choices=suites, default=[], help="run these suites, not all of a row's")
    parser.add_argument("--keep", action="store_true", help="keep the environments for the next run")
    options = parser.parse_args()
    try:
        wanted = dict.fromkeys(row for name in options.rows for row in chosen(name)) or ROWS
    except ValueError as error:
        parser.error(str(error))
    failed = False
    for row in wanted:
        print(row.name, flush=True)
        for found in run(row, options.only, options.keep):
            record(found)
            print(json.dumps(found, indent=2), flush=True)
            failed |= has_failed(found)
    subprocess.run([sys.executable, str(ROOT / "docs" / "generate.py")], check=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
