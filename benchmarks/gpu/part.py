"""One part in this process: `python -m benchmarks.gpu.part NAME --out FILE --place FOLDER`; `runner` starts it."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import subprocess
import sys
from pathlib import Path

import torch

from bandpo.runs.comparison.tether import be_killed_with_parent
from bandpo.speed.report import machine
from bandpo.store.machine import package_version
from benchmarks.gpu.parts import PARTS
from benchmarks.gpu.record import Record
from benchmarks.gpu.runner import ROOT
from benchmarks.gpu.setting import Setting

PACKAGES = ("triton", "transformers", "trl", "datasets")


def main() -> None:
    """Measure, and write every number as it comes."""
    be_killed_with_parent()
    parser = argparse.ArgumentParser("python -m benchmarks.gpu.part")
    parser.add_argument("name", choices=PARTS)
    parser.add_argument("--out", type=Path, required=True, help="results file")
    parser.add_argument("--place", type=Path, required=True, help="folder to work in")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    here = machine(options.device, torch.get_num_threads())
    here["packages"] |= {name: found for name in PACKAGES if (found := package_version(name))}
    record = Record(options.out, options.name, {"small": options.small, "commit": commit(), "machine": here})
    setting = Setting(options.device, options.small, options.place)
    importlib.import_module(f"benchmarks.gpu.{options.name}").measure(setting, record)


def commit() -> str | None:
    """Return the commit of this checkout, with a plus where files differ from it; None where git cannot say."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        said = [
            subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
            for arguments in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--", "src", "benchmarks"])
        ]
        return said[0] + ("+" if said[1] else "")
    return None


if __name__ == "__main__":
    sys.exit(main())
