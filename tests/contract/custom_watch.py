"""Writes down what slime or a fork of it logs, and what its custom loss is handed and returns, as they do."""

import json
import os
from pathlib import Path


def install(ours, tracking, log_probs):
    """Append to the files `logged` and `losses` of $WATCHED; of ranks with the same loss, the first one.

    Args:
        ours: our package of that engine, with the loss.
        tracking: its module that logs.
        log_probs: its function of logits, arguments and a micro-batch's lists.
    """
    import torch.distributed

    folder, stock = Path(os.environ["WATCHED"]), ours.loss

    def log(args, metrics, step_key):
        append(folder / "logged", {name: float(value) for name, value in metrics.items()})

    def loss(args, batch, logits, sum_of_sample_mean):
        found, metrics = stock(args, batch, logits, sum_of_sample_mean)
        lists = {name: batch[name] for name in ("unconcat_tokens", "total_lengths", "response_lengths")}
        new = log_probs(logits.detach(), args=args, **lists)
        if torch.distributed.get_rank() == 0:
            given = {"new": new, "old": batch["log_probs"], "advantages": batch["advantages"]}
            rows = {name: [one.tolist() for one in samples] for name, samples in given.items()}
            append(folder / "losses", {"loss": found.item(), "logits": logits.shape[-1], **rows})
        return found, metrics

    tracking.log, ours.loss = log, loss


def append(file, row):
    with file.open("a") as lines:
        lines.write(json.dumps(row) + "\n")
