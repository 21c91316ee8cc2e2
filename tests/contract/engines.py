"""The contract tests of every engine, each in an environment of its own; exits with 1 if one fails.

    python tests/contract/engines.py [ENGINE ...] [--fresh]

README.md beside this file says what an engine's folder holds. Environments are kept in build/engines. Writes
benchmarks/results/engines.json, of which `python docs/generate.py` makes the table in docs/engines.md.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments import (
    LEVELS,
    ROOT,
    find_python,
    install_this_repository,
    installation_error,
    make_environment,
    pip_install,
    run_tests,
)

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = ROOT / "build" / "engines"
RESULTS = ROOT / "benchmarks" / "results" / "engines.json"
HAS_ITS_OWN_RUNNER = {"trl"}


@dataclass(frozen=True)
class Environment:
    """What one requirements file asks for.

    Attributes:
        engine: name of its folder.
        name: the engine's, with the file's suffix: "verl", "verl-0.8".
        file: the requirements file, None for the main environment.
        python: version of the interpreter, "" for this one.
        package: distribution of the engine.
        without_dependencies: what is installed last, with --no-deps.
        tests: the file of the engine's folder that runs there, "" for all of them.
    """

    engine: str
    name: str
    file: Path | None
    python: str = ""
    package: str = ""
    without_dependencies: tuple[str, ...] = ()
    tests: str = ""


def engine_names() -> list[str]:
    folders = (path.name for path in HERE.iterdir() if path.is_dir() and any(path.glob("test_*.py")))
    return sorted(set(folders) - HAS_ITS_OWN_RUNNER)


def environments(engine: str) -> list[Environment]:
    """The environments of an engine, one for each requirements file, or the main one."""
    files = sorted((HERE / engine).glob("requirements*.txt"))
    return [read_environment(engine, file) for file in files] or [Environment(engine, engine, None, package=engine)]


def read_environment(engine: str, file: Path) -> Environment:
    """The environment that a requirements file describes; ValueError at a comment that is nearly one of ours."""
    words: dict[str, list[str]] = {"python": [], "engine": [], "no-deps": [], "tests": []}
    for line in file.read_text().splitlines():
        if not line.startswith("#"):
            break
        if match := re.fullmatch(r"# ([a-z-]+): *(\S+)", line):
            if match[1] not in words:
                raise ValueError(f"{file}: {line!r}: expected one of {', '.join(words)}")
            words[match[1]].append(match[2])
    return Environment(
        engine=engine,
        name=engine + file.stem.removeprefix("requirements"),
        file=file,
        python="".join(words["python"]),
        package="".join(words["engine"]) or engine,
        without_dependencies=tuple(words["no-deps"]),
        tests="".join(words["tests"]),
    )


def interpreter(wanted: Environment, fresh: bool) -> Path:
    """Python of the environment, built anew where its file has changed since."""
    if wanted.file is None:
        return Path(sys.executable)
    folder, text = ENVIRONMENTS / wanted.name, wanted.file.read_text()
    stamp, python = folder / "requirements.txt", folder / "bin" / "python"
    if fresh or not stamp.is_file() or stamp.read_text() != text:
        stamp.unlink(missing_ok=True)
        python = make_environment(folder, find_python(wanted.python) if wanted.python else sys.executable)
        pip_install(python, "--requirement", str(wanted.file), "pytest")
        if wanted.without_dependencies:
            pip_install(python, "--no-deps", *wanted.without_dependencies)
        stamp.write_text(text)
    install_this_repository(python)
    return python


def versions(python: Path, package: str) -> dict[str, str | None]:
    """Versions of the engine, Python and torch there; None for what is not installed."""
    code = (
        "import importlib.metadata as m, json, platform, sys\n"
        "def v(n):\n"
        "    try: return m.version(n)\n"
        "    except m.PackageNotFoundError: return None\n"
        "print(json.dumps({'version': v(sys.argv[1]), 'python': platform.python_version(), 'torch': v('torch')}))"
    )
    done = subprocess.run([str(python), "-c", code, package], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def row(wanted: Environment, fresh: bool = False) -> dict[str, Any]:
    """One row of the table: versions, the strongest level a passed test exercised, counts; or why nothing ran."""
    sources = "BANDPO_SOURCES=DIR " if os.environ.get("BANDPO_SOURCES") else ""
    head = {
        "engine": wanted.engine,
        "environment": wanted.name if wanted.file else "main",
        "date": datetime.date.today().isoformat(),
        "command": f"{sources}python {Path(__file__).relative_to(ROOT)} {wanted.name}",
    }
    try:
        python = interpreter(wanted, fresh)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pinned = [pin.partition("==")[2] for pin in wanted.without_dependencies if pin.startswith(wanted.package)]
        reason = installation_error(error) if isinstance(error, subprocess.CalledProcessError) else str(error)
        nothing = {"passed": 0, "failed": [], "skipped": {}, "seconds": 0.0, "tests": {}, "exercised": None}
        return {**head, "version": "".join(pinned) or None, "python": None, "torch": None, **nothing, "note": reason}
    report = ENVIRONMENTS / f"{wanted.name}.xml"
    report.parent.mkdir(parents=True, exist_ok=True)
    found = run_tests(python, HERE.relative_to(ROOT) / wanted.engine / wanted.tests, report, "-m", "")
    installed = versions(python, wanted.package)
    read_from = found.pop("versions")
    tests = found.pop("exercised")
    exercised = next((level for level in LEVELS if tests.get(level)), None)
    installed["version"] = installed["version"] or ", ".join(read_from) or None
    return {**head, **installed, **found, "tests": tests, "exercised": exercised, "note": ""}


def chosen(name: str) -> list[Environment]:
    """The environments of an engine, or the one of that name; ValueError if there is none."""
    for engine in engine_names():
        wanted = environments(engine)
        if found := wanted if name == engine else [one for one in wanted if one.file and one.name == name]:
            return found
    raise ValueError(f"ENGINE {name}: expected some of {', '.join(engine_names())}, or one of their environments")


def merged(earlier: list[dict[str, Any]], rows: list[dict[str, Any]], known: set[str]) -> list[dict[str, Any]]:
    """`earlier` with the rows of what ran replaced, by engine and environment.

    `known` are the environments that the engines which ran have: their rows of others are dropped.
    """
    engines = {one["engine"] for one in rows}
    ran = {(one["engine"], one["environment"]) for one in rows}
    kept = [
        one
        for one in earlier
        if one["engine"] not in engines
        or (one["environment"] in known and (one["engine"], one["environment"]) not in ran)
    ]
    return sorted([*kept, *rows], key=lambda one: (one["engine"], one["environment"]))


def record(found: dict[str, Any], engine: str) -> None:
    """Write one row into engines.json, read anew: another run may have written in between, this one be interrupted."""
    earlier = json.loads(RESULTS.read_text())["rows"] if RESULTS.is_file() else []
    known = {one.name if one.file else "main" for one in environments(engine)}
    result = {"machine": f"{platform.system()} {platform.machine()}", "rows": merged(earlier, [found], known)}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the contract tests of engines, each in its own environment.")
    parser.add_argument(
        "engines",
        nargs="*",
        metavar="ENGINE",
        help=f"some of {', '.join(engine_names())}, or of their environments, such as verl-main-ppo; all if none",
    )
    parser.add_argument("--fresh", action="store_true", help="build the environments anew")
    options = parser.parse_args()
    try:
        tables = [chosen(name) for name in options.engines or engine_names()]
    except ValueError as error:
        parser.error(str(error))
    has_failed = False
    for wanted in itertools.chain.from_iterable(tables):
        print(wanted.name, flush=True)
        found = row(wanted, options.fresh)
        print(json.dumps(found, indent=2), flush=True)
        record(found, wanted.engine)
        has_failed |= bool(found["failed"] or not found["passed"])
    subprocess.run([sys.executable, str(ROOT / "docs" / "generate.py")], check=True)
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main())
