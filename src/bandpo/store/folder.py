"""A run is a folder: resolved configuration, environment, metrics as JSON lines, samples, checkpoints and the result.

bandpo.json         the mark that makes the folder ours, see `bandpo.store.mark`; other folders are left alone
config.yaml         what the run was asked for; `bandpo train --config` takes it again
environment.json    machine and package versions
metrics.jsonl       what the trainer logged, one object a step
evaluations.jsonl   scores on the held-out problems over training
samples.jsonl       held-out answers of the final policy
checkpoint-N/       the trainer's own, to resume from, with a manifest and the metrics and evaluations up to it
model/              final policy and tokenizer
finished.json       size and SHA-256 of the JSON files and the result
result.json         written last: the run is complete
.lock, .holder      who runs in the folder

Nothing is deleted but checkpoints of this run that `save_total_limit` no longer keeps: `--overwrite` moves the folder
to NAME.old-1, NAME.old-2, ...
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from bandpo.files.durable import PARTIAL, sync, sync_tree, write_file
from bandpo.store import checkpoints
from bandpo.store.lock import HOLDER, LOCK, FolderLock
from bandpo.store.machine import environment
from bandpo.store.mark import MARK, read_mark, write_mark
from bandpo.store.reading import CONFIG, RESULT, RunReader
from bandpo.store.records import parse_object, to_json
from bandpo.store.seal import SEAL, sealed

ENVIRONMENT, MODEL = "environment.json", "model"
METRICS, EVALUATIONS, SAMPLES = "metrics.jsonl", "evaluations.jsonl", "samples.jsonl"
_BEFORE_A_RUN_BEGINS = {f"{name}{end}" for name in (LOCK, HOLDER, MARK, ENVIRONMENT, CONFIG) for end in ("", PARTIAL)}


class LostFolderError(OSError):
    """The folder of a run was deleted or replaced while the run went on."""


class RunFolder(RunReader):
    """One run's files, to be written. Nothing is written before `claim`, and nothing finished is overwritten."""

    def __init__(self, path: str | Path):
        super().__init__(path)
        self._lock = FolderLock(self.path)
        self._run: str | None = None

    def claim(self, config: Mapping[str, Any], overwrite: bool = False) -> str | None:
        """Prepare the folder for a run of `config`; return the checkpoint to resume from, if a run was cut short.

        Until this process ends, no other can claim the folder. What is damaged and passed over is said on standard
        error.

        Args:
            config: every option of the run.
            overwrite: move a run that is here aside, to NAME.old-1, and begin anew.

        Raises:
            ValueError: the folder holds a finished run, a run of another configuration or a damaged one, or files that
                are not ours; or another process is running in it.
        """
        self.check_claim(config, overwrite)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"output_dir={str(self.path)!r}: not made, {error.strerror}") from None
        self._lock.acquire()
        # Now that nobody else can change it.
        has_begun = self.check_claim(config, overwrite)
        if has_begun and overwrite:
            self._move_aside()
            has_begun = False
        self._run = read_mark(self.path) or write_mark(self.path)
        if not has_begun:
            self._write(ENVIRONMENT, to_json(environment(), indent=2) + "\n")
            self._write(CONFIG, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
            return None
        self._mend()
        newest, passed_over = checkpoints.newest_whole(self.path, self._run)
        for line in passed_over:
            self.say(line)
        if newest is None and passed_over:
            self.say("no checkpoint is whole: the run starts from its beginning")
        return None if newest is None else str(newest)

    def check_claim(self, config: Mapping[str, Any], overwrite: bool) -> bool:
        """Return whether a run has begun here; refuse, before anything is touched, what may not be claimed."""
        here = f"output_dir={str(self.path)!r}"
        try:
            self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise ValueError(f"{here}: {error.strerror}, expected a folder") from None
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{here} is a file: expected a folder")
        present = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        if read_mark(self.path) is None:
            if present - {LOCK, HOLDER, HOLDER + PARTIAL, MARK + PARTIAL}:
                raise ValueError(f"{here} is not empty and holds no run of bandpo's: choose another")
            return False
        if CONFIG not in present and not present - _BEFORE_A_RUN_BEGINS:
            return False
        if not overwrite:
            self._check_resumable(config, here)
        return True

    def _check_resumable(self, config: Mapping[str, Any], here: str) -> None:
        way_on = "choose another output_dir, or move this one aside by --overwrite"
        if self.is_complete():
            raise ValueError(f"{here} holds a finished run: {way_on}")
        if self.config() is None:
            raise ValueError(f"{here} holds a run without its {CONFIG}: restore it, {way_on}")
        changed = self.difference(config)
        if changed:
            raise ValueError(
                f"{here} holds an unfinished run with {changed}: repeat its options to resume it, {way_on}"
            )
        for name in (METRICS, EVALUATIONS, SAMPLES, RESULT, ENVIRONMENT):
            if (self.path / name).is_dir():
                raise ValueError(f"{here} has a folder in the place of {name}: move it away, {way_on}")
        if (self.path / MODEL).is_file():
            raise ValueError(f"{here} has a file in the place of {MODEL}/: move it away, {way_on}")

    def _move_aside(self) -> None:
        here = self.path.resolve()
        if here == Path.cwd().resolve() or here in Path.cwd().resolve().parents:
            raise ValueError(f"output_dir={str(self.path)!r} holds the current folder: expected to be called outside")
        aside = next(path for n in range(1, 10**6) if not (path := here.with_name(f"{here.name}.old-{n}")).exists())
        here.rename(aside)
        sync(here.parent)
        self.say(f"the run that was here was moved to {aside}")
        self._lock.release()
        self._lock.acquire()

    def _mend(self) -> None:
        """Write anew what can be, and say so."""
        if damage := self.damage():
            self.say(f"{damage}: the run counts as unfinished")
        try:
            parse_object((self.path / ENVIRONMENT).read_bytes())
        except (OSError, ValueError):
            self.say(f"{ENVIRONMENT} is missing or damaged: written anew for this machine")
            self._write(ENVIRONMENT, to_json(environment(), indent=2) + "\n")

    def check(self) -> None:
        """Make sure that the folder is the one that was claimed.

        Raises:
            LostFolderError: it was deleted or replaced since.
        """
        try:
            is_lost = self._run is not None and read_mark(self.path) != self._run
        except ValueError:
            is_lost = True
        if is_lost:
            raise LostFolderError(f"{self.path} was deleted or replaced while the run went on: expected to be left")

    def seal_checkpoint(self, step: int, processes: int, keep: int | None) -> None:
        """Make the checkpoint that was just written one to resume from, and remove older ones.

        Args:
            step: of the checkpoint.
            processes: that wrote it.
            keep: newest checkpoints that stay; all if None.

        Raises:
            OSError: the folder was deleted or replaced, or the disk is full.
        """
        self.check()
        assert self._run is not None, "claim comes first"
        checkpoint = self.path / f"checkpoint-{step}"
        for name in (METRICS, EVALUATIONS):
            write_file(checkpoint / name, _bytes(self.path / name))
        checkpoints.seal(checkpoint, self._run, processes)
        if keep is not None and keep > 0:
            checkpoints.remove_oldest(self.path, self._run, step, keep)

    def rewind(self, checkpoint: str | None) -> None:
        """Bring metrics and evaluations back to where they were at a checkpoint, or to nothing at the beginning.

        Args:
            checkpoint: that the run resumes from, None where it begins.
        """
        for name in (METRICS, EVALUATIONS):
            kept = b"" if checkpoint is None else _bytes(Path(checkpoint) / name)
            if not _bytes(self.path / name).startswith(kept):
                self.say(f"{name} was damaged: restored from {Path(str(checkpoint)).name}")
            self._write(name, kept)

    def append(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Add records to a JSON-lines file."""
        self.check()
        with (self.path / name).open("a", encoding="utf-8", newline="\n") as file:
            file.writelines(to_json(record) + "\n" for record in records)

    def replace(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Write a JSON-lines file anew."""
        self._write(name, "".join(to_json(record) + "\n" for record in records))

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the result, last and in one move, when all else is on the disk: its presence means completeness."""
        self.check()
        for path in self.path.iterdir():
            if path.name == MODEL and path.is_dir():
                sync_tree(path)
            elif path.is_file():
                sync(path)
        text = to_json(result, indent=2) + "\n"
        logs = {path.name: path.read_bytes() for path in sorted(self.path.glob("*.jsonl"))}
        self._write(SEAL, sealed({**logs, RESULT: text.encode()}))
        self._write(RESULT, text)

    def _write(self, name: str, data: bytes | str) -> None:
        self.check()
        write_file(self.path / name, data)


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
