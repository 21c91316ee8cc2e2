"""What a file lacks or hides, and which question that closes: every such sentence stands here."""

from __future__ import annotations

from bandpo.microscope.batch import TokenBatch

_LACKS = {
    "logp": "no log-probs of the policy being trained (logp): nothing can be said about what the region did",
    "logp_old": "no old log-probs of the trainer (logp_old): the region can be looked at around the sampler only",
    "logp_rollout": "no log-probs of the sampler (logp_rollout): whether sampler and trainer agree cannot be said",
    "logp_ref": "no log-probs of the reference (logp_ref): the KL to it cannot be said",
    "advantages": "no advantages: which tokens are stopped cannot be said, only which lie outside",
    "entropy": "no entropy: a temperature that both sides were scored at cannot be seen",
    "token_ids": "no token ids: tokens cannot be named, and a temperature cannot be told from noise",
    "groups": "no groups: which rows answer one prompt is unknown, and a temperature cannot be told from noise",
    "rewards": "no rewards: stopped tokens cannot be set against what they earned",
    "step": "no step: how this changes over training cannot be said",
}
TORN_LINE = "the last line is cut off and was left out: the file was still being written, or is not whole"
NO_STABLE_MARK = "no STABLE file beside it: the step may not have been written to its end"
GROUPS_BY_PROMPT = "groups are rows whose prompts have equal tokens; the file names none"
LOG_PROBS_MAY_BE_NEW = (
    "log_probs are taken for the old policy's; where the engine was told to reuse the sampler's they are the training "
    "forward's, which the file does not say"
)
SECOND_RECOMPUTATION = (
    "log_probs2 is a second recomputation before the update and stands as logp of a first use: it shows the trainer's "
    "own noise, nothing can be said about what the region did"
)
TOKENS_BY_TEXT = "token ids are numbers made of the token texts; the file holds no ids"
TOOL_OUTPUTS_COUNT = "tool outputs are not marked in the file and count as sampled tokens"
CONTEXT_PARALLEL = (
    "written with context parallelism, each rank a slice of every sequence: the trainer's numbers were left out, and "
    "nothing can be said about what the region did"
)
NOT_JOINED = (
    "policy_loss_debug names no samples, and its old log-probs fit none or several here: new log-probs were left out"
)


def nulls(count: int) -> str:
    """Return the note on tokens that carry no number."""
    return f"{count} tokens hold null where a number belongs and were left out: nothing is said about them"


def eval_traces(count: int) -> str:
    """Return the note on traces that were no training data."""
    return f"{count} traces of evaluations were left out"


def joined_uses(most: int) -> str:
    """Return the note on log-probs that were written at several uses of a sample."""
    return f"new log-probs were written at up to {most} uses of a sample; the first is taken"


def cut_decimals(decimals: int) -> str:
    """Return the note on numbers that were rounded when they were written."""
    return (
        f"log-probs were cut after {decimals} decimals: log-ratios below {10.0**-decimals:g} and k3 below "
        f"{10.0 ** (-2 * decimals):g} are lost"
    )


def lacks(batch: TokenBatch) -> tuple[str, ...]:
    """Return a sentence for each tensor that a batch does not have.

    >>> import torch
    >>> lacks(TokenBatch(mask=torch.ones(1, 1, dtype=torch.bool)))[0]
    'no log-probs of the policy being trained (logp): nothing can be said about what the region did'
    """
    return tuple(sentence for name, sentence in _LACKS.items() if getattr(batch, name) is None)
