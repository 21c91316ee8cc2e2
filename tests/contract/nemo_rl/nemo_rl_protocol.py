"""NeMo-RL's clipped loss as far as an adapter meets it, written from commit 7ea279ab, after 0.7.0:
nemo_rl/algorithms/loss/loss_functions.py (`ClippedPGLossConfig` line 111, `ClippedPGLossFn` 180, `__call__` 374)."""

from types import SimpleNamespace

import torch


def config(**changes):
    """Defaults of NeMo-RL's configuration, without the reference KL."""
    defaults = {
        "disable_ppo_ratio": False,
        "token_level_loss": True,
        "sequence_level_importance_ratios": False,
        "ratio_clip_min": 0.2,
        "ratio_clip_max": 0.2,
        "ratio_clip_c": None,
        "reference_policy_kl_penalty": 0.0,
        "reference_policy_kl_type": "k3",
        "kl_input_clamp_value": 20.0,
        "kl_output_clamp_value": 10.0,
        "use_kl_in_reward": False,
        "use_importance_sampling_correction": False,
        "truncated_importance_sampling_type": None,
        "truncated_importance_sampling_ratio": None,
        "truncated_importance_sampling_ratio_min": None,
        "use_on_policy_kl_approximation": False,
        "force_on_policy_ratio": False,
        "use_cispo": False,
        "positive_example_nll_weight": 0.0,
    }
    return SimpleNamespace(**{**defaults, **changes})


class ClippedPGLossFn:
    input_type = "logprob"

    def __init__(self, cfg, use_fused_linear_logprobs=False):
        vars(self).update(vars(cfg))
        self.use_fused_linear_logprobs = use_fused_linear_logprobs
        self.loss_type = "token_level" if cfg.token_level_loss else "sequence_level"
        self.metric_normalizations = {"loss": "tokens", "probs_ratio": "tokens"}

    def __call__(self, next_token_logprobs, data, global_valid_seqs, global_valid_toks):
        token_mask, sample_mask = data["token_mask"][:, 1:], data["sample_mask"]
        advantages, mask = data["advantages"][:, 1:], token_mask * sample_mask.unsqueeze(-1)
        ratio = torch.exp(next_token_logprobs - data["prev_logprobs"][:, 1:])
        clamped = ratio.clamp(1.0 - self.ratio_clip_min, 1.0 + self.ratio_clip_max)
        loss = torch.max(-advantages * ratio, -advantages * clamped)
        if self.ratio_clip_c is not None:
            loss = torch.where(advantages < 0, torch.min(loss, -advantages * self.ratio_clip_c), loss)
        if self.use_importance_sampling_correction:
            weight = torch.exp(data["prev_logprobs"] - data["generation_logprobs"])[:, 1:]
            if self.truncated_importance_sampling_ratio is not None:
                weight = weight.clamp(max=self.truncated_importance_sampling_ratio)
            loss = loss * weight
        if self.loss_type == "token_level":
            total = (loss * mask).sum() / (global_valid_toks + 1e-8)
        else:
            rows = (loss * token_mask).sum(-1) / (token_mask.sum(-1) + 1e-8)
            total = (rows * sample_mask).sum() / (global_valid_seqs + 1e-8)
        shown = (ratio.detach() * mask).sum() / (global_valid_toks + 1e-8)
        return total, {"loss": total.item(), "probs_ratio": shown.item()}
