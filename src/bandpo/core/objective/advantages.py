"""Group-relative advantages: each response measured against the others to the same prompt."""

from __future__ import annotations

from torch import Tensor

from bandpo.core.checks import check_floating

BASELINES = ("std", "mean", "leave-one-out")


def group_advantages(rewards: Tensor, group_size: int, baseline: str = "std", eps: float = 1e-6) -> Tensor:
    """Return the advantages of responses that stand in consecutive groups of `group_size`, one group per prompt.

        std            (R - mean)/(std + eps), std with n - 1     GRPO, arXiv 2402.03300
        mean           R - mean                                  Dr. GRPO, arXiv 2503.20783
        leave-one-out  R - mean of the others                    RLOO, arXiv 2402.14740

    Args:
        rewards: (B,) floating, one per response, B a multiple of group_size.
        group_size: responses per prompt, at least 2.
        baseline: "std", "mean" or "leave-one-out".
        eps: keeps a group of equal rewards at advantage 0; 1e-6 as in verl (TRL uses 1e-4).

    Returns:
        (B,) advantages in the dtype of rewards.

    Raises:
        ValueError: unknown baseline, group_size below 2 or not a divisor of B, rewards not one-dimensional.
        TypeError: integer rewards.

    >>> bandpo.group_advantages(torch.tensor([1.0, 0.0, 0.0, 0.0]), 4, "leave-one-out")
    tensor([ 1.0000, -0.3333, -0.3333, -0.3333])
    """
    check_floating("rewards", rewards)
    if baseline not in BASELINES:
        raise ValueError(f"baseline={baseline!r}: expected one of {', '.join(BASELINES)}")
    if rewards.dim() != 1 or group_size < 2 or len(rewards) % group_size:
        raise ValueError(
            f"rewards of shape {tuple(rewards.shape)} with group_size={group_size}: expected one dimension whose "
            "length is a multiple of a group size of at least 2"
        )
    groups = rewards.view(-1, group_size)
    relative = groups - groups[:, :1]  # exactly 0 in a group of equal rewards, whatever their mean rounds to
    centred = relative - relative.mean(-1, keepdim=True)
    if baseline == "std":
        centred = centred / (groups.std(-1, keepdim=True) + eps)
    elif baseline == "leave-one-out":
        centred = centred * (group_size / (group_size - 1))
    return centred.reshape(-1)
