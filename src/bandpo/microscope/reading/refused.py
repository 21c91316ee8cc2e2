"""Files that are known and hold nothing to look at, or nothing that may be loaded: each with the way on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.errors import BatchError
from bandpo.microscope.reading.format import Format, Options
from bandpo.microscope.reading.look import PICKLE, Look
from bandpo.microscope.reading.torch_file import snippet

_LOAD = 'pickle.load(open({!r}, "rb"))'


class _Texts(NamedTuple):
    """A file of texts and rewards: who writes it, and the names by which it is known."""

    name: str
    columns: frozenset[str]


_TEXTS = (
    _Texts("TRL's completions", frozenset({"prompt", "completion", "advantage"})),
    _Texts("verl's rollout dump", frozenset({"input", "output", "score"})),
    _Texts("SkyRL's evaluation dump", frozenset({"input_prompt", "output_response", "score"})),
    _Texts("AReaL's rollout dump", frozenset({"head_version", "tail_version", "completion"})),
    _Texts("tinker-cookbook's rollouts", frozenset({"traj_idx", "group_idx", "steps"})),
    _Texts("NeMo-RL's validation data", frozenset({"content", "rewards"})),
)


def _known(look: Look) -> _Texts | None:
    return next((texts for texts in _TEXTS if texts.columns <= set(look.columns)), None)


def recognises_texts(look: Look) -> bool:
    """Return whether names are those of a known file of texts."""
    return _known(look) is not None


def refuse_texts(look: Look, options: Options) -> Iterator[TokenBatch]:
    """Raise BatchError: such a file holds no number a token."""
    known = _known(look)
    assert known
    raise BatchError(
        f"{look.path} is {known.name}: texts and rewards, no log-probs of tokens, without which nothing can be said; "
        "record batches with bandpo.record(...) where the loss is computed"
    )


def recognises_pickle(look: Look) -> bool:
    """Return whether a file is a Python pickle."""
    return look.kind == PICKLE


def refuse_pickle(look: Look, options: Options) -> Iterator[TokenBatch]:
    """Raise BatchError: loading a pickle runs what it says."""
    raise BatchError(
        f"{look.path} is a Python pickle, whose loading runs code: refused; where the engine that wrote it is "
        f"installed (SkyRL, say) and you trust it: {snippet(_LOAD, look.path)}"
    )


TEXTS = Format("texts and rewards", recognises_texts, refuse_texts)
PICKLES = Format("pickle", recognises_pickle, refuse_pickle)
