"""One part in this process: `python -m benchmarks.gpu.part NAME --out FILE --place FOLDER`; `runner` starts it."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

import torch

from bandpo.runs.comparison.tether import be_killed_with_parent
from bandpo.speed.report import machine
from benchmarks.gpu.parts import PARTS
from benchmarks.gpu.record import Record
from benchmarks.gpu.setting import Setting


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
    about = {
        "small": options.small,
        "command": " ".join(["python -m benchmarks.gpu", *(["--device cpu --small"] if options.small else [])]),
        "machine": machine(options.device, torch.get_num_threads()),
    }
    record = Record(options.out, options.name, about)
    setting = Setting(options.device, options.small, options.place)
    importlib.import_module(f"benchmarks.gpu.{options.name}").measure(setting, record)


if __name__ == "__main__":
    sys.exit(main())
