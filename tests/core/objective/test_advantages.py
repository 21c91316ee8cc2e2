import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import bandpo


def by_hand(group, baseline, eps=1e-6):
    n, mean = len(group), sum(group) / len(group)
    if baseline == "leave-one-out":
        return [x - (sum(group) - x) / (n - 1) for x in group]
    std = math.sqrt(sum((x - mean) ** 2 for x in group) / (n - 1))
    return [(x - mean) / (std + eps if baseline == "std" else 1) for x in group]


@given(
    rewards=st.lists(st.floats(-100, 100), min_size=6, max_size=6),
    group_size=st.sampled_from([2, 3, 6]),
    baseline=st.sampled_from(["std", "mean", "leave-one-out"]),
)
def test_advantages_follow_the_definition_in_every_group(rewards, group_size, baseline):
    found = bandpo.group_advantages(torch.tensor(rewards, dtype=torch.float64), group_size, baseline)
    groups = [rewards[i : i + group_size] for i in range(0, 6, group_size)]
    expected = [a for group in groups for a in by_hand(group, baseline)]
    assert found.tolist() == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(reward=st.floats(-1e6, 1e6, width=32), baseline=st.sampled_from(["std", "mean", "leave-one-out"]))
def test_a_group_of_equal_rewards_has_exactly_no_advantage(reward, baseline):
    assert bandpo.group_advantages(torch.full((7,), reward), 7, baseline).tolist() == [0.0] * 7


def test_eps_shrinks_small_differences():
    rewards = torch.tensor([0.0, 1e-3], dtype=torch.float64)
    std = 1e-3 / math.sqrt(2)
    found = bandpo.group_advantages(rewards, 2, eps=1e-3)
    assert found.tolist() == pytest.approx([-5e-4 / (std + 1e-3), 5e-4 / (std + 1e-3)])


def test_groups_do_not_mix_and_dtype_is_kept():
    found = bandpo.group_advantages(torch.tensor([1.0, 0.0, 100.0, 100.0], dtype=torch.float16), 2, "mean")
    assert found.tolist() == [0.5, -0.5, 0.0, 0.0]
    assert found.dtype == torch.float16


@pytest.mark.parametrize(
    ("rewards", "group_size", "baseline", "error", "message"),
    [
        (torch.ones(4), 4, "median", ValueError, "baseline='median': expected one of std, mean, leave-one-out"),
        (torch.ones(4), 3, "std", ValueError, r"rewards of shape \(4,\) with group_size=3: expected one dimension"),
        (torch.ones(4), 1, "std", ValueError, r"group_size=1: expected .* a group size of at least 2"),
        (torch.ones(2, 2), 2, "std", ValueError, r"rewards of shape \(2, 2\)"),
        (torch.ones(4).int(), 2, "std", TypeError, "rewards: expected a floating-point tensor, got dtype torch.int32"),
    ],
)
def test_errors_name_the_value_and_what_was_expected(rewards, group_size, baseline, error, message):
    with pytest.raises(error, match=message):
        bandpo.group_advantages(rewards, group_size, baseline)
