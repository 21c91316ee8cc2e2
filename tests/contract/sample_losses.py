"""What slime and its forks share: a micro-batch of concatenated samples, and their clipped loss as a protocol."""

import importlib
from argparse import Namespace

import torch
from independent import Batch, per_token

FLAGS = {
    "loss_type": "custom_loss",
    "custom_pg_loss_reducer_function_path": None,
    "custom_tis_function_path": None,
    "advantage_estimator": "grpo",
    "eps_clip": 0.2,
    "eps_clip_high": 0.2,
    "eps_clip_c": None,
    "use_rollout_logprobs": False,
    "rollout_temperature": 1.0,
    "log_probs_chunk_size": -1,
    "entropy_coef": 0.0,
    "use_tis": False,
    "tis_clip": 2.0,
    "tis_clip_low": 0.0,
    "get_mismatch_metrics": False,
    "use_opsm": False,
    "use_kl_loss": False,
    "use_unbiased_kl": False,
    "allgather_cp": False,
    "calculate_per_token_loss": False,
}
RESPONSES, PROMPT, VOCABULARY = [9, 8, 7, 5], 3, 6


def flags(own, **changes):
    """What a custom loss is called with: the flags that slime and its forks share, an engine's own, and changes."""
    return Namespace(**{**FLAGS, **own, **changes})


def get_sum_of_sample_mean(response_lengths, loss_masks):
    """Sum over samples of the masked mean of a concatenated tensor."""

    def reduce(values):
        parts = values.split(response_lengths)
        return sum((v * m).sum() / m.sum().clamp_min(1) for v, m in zip(parts, loss_masks, strict=True))

    return reduce


def policy_loss_function(args, batch, logits, sum_of_sample_mean):
    """The clipped loss on concatenated response tokens, with truncated importance sampling and the dual clip."""
    ends = torch.tensor(batch["total_lengths"]).cumsum(0).tolist()
    log_p = torch.log_softmax(logits[0] / args.rollout_temperature, -1)
    new = torch.cat(
        [
            log_p[end - n - 1 : end - 1].gather(-1, tokens[-n:, None])[:, 0]
            for end, n, tokens in zip(ends, batch["response_lengths"], batch["unconcat_tokens"], strict=True)
        ]
    )
    advantages, old = torch.cat(batch["advantages"]), torch.cat(batch["log_probs"])
    base = torch.cat(batch["rollout_log_probs"]) if args.use_rollout_logprobs else old
    ratio = torch.exp(new - base)
    free, clipped = -ratio * advantages, -ratio.clamp(1 - args.eps_clip, 1 + args.eps_clip_high) * advantages
    loss = torch.maximum(free, clipped)
    if args.eps_clip_c is not None:
        loss = torch.where(advantages < 0, torch.minimum(loss, -args.eps_clip_c * advantages), loss)
    if args.use_tis:
        loss = loss * torch.exp(old - torch.cat(batch["rollout_log_probs"])).clamp(args.tis_clip_low, args.tis_clip)
    loss = sum_of_sample_mean(loss)
    clipped_share = sum_of_sample_mean((clipped > free).float())
    return loss, {"loss": loss.detach(), "pg_loss": loss.detach(), "pg_clipfrac": clipped_share.detach()}


def loss_function(args, batch, logits, sum_of_sample_mean):
    module, _, name = args.custom_loss_function_path.rpartition(".")
    loss, log = getattr(importlib.import_module(module), name)(args, batch, logits, sum_of_sample_mean)
    assert all(value.dim() == 0 and not value.requires_grad for value in log.values())
    return loss, log


class Samples:
    """A micro-batch as slime's workers hold it, and the same as padded tensors."""

    def __init__(self, hole=0.0, seed=0):
        random = torch.Generator().manual_seed(seed)
        totals = [PROMPT + n for n in RESPONSES]
        self.logits = (2 * torch.randn(1, sum(totals), VOCABULARY, generator=random)).requires_grad_()
        tokens = [torch.randint(VOCABULARY, (n,), generator=random) for n in totals]
        masks = [torch.ones(n) for n in RESPONSES]
        masks[0][2] = 0
        log_p, start, new = torch.log_softmax(self.logits[0].double(), -1), 0, []
        for n, ids in zip(RESPONSES, tokens, strict=True):
            rows = log_p[start + PROMPT - 1 : start + PROMPT - 1 + n]
            new.append(rows.gather(-1, ids[PROMPT:, None])[:, 0])
            start += PROMPT + n

        def near(spread):
            moved = [(x.detach() + spread * torch.randn(len(x), generator=random)).clamp(max=-1e-3) for x in new]
            return [torch.where(m > 0, x, hole).float() for x, m in zip(moved, masks, strict=True)]

        advantages = [torch.randn(1, generator=random).expand(n) for n in RESPONSES]
        self.batch = {
            "unconcat_tokens": tokens,
            "total_lengths": totals,
            "response_lengths": RESPONSES,
            "loss_masks": masks,
            "advantages": advantages,
            "log_probs": near(0.5),
            "rollout_log_probs": near(0.6),
            "rollout_mask_sums": [m.sum() for m in masks],
        }
        pad = lambda parts: torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True)  # noqa: E731
        lists = (new, self.batch["log_probs"], self.batch["rollout_log_probs"], advantages)
        self.padded = Batch(*map(pad, lists), pad(masks) > 0)

    def run(self, args, masks=None):
        """Loss and metrics; `masks` where the batch holds others than those of its tokens."""
        reduce = get_sum_of_sample_mean(RESPONSES, masks or self.batch["loss_masks"])
        return loss_function(args, self.batch, self.logits, reduce)

    def expected(self, name, anchor="old", weight=1.0, **options):
        tokens = per_token(name, self.padded, anchor, **options) * weight
        return (tokens.sum(-1) / self.padded.mask.sum(-1)).sum()
