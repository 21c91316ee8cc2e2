"""Whether the block that is done last sees all that the others stored: again, side by side, in graphs, in any size."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.gpu.cases import Batch, Options, Pass, batch, differing, errors, passed, reference
from benchmarks.gpu.devices import captured, streams, synchronize

METHOD: tuple[str, Options] = ("band-kl", {})
# One block and many, one row and many, blocks that end with a row and blocks that do not.
SIZES = ((1, 1), (1, 1024), (1, 1025), (3, 1025), (7, 1000), (64, 2048), (2049, 130), (5000, 100), (2, 300_000))
SMALL_SIZES = ((1, 1), (1, 1025), (3, 130))
REPEATS = 20
Found = Iterator[tuple[str, float]]


def _sizes(small: bool) -> tuple[tuple[int, int], ...]:
    return SMALL_SIZES if small else SIZES


def shapes(device: str, small: bool) -> Found:
    """Yield whether each size, empty ones, other layouts and other masks are right, against fp64."""
    for number, given in enumerate(_layouts(small)):
        found = passed(given.to(device), *METHOD, metrics=number % 2 == 0)
        if not given.logp.numel():
            yield "shapes", int(found.gradient.shape != given.logp.shape or bool(found.loss != 0))
            continue
        truth = reference(given, *METHOD, metrics=number % 2 == 0)
        here = Pass(*(tensor.cpu() for tensor in found))
        wrong = any(error > {"decisions": 0, "metrics": 1e-5}.get(key, 4e-6) for key, error in errors(here, truth))
        is_left_alone = bool((here.gradient[~given.mask] == 0).all())
        yield "shapes", int(wrong or not is_left_alone)


def _layouts(small: bool) -> Iterator[Batch]:
    for rows, tokens in ((0, 5), (5, 0), *_sizes(small)):
        yield batch(rows, tokens)
    wide = batch(6, 40)
    yield Batch(*(tensor[:, ::2] if tensor.dim() == 2 else tensor for tensor in wide))
    turned = batch(40, 6)
    yield Batch(turned.logp.T, turned.logp_old.T, turned.advantages[:6], turned.mask.T)
    yield wide._replace(advantages=torch.randn(6, 40, generator=torch.Generator().manual_seed(1)))
    yield wide._replace(advantages=wide.advantages.unsqueeze(1))
    yield wide._replace(mask=torch.zeros_like(wide.mask))
    whole = batch(6, 40, seed=2)
    filled = {name: torch.nan_to_num(getattr(whole, name), -1.0, -1.0) for name in ("logp", "logp_old")}
    yield whole._replace(**filled, mask=torch.ones_like(whole.mask))


def same_bits(device: str, small: bool) -> Found:
    """Yield whether a pass repeated has other bits."""
    for size in _sizes(small):
        given = batch(*size).to(device)
        for metrics in (True, False):
            first = passed(given, *METHOD, metrics=metrics)
            for _ in range(2 if small else REPEATS):
                yield "same_bits", differing(first, passed(given, *METHOD, metrics=metrics))


def beside(device: str, small: bool) -> Found:
    """Yield whether passes of two batches on two streams at once have other bits than one after the other."""
    pairs = (((1, 300_000), (3000, 200)), ((64, 2048), (64, 2048)), ((1, 1), (2049, 130)))
    for pair in (((1, 1025), (3, 130)),) if small else pairs:
        given = [batch(*size, seed=seed).to(device) for seed, size in enumerate(pair)]
        alone = [passed(one, *METHOD, metrics=False) for one in given]
        found: list[list[Pass]] = [[], []]
        synchronize(device)
        contexts = streams(device, 2)
        for _ in range(2 if small else REPEATS):
            for context, one, kept in zip(contexts, given, found, strict=True):
                with context:
                    kept.append(passed(one, *METHOD, metrics=False))
        synchronize(device)
        for expected, kept in zip(alone, found, strict=True):
            yield from (("streams", differing(expected, one)) for one in kept)


def graphs(device: str, small: bool) -> Found:
    """Yield whether a replay differs from the eager pass: again and again, on other numbers, beside eager passes."""
    for size in _sizes(small):
        given, other = (batch(*size, seed=seed).to(device) for seed in (0, 1))
        replay, outputs = captured(lambda given=given: passed(given, *METHOD, metrics=False), device)
        for source in (given, other):
            for target, tensor in zip(given, source, strict=True):
                target.copy_(tensor)
            expected = passed(given, *METHOD, metrics=False)
            for _ in range(2 if small else REPEATS):
                replay()
                synchronize(device)
                yield "graphs", differing(expected, Pass(*outputs))
        yield from _replayed_beside_eager(given, device, replay, outputs)


def _replayed_beside_eager(given: Batch, device: str, replay, outputs) -> Found:
    """Yield whether a replay and eager passes on another stream disturb each other."""
    expected = passed(given, *METHOD, metrics=False)
    synchronize(device)
    [context] = streams(device, 1)
    replay()
    with context:
        eager = [passed(given, *METHOD, metrics=False) for _ in range(3)]
    synchronize(device)
    yield from (("graphs", differing(expected, one)) for one in (Pass(*outputs), *eager))
