"""How slime calls a custom loss and what its own does with the clip settings, from commit 624b824a, after 0.3.1:
slime/backends/megatron_utils/loss.py (`loss_function` line 1283, `policy_loss_function` 934), cp_utils.py
(`get_sum_of_sample_mean` 47) and slime/utils/ppo_utils.py (`compute_policy_loss` 133)."""

from argparse import Namespace

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
