"""Environments that contract tests run in, and what pytest's report says of such a run."""

from __future__ import annotations

import collections
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# What of an engine a test runs, strongest first.
LEVELS = ("whole trainer", "real worker", "real function", "signature only")


def pip_install(python: Path, *arguments: str) -> None:
    """`pip install` into the environment of that interpreter, which needs no pip of its own.

    Raises:
        subprocess.CalledProcessError: pip failed; `installation_error` says why.
    """
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install", "--quiet"]
    done = subprocess.run([*pip, *arguments], stderr=subprocess.PIPE, text=True, check=False)
    sys.stderr.write(done.stderr)
    done.check_returncode()


def installation_error(error: subprocess.CalledProcessError) -> str:
    """What stopped an installation: pip's first complaint."""
    complaints = [line for line in (error.stderr or "").splitlines() if line.startswith("ERROR: ")]
    return ": ".join(["an installation failed", *(line.removeprefix("ERROR: ") for line in complaints[:1])])


def install_this_repository(python: Path) -> None:
    pip_install(python, "--no-deps", "--editable", str(ROOT))


def make_environment(folder: Path, python: str = sys.executable) -> Path:
    """Python of a fresh, empty virtual environment."""
    subprocess.run([python, "-m", "venv", "--clear", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"


def find_python(version: str) -> str:
    """The interpreter of a version such as 3.12: this one, one on PATH, or one that pyenv has installed.

    Raises:
        FileNotFoundError: there is none.
    """
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    candidates = [shutil.which(f"python{version}"), *sorted(map(str, pyenv.glob(f"{version}.*/bin/python")))]
    for candidate in filter(None, candidates):
        # A shim may be on PATH for a version that it does not give.
        if subprocess.run([candidate, "--version"], capture_output=True, check=False).returncode == 0:
            return candidate
    raise FileNotFoundError(f"no Python {version}")


def run_tests(python: Path, tests: Path, report: Path, *options: str) -> dict[str, Any]:
    """Run the tests under a path with that interpreter; what `read_report` says, RuntimeError if there is no report."""
    report.unlink(missing_ok=True)
    # Absolute but not resolved: the interpreter of an environment is a link.
    command = [str(python.absolute()), "-m", "pytest", str(tests), f"--junitxml={report}", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, *options], cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    if not report.exists():
        raise RuntimeError(f"pytest of {tests} ended with exit code {done.returncode} and left no report")
    return read_report(report)


def read_report(path: Path) -> dict[str, Any]:
    """Counts of a JUnit report: passed, names of the failed, skipped by reason, seconds, and what passed exercised.

    `exercised` counts the passed tests by the level of their marker, `versions` has the versions that markers name,
    `measured` what passed tests recorded under that name, as JSON, by test.
    """
    suite = next(xml.etree.ElementTree.parse(path).iter("testsuite"))
    failed: list[str] = []
    skipped, exercised = collections.Counter(), collections.Counter()
    versions, measured = set(), {}
    for case in suite.iter("testcase"):
        properties = {one.attrib["name"]: one.attrib["value"] for one in case.iter("property")}
        if "version" in properties:
            versions.add(properties["version"])
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(case.attrib["name"])
        elif (skip := case.find("skipped")) is not None:
            # A module that skips itself has its reason in the text, behind "Skipped: ".
            inside = re.search(r"Skipped: (.*?)['\"]\)$", skip.text or "", re.DOTALL)
            skipped[inside[1] if inside else skip.attrib["message"]] += 1
        elif "exercises" in properties:
            exercised[properties["exercises"]] += 1
            if "measured" in properties:
                measured[case.attrib["name"]] = json.loads(properties["measured"])
    return {
        "passed": int(suite.attrib["tests"]) - len(failed) - skipped.total(),
        "failed": failed,
        "skipped": dict(skipped),
        "seconds": round(float(suite.attrib["time"]), 1),
        "exercised": dict(exercised),
        "versions": sorted(versions),
        "measured": measured,
    }
