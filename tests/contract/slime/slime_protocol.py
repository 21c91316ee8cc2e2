"""How slime calls a custom loss and what its own does with the clip settings, from commit 624b824a, after 0.3.1:
slime/backends/megatron_utils/loss.py (`loss_function` line 1283, `policy_loss_function` 934), cp_utils.py
(`get_sum_of_sample_mean` 47) and slime/utils/ppo_utils.py (`compute_policy_loss` 133)."""

import importlib
from argparse import Namespace

import torch

DEFAULTS = {
    "loss_type": "custom_loss",
    "custom_loss_function_path": "bandpo.engines.slime.loss",
    "custom_pg_loss_reducer_function_path": None,
    "custom_tis_function_path": None,
    "advantage_estimator": "grpo",
    "eps_clip": 0.2,
    "eps_clip_high": 0.2,
    "eps_clip_c": None,
    "use_rollout_logprobs": False,
    "rollout_temperature": 1.0,
    "rollout_top_p": 1.0,
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


def arguments(**changes):
    return Namespace(**{**DEFAULTS, **changes})


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
