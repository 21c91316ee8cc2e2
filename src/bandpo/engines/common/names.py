"""Names of options that nobody reads: which they are, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

# A likeness of 1 is equality. A name that some other code might read is a misspelling only if it is this close to one
# that is read; a name that certainly nobody reads gets the nearest, if there is any.
CLOSE, NEAREST = 0.88, 0.6


def did_you_mean(name: str, known: Iterable[str], cutoff: float = NEAREST) -> str | None:
    """Return the known dotted name that `name` most probably stands for, None if there is none.

    Names are compared by their last part, among those whose path is that of `name` or ends with it, so that a name
    without its first groups is found too.

    Args:
        name: a dotted name.
        known: dotted names.
        cutoff: how alike the last parts must be, 0 to 1 (`difflib.SequenceMatcher.ratio`).

    >>> did_you_mean("actor.ppo_mini_batchsize", ["top.actor.ppo_mini_batch_size", "top.critic.ppo_mini_batch_size"])
    'top.actor.ppo_mini_batch_size'
    >>> did_you_mean("critic.lr", ["actor.lr"])
    """
    path, _, last = name.rpartition(".")
    found: dict[str, str] = {}
    for candidate in known:
        place, _, end = candidate.rpartition(".")
        # Where a last part stands in several places, the one in the given place wins.
        if place == path or ((not path or place.endswith(f".{path}")) and end not in found):
            found[end] = candidate
    closest = difflib.get_close_matches(last, found, n=1, cutoff=cutoff)
    return found[closest[0]] if closest and found[closest[0]] != name else None


def hint(name: str, known: Iterable[str]) -> str:
    """Return ", did you mean 'X'?" with the nearest known name, "" if none is near.

    >>> hint("band_detla", ["method", "band_delta"]), hint("x", ["method"])
    (", did you mean 'band_delta'?", '')
    """
    meant = did_you_mean(name, known)
    return f", did you mean {meant!r}?" if meant else ""


def misspelt(names: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """Return the names that are close to a known one without being it, with what was meant.

    >>> misspelt(["ppo_epoch", "lr"], ["ppo_epochs"])
    {'ppo_epoch': 'ppo_epochs'}
    """
    others = [name for name in names if name not in known and not is_group(name, known)]
    meant = {name: did_you_mean(name, known, CLOSE) for name in others}
    return {name: known_name for name, known_name in meant.items() if known_name}


def is_group(name: str, known: Iterable[str]) -> bool:
    """Return whether known names lie below this one, or above it.

    >>> is_group("actor", ["actor.lr"]), is_group("actor.lr.x", ["actor.lr"]), is_group("act", ["actor.lr"])
    (True, True, False)
    """
    return any(one.startswith(f"{name}.") or name.startswith(f"{one}.") for one in known)
