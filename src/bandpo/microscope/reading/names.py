"""Names of columns: ours, those that mean one thing wherever they are used, and those the caller gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from bandpo.core.checks import suggestion
from bandpo.microscope.batch import LOG_PROBS, PER_ROW, PER_TOKEN
from bandpo.microscope.errors import BatchError
from bandpo.microscope.reading.texts import named

NAMES = ("mask", *PER_TOKEN, *PER_ROW, "step", "prompts")
# Of TRL, verl, SkyRL, slime, miles, NeMo-RL and prime-rl. A loss mask leaves out more than a response mask.
_KNOWN = {
    "mask": ("loss_mask", "response_mask", "completion_mask"),
    "logp": ("train_log_probs", "trainer_logprobs"),
    "logp_old": ("old_log_probs", "old_per_token_logps", "action_log_probs", "prev_logprobs"),
    "logp_rollout": (
        "rollout_log_probs",
        "rollout_logprobs",
        "sampling_per_token_logps",
        "generation_logprobs",
        "inference_logprobs",
    ),
    "logp_ref": ("ref_log_probs", "ref_log_prob", "ref_per_token_logps", "ref_logprobs", "base_action_log_probs"),
    "advantages": ("advantage",),
    "entropy": ("entropies",),
    "token_ids": ("completion_ids", "responses"),
    "groups": ("group_index", "group_id", "uid"),
    "rewards": ("reward",),
    "prompts": ("prompt",),
}


def find_columns(held: Iterable[str], given: Mapping[str, str], path: Path) -> dict[str, str]:
    """Return our names to those in the file, given names first.

    Args:
        held: the names in the file.
        given: our names to the file's, where the caller says so.
        path: the file, for errors.

    Raises:
        BatchError: an unknown name, a given column that is not there, no log-probs at all.

    >>> find_columns(["lp", "old_log_probs"], {"logp": "lp"}, Path("a.jsonl"))
    {'logp': 'lp', 'logp_old': 'old_log_probs'}
    """
    held = list(held)
    for name, column in given.items():
        if name not in NAMES:
            near = suggestion(name, NAMES)
            raise BatchError(f"columns: {name!r} is no name of a batch{near}; expected {named(NAMES, len(NAMES))}")
        if column not in held:
            raise BatchError(f"{path} has no column {column!r} for {name}, expected one of {named(held)}")
    found = held_columns(held, given)
    if not any(name in found for name in LOG_PROBS):
        raise BatchError(
            f"{path} holds {named(held)}, none of them known as log-probs; expected some of {named(LOG_PROBS)}, or "
            'columns={"logp_old": "its name in the file"}'
        )
    return found


def held_columns(held: Iterable[str], given: Mapping[str, str]) -> dict[str, str]:
    """Return our names to those in the file, as far as they are there."""
    held = set(held)
    known = {name: (given[name],) if name in given else (name, *_KNOWN.get(name, ())) for name in NAMES}
    found = {name: next((column for column in columns if column in held), None) for name, columns in known.items()}
    return {name: column for name, column in found.items() if column is not None}


def has_log_probs(held: Iterable[str]) -> bool:
    """Return whether one of the names is known to mean log-probs."""
    return not {column for name in LOG_PROBS for column in (name, *_KNOWN[name])}.isdisjoint(held)
