"""`bandpo.inspect`: one pass over recorded batches, of which everything that is said is summed up or sampled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bandpo.microscope.alignment.diagnosis import diagnose
from bandpo.microscope.alignment.verdict import Alignment
from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.errors import BatchError
from bandpo.microscope.inspection import sentences
from bandpo.microscope.inspection.comparison import compared
from bandpo.microscope.inspection.inspection import Failure, FileFacts, Inspection, RadiusCurve
from bandpo.microscope.inspection.movement import Movement
from bandpo.microscope.inspection.noise import noise, widths
from bandpo.microscope.inspection.radii import Radii, measure_of
from bandpo.microscope.inspection.rule import DEFAULT, Rule, acted, missing, rule, rule_of
from bandpo.microscope.inspection.sample import Sample
from bandpo.microscope.inspection.shares import AXES, Shares
from bandpo.microscope.inspection.stopped import excerpts, kinds
from bandpo.microscope.reading.read import read_batches

TARGET = 0.02
_SHARES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1)
_DIVERGENCES = (0.001, 0.003, 0.01, 0.03)


def inspect(
    paths: str | Path | Iterable[str | Path],
    *,
    method: str | None = None,
    options: Mapping[str, Any] | None = None,
    target: float = TARGET,
    columns: Mapping[str, str] | None = None,
) -> Inspection:
    """Say of recorded batches what the region did, whether log-probs are aligned, and which radius stops how much.

    Any number of tokens is read in bounded memory. Shares and radii count every token; the alignment, the comparison
    of methods and the tokens shown come from a sample of at most 65,536.

    Args:
        paths: files or folders, of `bandpo.record` or of any engine that is read, see docs/microscope.md.
        method, options: the method to look at; if not given, the one that the files name, else band-kl.
        target: share of tokens to stop, 0 < target < 1, for the radius that is advised.
        columns: names of our tensors to a table's columns, for JSONL and Parquet.

    Raises:
        BatchError: (a ValueError) no file could be read.
        ValueError, TypeError: an unknown method, a target out of range.

    >>> import tempfile
    >>> logp_old = torch.tensor([[0.01, 0.9]]).log()
    >>> given = {"logp": torch.tensor([[0.02, 0.99]]).log(), "logp_old": logp_old, "advantages": torch.ones(1)}
    >>> path = bandpo.record(tempfile.mkdtemp(), mask=torch.ones(1, 2), wait=True, **given)
    >>> bandpo.inspect(path).total.stopped
    1
    """
    if not 0 < target < 1:
        raise ValueError(f"target={target!r}: expected a share above 0 and below 1")
    inspector = _Inspector(None if method is None else rule(method, options), target)
    failures: list[Failure] = []

    def keep(path: Path, error: BatchError) -> None:
        failures.append(Failure(str(path), str(error)))

    for batch in read_batches(paths, columns, on_error=keep):
        inspector.add(batch)
    if not inspector.files:
        raise BatchError("; ".join(failure.error for failure in failures) or "no files given")
    return inspector.result(failures)


class _Inspector:
    """Everything that is summed up over batches.

    Args:
        what: the method to look at, None for the first that a batch names.
        target: share of tokens to stop.
    """

    def __init__(self, what: Rule | None, target: float):
        self.what, self.target, self.is_asked = what, target, what is not None
        self.files: dict[str, FileFacts] = {}
        self.shares, self.moved, self.first_uses = Shares(), Movement(), Movement()
        self.radii: Radii | None = None
        self.lacking: dict[str, None] = {}
        self.of_method = Sample(wanted=lambda batch: self.what is not None and not missing(batch, self.what))
        self.of_first_use = Sample(wanted=_is_first_use)
        self.of_sampler = Sample(wanted=lambda batch: batch.logp_rollout is not None and _trainer(batch) is not None)

    def add(self, batch: TokenBatch) -> None:
        """Count a batch."""
        self._count_file(batch)
        named = rule_of(batch)
        what = self.what = self.what or named or rule(DEFAULT)
        if named is None and not self.is_asked:
            self.lacking[f"no method named in some files: {what} was looked at there, --method names another"] = None
        elif named is not None and str(named) != str(what):
            self.lacking[f"some files name {named} as their method: {what} was looked at all the same"] = None
        if self.radii is None and (measured := measure_of(what)) is not None:
            self.radii = Radii(measured[0])
        if lacks := missing(batch, what):
            self.lacking[f"{lacks} missing: {what} cannot be applied there"] = None
        else:
            did = acted(batch, what)
            self.shares.add(did)
            self.moved.add(did.p, did.log_ratio)
            if self.radii is not None:
                self.radii.add(did)
        if _is_first_use(batch):
            assert batch.logp is not None and batch.logp_old is not None
            old = batch.logp_old[batch.mask].float()
            self.first_uses.add(old.exp(), batch.logp[batch.mask].float() - old)
        for sample in (self.of_method, self.of_first_use, self.of_sampler):
            sample.add(batch)

    def result(self, failures: list[Failure]) -> Inspection:
        """Return what was found."""
        what = self.what
        assert what is not None
        batch, rows = self.of_method.batch(), noise(self.first_uses, what)
        did = None if batch is None else acted(batch, what)
        alignments, radii = self._alignments(), self._radii()
        verdict = [
            sentences.on_region(str(what), self.shares, self.moved, widths(what)),
            *sentences.on_alignments(alignments),
            sentences.on_noise(rows),
            "" if radii is None or not radii.advised else _advice(self.target, radii.advised),
        ]
        return Inspection(
            verdict=[sentence for sentence in verdict if sentence],
            method=str(what),
            files=list(self.files.values()),
            failures=failures,
            total=self.shares.total,
            shares={axis: self.shares.table(axis) for axis in AXES},
            mean_move=self.moved.mean,
            largest_move=self.moved.largest,
            unmoved=self.moved.unmoved,
            noise=rows,
            pairs=list(alignments),
            alignments=list(alignments.values()),
            radii=radii,
            methods=[] if batch is None else compared(batch, what),
            sampled=0 if batch is None else batch.tokens,
            kinds=[] if batch is None or did is None else kinds(batch, did),
            excerpts=[] if batch is None or did is None else excerpts(batch, did),
            closed=self._closed(),
        )

    def _count_file(self, batch: TokenBatch) -> None:
        file = self.files.setdefault(batch.source, FileFacts(batch.source, batch.format))
        file.tokens += batch.tokens
        file.sequences += len(batch.mask)
        file.first_uses += bool(batch.is_first_use)
        if batch.step is not None and batch.step not in file.steps:
            file.steps.append(batch.step)
        file.notes += [note for note in batch.notes if note not in file.notes]

    def _alignments(self) -> dict[str, Alignment]:
        found = {}
        for sample, which in ((self.of_first_use, "trainer and old policy"), (self.of_sampler, "trainer and sampler")):
            batch = sample.batch()
            if batch is None:
                continue
            name = "logp_old" if which == "trainer and old policy" else "logp_rollout"
            new = batch.logp if name == "logp_old" else _trainer(batch)
            assert new is not None
            found[which] = diagnose(
                new,
                getattr(batch, name),
                batch.mask,
                token_ids=batch.token_ids,
                groups=batch.groups,
                entropy=batch.entropy if new is batch.logp or batch.is_first_use else None,
                dtype_old=batch.dtypes.get(name),
                decimals=batch.decimals,
                which=which,
            )
        return found

    def _radii(self) -> RadiusCurve | None:
        measured = None if self.what is None else measure_of(self.what)
        if self.radii is None or measured is None or not self.radii.tokens:
            return None
        radii, (measure, names) = self.radii, measured
        for_shares = {f"{share:g}": radius for share in _SHARES if (radius := radii.for_share(share)) is not None}
        for_divergences = {f"{d:g}": radius for d in _DIVERGENCES if (radius := radii.for_divergence(d)) is not None}
        points = [(radius, radii.stopped(radius)) for radius in (10 ** (n / 8) for n in range(-40, 9))]
        best, name = radii.for_share(self.target), self.what.method.name if self.what else ""
        advised = "" if best is None else ":".join([name, *(f"{option}={best:.3g}" for option in names)])
        return RadiusCurve(measure, names, points, for_shares, for_divergences, advised)

    def _closed(self) -> list[str]:
        notes = [note for file in self.files.values() for note in file.notes]
        lacking = list(self.lacking)
        if not self.of_first_use.seen:
            lacking.append("no batch is known to be a first use: whether trainer and old policy agree cannot be said")
        return list(dict.fromkeys([*lacking, *notes]))


def _is_first_use(batch: TokenBatch) -> bool:
    return batch.is_first_use is True and batch.logp is not None and batch.logp_old is not None


def _trainer(batch: TokenBatch) -> Any:
    """Return the trainer's log-probs under the weights that the sampler had, as far as known."""
    return batch.logp_old if batch.logp_old is not None else batch.logp if batch.is_first_use is not False else None


def _advice(target: float, line: str) -> str:
    method, *options = line.split(":")
    return f"To stop {sentences.percent(target)} of such tokens with {method}: {', '.join(options)}."
