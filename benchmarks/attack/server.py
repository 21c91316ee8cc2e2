"""A process that has imported everything and forks a child for each command, which saves the seconds of the imports.

    python -m benchmarks.attack.server

Reads one JSON object a line: argv, cwd, env, stdout, stderr, setup. Answers with the child's process id on one line
and, when it has ended, its exit code on the next. The child is a process group of its own that runs `bandpo.cli.main`
with the files as its streams. At its end it runs what is registered for the end of a process and flushes its streams,
but does not take apart the modules, which would take longer than most commands.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

# What the commands import; the rest of the package needs engines.
_PACKAGES = ("cli", "runs", "evals", "data", "views", "rewards", "tasks")
_BESIDES = (
    "transformers.models.gpt2.modeling_gpt2",
    "pydantic",
    "pyarrow.parquet",
    "rich._emoji_codes",
    "typer._adapters",
    "matplotlib.pyplot",
)
_MEMORY_BYTES = 12 * 2**30


def load() -> None:
    """Import what a command would, as far as it can be imported here."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    names = [f"bandpo.{package}" for package in _PACKAGES]
    for package in names:
        names += [found.name for found in _modules(package)]
    for name in dict.fromkeys([*names, "bandpo.engines.trl", "bandpo.engines.doctor", *_BESIDES]):
        try:
            importlib.import_module(name)
        except ImportError:
            continue


def _modules(package: str) -> list[Any]:
    try:
        paths = importlib.import_module(package).__path__
    except (ImportError, AttributeError):
        return []
    return list(pkgutil.iter_modules(paths, f"{package}."))


def serve() -> dict[str, Any] | None:
    """Fork a child for each line until there are no more; in a child, return what it was asked to do."""
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            return request
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    return None


def become(request: dict[str, Any]) -> None:
    """Take the command's folder, environment, streams and arguments."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    _redirect(request["stdout"], request["stderr"])
    sys.argv = ["bandpo", *request["argv"]]
    sys.path[0] = request["cwd"]
    exec(request["setup"], {"__name__": "setup"})


def _redirect(stdout: str, stderr: str) -> None:
    """Standard input from nowhere, the other streams to files, encoded as PYTHONIOENCODING says."""
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for descriptor, (path, how) in enumerate(((os.devnull, os.O_RDONLY), (stdout, write), (stderr, write))):
        opened = os.open(path, how, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "utf-8").partition(":")
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding=encoding, errors=errors or "strict", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding=encoding, errors="backslashreplace", buffering=1, closefd=False)


def status_of(command: Callable[[], None]) -> int:
    """Run the command; the exit code that Python would give it, with the traceback of what it did not catch."""
    try:
        command()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        traceback.print_exc()
        return 130
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def end_with(status: int) -> NoReturn:
    """End this process as Python does: wait for threads, run what is registered, flush; 120 where that fails."""
    try:
        threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
        status = status or 120
    os._exit(status)


def main() -> None:
    """Serve; a child goes on as `bandpo`."""
    load()
    print("ready", flush=True)
    request = serve()
    if request is not None:
        from bandpo.cli import main as bandpo

        become(request)
        end_with(status_of(bandpo))


if __name__ == "__main__":
    main()
