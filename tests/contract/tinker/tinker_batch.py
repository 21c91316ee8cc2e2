"""A batch as tinker's users hold it: one datum a sequence, fields of different lengths, prompts masked."""

import torch
from independent import batch


def fields(x, names=("logprobs", "advantages", "mask")):
    """loss_fn_inputs of every row of a padded batch, cut to its length, and the log-probs tinker would pass."""
    lengths = [int(row.nonzero().max()) + 1 for row in x.mask]
    given = {"logprobs": x.rollout, "advantages": x.advantages, "mask": x.mask.float()}
    rows = [{name: given[name][i, :n].clone() for name in names} for i, n in enumerate(lengths)]
    return rows, [x.new.detach()[i, :n].clone().requires_grad_() for i, n in enumerate(lengths)]


def padded_gradient(logprobs, x):
    """(B, T) of the gradients of the list."""
    found = torch.zeros(x.mask.shape, dtype=torch.float64)
    for row, one in zip(found, logprobs, strict=True):
        row[: len(one)] = one.grad
    return found


def cookbook_batch():
    """Rows as the cookbook makes them: advantage 0 and log-prob 0 wherever the mask is 0."""
    x = batch("zeros")
    return x._replace(advantages=torch.where(x.mask, x.advantages, 0.0))
