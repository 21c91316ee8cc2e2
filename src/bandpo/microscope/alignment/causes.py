"""The causes that two sets of log-probs of one batch can differ by, and the cure of each."""

from __future__ import annotations

from typing import NamedTuple


class Cause(NamedTuple):
    """What a verdict means, and what to do about it."""

    meaning: str
    cure: str


CAUSES = {
    "aligned": Cause("equal, or as equal as numeric noise lets them be", "nothing to do"),
    "temperature": Cause(
        "one side divided its logits by another temperature",
        "take both log-probs at the temperature the tokens were sampled at",
    ),
    "truncated sampling": Cause(
        "one side renormalised over the tokens that top-p, top-k, min-p or a list of banned ids left",
        "take both over the full vocabulary, or sample with top_p=1 and top_k off",
    ),
    "stored in bf16/fp16": Cause("one side was rounded to 16 bits", "keep log-probs in fp32 from log_softmax on"),
    "low precision": Cause(
        "one side computed its logits or log-probs in 16 bits, the same way every time",
        "compute logits and log_softmax in fp32 on both sides",
    ),
    "random (dropout, kernels, batch noise)": Cause(
        "the same token in the same context gets another log-prob every time",
        "call eval() before taking old log-probs, or set dropout to 0; else look at the kernels",
    ),
    "rare large": Cause(
        "few tokens are far off and the others are not",
        "look at expert routing, at re-tokenised text, and at special tokens",
    ),
    "shifted": Cause("one side's log-probs belong to a neighbouring token", "line up logits[t] with token t + 1"),
    "rows permuted": Cause(
        "one side's rows are in another order", "sort both by one index; look at shuffling and load balancing"
    ),
    "last token": Cause(
        "only the last token of a sequence is scored differently",
        "score the end-of-text token on both sides, or mask it on both",
    ),
    "repetition penalty": Cause(
        "one side pushed tokens that had been seen", "sample with repetition_penalty=1, or score with it too"
    ),
    "padding": Cause(
        "the error depends on the sequence: pads are attended to, or positions count them",
        "pass the attention mask, and positions that start after the pads",
    ),
    "other weights": Cause(
        "the trainer's weights are not those that took the old log-probs",
        "synchronise the weights; count the updates between; merge adapters",
    ),
    "wrong old": Cause(
        "the tokens come from the trainer's weights and the old log-probs from others",
        "recompute the old log-probs with the weights that sampled",
    ),
    "sampled elsewhere": Cause(
        "both sides agree, but the tokens were drawn from a sharper or flatter distribution",
        "score at the sampler's temperature and truncation, or sample without them",
    ),
    "impossible token": Cause(
        "one side holds a log-prob that no sampled token can have",
        "look for banned, forced or truncated tokens, and for places that were never scored",
    ),
    "nothing to compare": Cause("no token counts on both sides", "look at the mask"),
}
"""Verdict -> what it means and its cure."""
