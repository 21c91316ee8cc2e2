"""Writes down what slime logs, and what its custom loss is handed and returns, in the processes that do."""

import json


def install(folder):
    """Append to the files `logged` and `losses` of that folder; of ranks with the same loss, the first one."""
    import torch.distributed
    from slime.observability import logging_utils

    import bandpo.engines.slime

    stock = bandpo.engines.slime.loss

    def log(args, metrics, step_key):
        append(folder / "logged", {name: float(value) for name, value in metrics.items()})

    def loss(args, batch, logits, sum_of_sample_mean):
        found, metrics = stock(args, batch, logits, sum_of_sample_mean)
        given = {"new": log_probs(args, batch, logits), **{name: batch[name] for name in ("log_probs", "advantages")}}
        if torch.distributed.get_rank() == 0:
            rows = {name: [one.tolist() for one in samples] for name, samples in given.items()}
            append(folder / "losses", {"loss": found.item(), "sharded": logits.shape[-1], **rows})
        return found, metrics

    logging_utils.log, bandpo.engines.slime.loss = log, loss


def log_probs(args, batch, logits):
    """slime's own of a micro-batch, of every sample."""
    from slime.backends.megatron_utils.loss import get_log_probs_and_entropy

    lists = {name: batch[name] for name in ("unconcat_tokens", "total_lengths", "response_lengths")}
    return get_log_probs_and_entropy(logits.detach(), args=args, **lists)[1]["log_probs"]


def append(file, row):
    with file.open("a") as lines:
        lines.write(json.dumps(row) + "\n")
