"""How miles calls a custom loss and what its own does with the clip settings, from commit 31f1ca96, version 0.1.0:
miles/backends/training_utils/loss.py (`loss_function` line 123), loss_hub/losses.py (`policy_loss_function` 64,
`get_loss_function` 508), loss_hub/math_utils.py (`compute_policy_loss` 254) and cp_utils.py."""

from argparse import Namespace

DEFAULTS = {
    "loss_type": "custom_loss",
    "custom_loss_function_path": "bandpo.engines.miles.loss",
    "custom_pg_loss_reducer_function_path": None,
    "custom_tis_function_path": None,
    "advantage_estimator": "grpo",
    "eps_clip": 0.2,
    "eps_clip_high": 0.2,
    "eps_clip_c": None,
    "use_rollout_logprobs": False,
    "skip_actor_forward_only": False,
    "rollout_temperature": 1.0,
    "log_probs_chunk_size": -1,
    "true_on_policy_mode": True,
    "qkv_format": "thd",
    "entropy_coef": 0.0,
    "observe_training_entropy": False,
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
