"""The command line: parts one after another, what each said, one table at the end.

python -m benchmarks.gpu                          # one GPU, at most six minutes
python -m benchmarks.gpu --wheels build/gpu-wheels    # on a machine with torch, Triton and transformers alone
python -m benchmarks.gpu --device cpu --small     # every line of it on a CPU; no number means anything
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.gpu import page, runner
from benchmarks.gpu.parts import PARTS
from benchmarks.gpu.record import write
from benchmarks.gpu.wheels import unpack

DRY = runner.ROOT / "runs" / "gpu-dry"


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    own = argparse.ArgumentParser("python -m benchmarks.gpu", description="Measure this package on one GPU.")
    own.add_argument("--only", action="append", choices=PARTS, help="this part; may be given several times")
    own.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="cpu with --small only")
    own.add_argument("--small", action="store_true", help="a dry run on a CPU")
    own.add_argument("--patience", type=float, default=1.0, help="times as long for every part")
    own.add_argument("--wheels", type=Path, help="folder of packages that this machine lacks, see make gpu-wheels")
    own.add_argument("--out", type=Path, help="folder of results; benchmarks/results/gpu, or runs/gpu-dry of a dry run")
    own.add_argument("--page", action="store_true", help="write docs/gpu.md from the results, what was measured or not")
    own.add_argument("--run", action=argparse.BooleanOptionalAction, default=True, help="--no-run: the page alone")
    return own


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts and return the exit code: 1 where something is wrong, 2 where nothing was begun."""
    options = parser().parse_args(arguments)
    out = options.out or (DRY if options.small else page.RESULTS)
    problem = refusal(options)
    if problem:
        print(f"benchmarks.gpu: {problem}", file=sys.stderr)
        return 2
    code = 0
    if options.run:
        with tempfile.TemporaryDirectory(prefix="bandpo-gpu-") as place:
            try:
                run_all(options, out, Path(place))
            except ValueError as error:
                print(f"benchmarks.gpu: {error}", file=sys.stderr)
                return 2
            except KeyboardInterrupt:
                code = 130
        results = page.load(out)
        print("\n" + page.summary(results))
        code = code or int(page.is_wrong({name: results[name] for name in chosen(options)}))
    if options.page:
        page.update(out)
    return code


def refusal(options: argparse.Namespace) -> str | None:
    """Return why nothing can be begun, None where it can."""
    if options.small != (options.device == "cpu"):
        given = f"--device {options.device}{' --small' if options.small else ''}"
        return f"{given}: expected --small with --device cpu and with no other"
    if not options.patience > 0:
        return f"--patience {options.patience:g}: expected a positive number"
    if options.page and options.small:
        return "--page with --small: expected no page of a dry run"
    if options.run and options.device == "cuda" and not torch.cuda.is_available():
        return "torch sees no GPU here: expected one, or --device cpu --small for a dry run"
    return None


def chosen(options: argparse.Namespace) -> list[str]:
    """Return the parts that are asked for, all if none is named."""
    return [name for name in PARTS if not options.only or name in options.only]


def run_all(options: argparse.Namespace, out: Path, place: Path) -> None:
    """Run the chosen parts; one that fails does not keep the next from running.

    Raises:
        ValueError: no wheels where they should be.
        KeyboardInterrupt: the running part has been ended.
    """
    site = None
    if options.wheels is not None:
        site = place / "site"
        unpack(options.wheels, site)
        sys.path.insert(0, str(site))
    out.mkdir(parents=True, exist_ok=True)
    env = runner.environment(options.device, site)
    names = chosen(options)
    with (out / "log.txt").open("w", encoding="utf-8") as log:
        for number, name in enumerate(names, start=1):
            part, target = PARTS[name], out / f"{name}.json"
            seconds = part.seconds * options.patience
            print(f"{number}/{len(names)} {name}: {part.about}, at most {seconds:g} s", flush=True)
            if missing := part.missing():
                ended = f"not started, not installed: {', '.join(missing)}"
                write(target, {"part": name, "small": options.small, "ended": ended, "values": {}})
            else:
                folder = place / name
                folder.mkdir()
                command = runner.command_of(name, target, folder, options.device, options.small)
                ended = runner.run_part(name, command, target, seconds, log, env)
            print(f"    {ended}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
