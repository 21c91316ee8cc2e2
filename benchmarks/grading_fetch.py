"""What `benchmarks/grading.py` compares with and this repository does not hold: verl's graders, our own from before.

Both go to build/grading, which git ignores. Each function returns a folder, or a sentence that says why there is none.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "grading"
# verl without what it depends on, and the one package that prime_math imports besides sympy.
VERL = ("verl==0.9.1", "pylatexenc==2.10")
BEFORE = "67ec92a"  # the last revision whose `math_reward` was math-verify behind rules


def verl() -> Path | str:
    """Return a folder with verl, installed from PyPI without dependencies."""
    folder = FOLDER / "verl"
    if not (folder / "verl" / "utils" / "reward_score" / "math_dapo.py").exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *VERL]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["pip failed"]
            return f"verl's graders are left out, since {VERL[0]} could not be fetched: {last[0]}"
    return folder


def verl_version(folder: Path) -> str:
    """Return the version of verl in a folder."""
    return next(iter(importlib.metadata.distributions(name="verl", path=[str(folder)]))).version


def before() -> Path | str:
    """Return the `src` of that revision: `git archive 67ec92a src | tar -x -C build/grading/before`, by hand."""
    folder = FOLDER / "before"
    if not (folder / "src" / "bandpo").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        archive = folder / "src.zip"
        command = ["git", "-C", str(ROOT), "archive", "--output", str(archive), BEFORE, "src"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"the grader of {BEFORE} is left out, since git has no such revision here: {done.stderr.strip()}"
        with zipfile.ZipFile(archive) as files:
            files.extractall(folder)
        archive.unlink()
    return folder / "src"
