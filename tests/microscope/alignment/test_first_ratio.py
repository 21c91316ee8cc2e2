"""The run-time check adds up over micro-batches, warns once, and knows what rounding does to a band."""

import math

import pytest
import torch

import bandpo
from bandpo.core.objective.metrics import bucket_names
from bandpo.microscope.alignment import FirstUse, first_ratio_metrics, rounding_share
from tests.microscope.alignment.batches import at, batch


def means(logp, logp_old, mask):
    return bandpo.metric_means(first_ratio_metrics(logp, logp_old, mask))


def test_metrics_add_up_across_micro_batches():
    made = batch(sampler=at(0.7), old=at(0.7))
    whole = means(made["new"], made["old"], made["mask"])
    parts = [
        first_ratio_metrics(made["new"][rows], made["old"][rows], made["mask"][rows])
        for rows in (slice(0, 100), slice(100, None))
    ]
    assert bandpo.metric_means(bandpo.merge_metrics(parts)) == pytest.approx(whole, rel=1e-4)
    assert whole["first_ratio_error"] == pytest.approx(float((made["new"] - made["old"]).abs().mean()), rel=1e-5)


def test_the_largest_is_near_the_largest_and_never_above():
    d = torch.tensor([[0.01, -0.02, 0.5]])
    largest = means(d - 1, torch.full_like(d, -1.0), d != 0)["first_ratio_largest"]
    assert 0.45 < largest <= 0.5 + 1e-6


def test_aligned_input_is_0_and_masked_places_may_hold_anything():
    logp = torch.tensor([[-1.0, math.nan, -2.0]])
    mask = torch.tensor([[1, 0, 1]])
    assert means(logp, logp, mask) == {"first_ratio_error": 0, "first_ratio_slope": 0, "first_ratio_impossible": 0}
    assert first_ratio_metrics(logp, logp, mask * 0)["first_ratio_error"][1] == 0


def test_impossible_log_probs_are_counted_apart():
    logp, old = torch.tensor([[-1.0, -1.0]]), torch.tensor([[-1.5, -math.inf]])
    found = means(logp, old, logp < 0)
    assert found["first_ratio_impossible"] == 0.5 and found["first_ratio_error"] == 0.5


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_metrics_take_every_dtype(dtype):
    logp = torch.tensor([[-1.0]], dtype=dtype)
    pairs = first_ratio_metrics(logp, logp, logp < 0)
    assert {pair[0].dtype for pair in pairs.values()} == {torch.float64 if dtype == torch.float64 else torch.float32}


def added(first, made, size=64):
    for at_row in range(0, len(made["mask"]), size):
        rows = {name: each[at_row : at_row + size] for name, each in made.items()}
        first.add(rows.pop("new"), rows.pop("old"), rows.pop("mask"), **rows)


def test_one_warning_names_the_cause_once():
    first = FirstUse(which="trainer and sampler")
    added(first, batch(sampler=at(0.7), old=at(0.7)))
    warning = first.warning()
    assert warning is not None and "temperature" in warning and "sampler" in warning
    assert first.warning() is None and first.is_full


@pytest.mark.parametrize("sigma", [0.0, 0.003, 0.02])
def test_aligned_batches_do_not_warn(sigma):
    first = FirstUse()
    added(first, batch(sigma=sigma))
    assert first.warning() is None


def test_bf16_old_log_probs_are_named():
    made = batch()
    first = FirstUse()
    added(first, {**made, "old": made["old"].bfloat16()})
    assert "bf16" in (first.warning() or "")


def test_tokens_are_bounded_and_widths_may_differ():
    first = FirstUse(most=100)
    logp = torch.full((30, 7), -1.0)
    first.add(logp, logp, torch.ones(30, 7))
    assert first.tokens == 98 and not first.is_full
    first.add(logp[:, :2], logp[:, :2], torch.ones(30, 2))
    assert first.tokens == 100 and first.is_full
    first.add(logp, logp, torch.ones(30, 7))
    found = first.verdict()
    assert first.tokens == 100 and found is not None and found.error.tokens == 100


def test_nothing_gathered_says_nothing():
    first = FirstUse()
    assert first.verdict() is None and first.warning() is None
    first.add(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 3))
    assert first.warning() is None


def test_rounding_shares_are_half_a_step_over_the_nearer_bound():
    logp = torch.log(torch.tensor([0.003, 0.03, 0.5, 0.95]))
    found, names = rounding_share(logp.bfloat16()), bucket_names()
    assert list(found.shares) == [names[0], names[1], names[4], names[5]] and found.tokens[names[2]] == 0
    interval = bandpo.band(logp[2:3].bfloat16().float(), 0.05)
    assert found.shares[names[4]] == pytest.approx(2**-9 / float(min(-interval.low, interval.high)), rel=1e-4)
    assert found.worst < 0.05 and "bf16" in found.sentence
    assert rounding_share(logp, "float16").worst < found.worst
    assert rounding_share(logp.bfloat16(), delta=1e-6).worst > 0.25


def test_rounding_share_refuses_wide_dtypes_and_takes_empty_input(one_line):
    assert "float32" in one_line(rounding_share, torch.zeros(3))
    assert rounding_share(torch.zeros(0), "bf16").worst == 0
    assert rounding_share(torch.tensor([0.0, -math.inf]), "bf16", mask=torch.tensor([1, 1])).worst == 0
