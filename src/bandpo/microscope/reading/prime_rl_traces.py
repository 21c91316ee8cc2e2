"""prime-rl's streams: episodes as they arrived, and beside them what the trainer learned of their traces later.

`traces/` holds an episode a line; `annotations/PRODUCER` names a trace a line and gives numbers over a branch of it.
Each is one file, or numbered chunks that are packed when they are full. A branch is the way from a root of a trace's
nodes to a leaf, in the order of the leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.errors import BatchError
from bandpo.microscope.reading import notes
from bandpo.microscope.reading.folders import files_of
from bandpo.microscope.reading.format import Format, Options
from bandpo.microscope.reading.lines import MAX_LINE, Lines, open_bytes, parsed, raw_lines, unpacked
from bandpo.microscope.reading.look import Look, check_openable
from bandpo.microscope.reading.numbers import number
from bandpo.microscope.reading.rows import Row, batches, make_row

NAME = "prime-rl traces"
# Ours by theirs: lists over the sampled tokens of a node, and over all tokens of a branch.
_OF_NODES = {
    "logp": "trainer_logprobs",
    "logp_rollout": "logprobs",
    "logp_ref": "reference_logprobs",
    "advantages": "advantages",
    "entropy": "entropies",
}
_OF_BRANCHES = {"logp": "trainer_logprobs", "advantages": "advantages", "entropy": "entropies"}
_MAX_TRACE = 2**25
_PIECE = 2**20
_STEPS = ("step", "train_step", "training_step", "trainer_step")


@dataclass
class Branch:
    """One way through a trace: its tokens, and lists over all of them."""

    place: str
    trace: str
    index: int
    tokens: list[int]
    mask: list[bool]
    columns: dict[str, list[float | None]]
    facts: dict[str, Any] = field(default_factory=dict)


def recognises(look: Look) -> bool:
    """Return whether lines are episodes with traces."""
    return "traces" in look.columns and isinstance(look.first["traces"], list)


def read(look: Look, options: Options) -> Iterator[TokenBatch]:
    """Yield the branches of a stream, joined with what its annotations say; `logprobs` are the sampler's."""
    remarks: list[str] = []
    files = annotation_files(look.path)
    places = _places(tuple((path, path.stat().st_mtime_ns) for path in files))

    def rows() -> Iterator[Row]:
        window: list[Branch] = []
        size = 0
        for branch in _branches(look.path, remarks):
            window.append(branch)
            size += len(branch.tokens)
            if size >= options.max_tokens:
                yield from _joined(window, places)
                window, size = [], 0
        yield from _joined(window, places)

    yield from batches(rows(), options, source=str(look.path), format=NAME, remarks=remarks)


def _branches(path: Path, remarks: list[str]) -> Iterator[Branch]:
    lines, evaluations = Lines(path), 0
    for line, episode in lines:
        group = (episode.get("group") or {}).get("id")
        for trace in episode["traces"]:
            if (trace.get("info") or {}).get("kind") == "eval":
                evaluations += 1
                continue
            yield from _branches_of(trace, group, f"{path}, line {line}")
    remarks.extend([notes.TORN_LINE] if lines.is_torn else [])
    remarks.extend([notes.eval_traces(evaluations)] if evaluations else [])


def _branches_of(trace: Mapping[str, Any], group: Any, place: str) -> Iterator[Branch]:
    nodes = trace.get("nodes") or []
    scores = [
        (number(reward.get("score")) or 0.0) * (1.0 if (weight := number(reward.get("weight"))) is None else weight)
        for reward in (trace.get("rewards") or {}).values()
        if isinstance(reward, dict)
    ]
    facts = {"groups": group, "rewards": sum(scores) if scores else None, "step": _step(trace.get("info"))}
    size = 0
    for index, path in enumerate(_paths(nodes, place)):
        way = [nodes[node] for node in path]
        size += sum(1 + len(node.get("token_ids") or ()) for node in way)
        if size > _MAX_TRACE:
            raise BatchError(f"{place}: the branches of a trace hold more than {_MAX_TRACE} tokens")
        tokens = [token for node in way for token in node.get("token_ids") or ()]
        mask = [bool(sampled) for node in way for sampled in node.get("mask") or ()]
        if any(mask):
            columns = {name: _spread(way, theirs, place) for name, theirs in _OF_NODES.items()}
            known = {name: values for name, values in columns.items() if any(value is not None for value in values)}
            yield Branch(place, str(trace.get("id")), index, tokens, mask, known, dict(facts))


def _paths(nodes: list[Any], place: str) -> Iterator[list[int]]:
    """Yield the numbers of nodes from a root to each leaf.

    >>> list(_paths([{}, {"parent": 0}, {"parent": 0}], "a.jsonl, line 1"))
    [[0, 1], [0, 2]]
    """
    parents = [node.get("parent") for node in nodes]
    inner = {parent for parent in parents if parent is not None}
    for leaf in range(len(nodes)):
        if leaf in inner:
            continue
        way = [leaf]
        while (parent := parents[way[-1]]) is not None:
            # A parent comes before its children, so that no way goes round.
            if not isinstance(parent, int) or not 0 <= parent < way[-1]:
                raise BatchError(f"{place}: node {way[-1]} names {parent!r} as its parent, expected an earlier node")
            way.append(parent)
        yield way[::-1]


def _spread(way: list[Any], name: str, place: str) -> list[float | None]:
    """Return numbers that nodes hold for their sampled tokens, laid over all tokens."""
    spread: list[float | None] = []
    for node in way:
        mask, values = node.get("mask") or [], node.get(name) or []
        sampled = sum(map(bool, mask))
        if values and len(values) != sampled:
            raise BatchError(f"{place}: a node holds {len(values)} {name} for {sampled} sampled tokens")
        remaining = iter(values)
        spread.extend(next(remaining, None) if is_sampled else None for is_sampled in mask)
    return spread


def _joined(window: list[Branch], places: Mapping[str, list[tuple[Path, int]]]) -> Iterator[Row]:
    """Yield rows of branches, after what the annotations say of them: the latest where several speak."""
    by_trace: dict[str, list[Branch]] = {}
    for branch in window:
        by_trace.setdefault(branch.trace, []).append(branch)
    for update in _updates(sorted(place for trace in by_trace for place in places.get(trace, ()))):
        step = _step(update.get("info"))
        streams = {stream.get("index"): stream for stream in update.get("branches") or ()}
        for branch in by_trace[str(update["trace_id"])]:
            if step is not None:
                branch.facts["step"] = step
            stream = streams.get(branch.index, {})
            branch.columns |= {name: stream[theirs] for name, theirs in _OF_BRANCHES.items() if stream.get(theirs)}
    for branch in window:
        yield make_row(branch.place, mask=branch.mask, token_ids=branch.tokens, **branch.columns, **branch.facts)


def _step(info: Any) -> int | None:
    """Return the training step that is named in a trace's facts, or one level below."""
    if not isinstance(info, dict):
        return None
    for facts in (info, *(inner for inner in info.values() if isinstance(inner, dict))):
        for name in _STEPS:
            if isinstance(facts.get(name), int):
                return facts[name]
    return None


def annotation_files(traces: Path) -> list[Path]:
    """Return the files of annotations that lie near a file of traces."""
    near = [above / "annotations" for above in list(traces.absolute().parents)[:3]]
    folder = next((folder for folder in near if folder.is_dir()), None)
    if folder is None:
        return []
    single = [path for path in sorted(folder.glob("*.jsonl")) if not path.name.endswith(".index.jsonl")]
    chunks = [path for producer in sorted(folder.iterdir()) if producer.is_dir() for path in files_of(producer)]
    for path in (*single, *chunks):
        check_openable(path)
    return [*single, *chunks]


@lru_cache(maxsize=1)
def _places(files: tuple[tuple[Path, int], ...]) -> dict[str, list[tuple[Path, int]]]:
    """Return where the lines on each trace stand; what they say is read when the trace is."""
    places: dict[str, list[tuple[Path, int]]] = {}
    for path, _ in files:
        for line_number, place, line in raw_lines(path):
            try:
                trace = str(parsed(line, f"{path}, line {line_number}").get("trace_id"))
            except BatchError:
                if line.endswith(b"\n"):
                    raise
                break
            places.setdefault(trace, []).append((path, place))
    return places


def _updates(places: list[tuple[Path, int]]) -> Iterator[dict[str, Any]]:
    """Yield the lines that stand at these places, which are in order."""
    for path in dict.fromkeys(path for path, _ in places):
        with open_bytes(path) as file:
            position = 0
            for place in (place for each, place in places if each == path):
                if file.seekable():
                    file.seek(place)
                while not file.seekable() and position < place:
                    passed = unpacked(path, file.read, min(place - position, _PIECE))
                    if not passed:
                        raise BatchError(f"{path} became shorter while it was read")
                    position += len(passed)
                line = unpacked(path, file.readline, MAX_LINE + 1)
                position += len(line)
                yield parsed(line, f"{path}, at byte {place}")


FORMAT = Format(NAME, recognises, read)
