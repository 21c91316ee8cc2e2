"""OpenRLHF 0.11.2's policy loss as far as an adapter meets it, written from its openrlhf/models/loss.py (`PolicyLoss`
line 116) and openrlhf/trainer/ray/ppo_actor.py (the call, line 304)."""

import torch
from torch import nn


class PolicyLoss(nn.Module):
    def __init__(
        self,
        clip_eps_low=0.2,
        clip_eps_high=0.2,
        dual_clip=None,
        token_level_loss=True,
        policy_loss_type="ppo",
        is_correction_level="off",
        **_,
    ):
        super().__init__()
        self.clip_eps_low, self.clip_eps_high, self.dual_clip = clip_eps_low, clip_eps_high, dual_clip
        self.token_level_loss, self.policy_loss_type = token_level_loss, policy_loss_type
        self.is_correction_level = is_correction_level

    def forward(
        self,
        log_probs,
        old_log_probs,
        advantages,
        action_mask=None,
        rollout_log_probs=None,
        dp_size=1,
        batch_num_tokens=None,
        global_batch_size=None,
    ):
        mask = torch.ones_like(log_probs) if action_mask is None else action_mask
        ratio = (log_probs - old_log_probs).clamp(-20, 20).exp()
        free, clipped = ratio * advantages, ratio.clamp(1 - self.clip_eps_low, 1 + self.clip_eps_high) * advantages
        loss = -torch.min(free, clipped)
        if self.dual_clip is not None:
            loss = torch.where(advantages < 0, torch.min(loss, -self.dual_clip * advantages), loss)
        if self.is_correction_level == "token":
            loss = loss * torch.exp(old_log_probs - rollout_log_probs).clamp(0.5, 5.0).detach()
        if self.token_level_loss:
            total = (loss * mask).sum() / (mask.sum() if batch_num_tokens is None else batch_num_tokens / dp_size)
        else:
            rows = (loss * mask).sum(-1) / (mask.sum(-1) + 1e-8)
            total = rows.sum() / (len(rows) if global_batch_size is None else global_batch_size / dp_size)
        stopped = ((clipped < free).float() * mask).sum() / mask.sum()
        return total, stopped, ((old_log_probs - log_probs).detach() * mask).sum() / mask.sum(), None, None
