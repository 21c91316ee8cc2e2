import math

import pytest
import torch

import bandpo
from bandpo.core.objective.metrics import BUCKETS, bucket_names

INTERVAL = bandpo.Interval(torch.full((1, 6), -0.2), torch.tensor([[0.3, 0.3, 0.3, 0.3, 0.3, math.inf]]))
LOG_RATIO = torch.tensor([[0.5, 0.5, -0.5, -0.5, 1.5, 0.1]])
ADVANTAGES = torch.tensor([[1.0, -1.0, 1.0, -1.0, -1.0, 0.0]])
LOGP_OLD = torch.tensor([[0.005, 0.03, 0.1, 0.4, 0.8, 0.95]]).log()
MASK = torch.ones(1, 6, dtype=torch.bool)
ENTROPY = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])


def metrics(mask=MASK, rows=slice(None), **options):
    inputs = [x[:, rows] for x in (LOG_RATIO, LOGP_OLD, ADVANTAGES, mask)]
    interval = bandpo.Interval(INTERVAL.low[:, rows], INTERVAL.high[:, rows])
    return bandpo.trust_region_metrics(
        *inputs, interval, log_dual_clip=math.log(3.0), entropy=ENTROPY[:, rows], **options
    )


# Two good tokens, of which the first is above; three bad ones, of which the fourth is below and the fifth past e^1.1.
COUNTED = {
    "clip_high": (1, 2),
    "clip_low": (1, 3),
    "dual_clip": (1, 3),
    "clip": (3, 6),
    "clip_high/p=0-0.01": (1, 1),
    "clip_low/p=0-0.01": (0, 0),
    "clip_high/p=0.01-0.05": (0, 0),
    "clip_low/p=0.01-0.05": (0, 1),
    "clip_high/p=0.05-0.2": (0, 1),
    "clip_low/p=0.05-0.2": (0, 0),
    "clip_high/p=0.2-0.5": (0, 0),
    "clip_low/p=0.2-0.5": (1, 1),
    "clip_high/p=0.5-0.9": (0, 0),
    "clip_low/p=0.5-0.9": (0, 1),
    "clip_high/p=0.9-1": (0, 0),
    "clip_low/p=0.9-1": (0, 0),
    "bound_low": (6 * math.exp(-0.2), 6),
    "log_bound_high": (5 * 0.3, 5),
    "ratio": (sum(math.exp(d) for d in LOG_RATIO[0].tolist()), 6),
    "approx_kl": (sum(math.exp(d) - 1 - d for d in LOG_RATIO[0].tolist()), 6),
    "sampled_entropy": (-sum(math.log(p) for p in (0.005, 0.03, 0.1, 0.4, 0.8, 0.95)), 6),
    "entropy": (2.1, 6),
}


@pytest.mark.parametrize("name", COUNTED)
def test_metrics_are_as_counted_by_hand(name):
    found = tuple(x.item() for x in metrics()[name])
    assert found == pytest.approx(COUNTED[name], rel=1e-6)


def test_every_metric_is_counted_by_hand():
    assert list(metrics()) == sorted(metrics(), key=list(COUNTED).index)
    assert set(metrics()) == set(COUNTED)


@pytest.mark.parametrize("name", bucket_names())
@pytest.mark.parametrize("side", ["clip_high", "clip_low"])
def test_every_bucket_can_count(side, name):
    left = dict(zip(bucket_names(), (0.0, *BUCKETS), strict=False))[name]
    logp_old = torch.tensor([[left + 1e-6]]).log()
    log_ratio, advantage = ((1.0, 1.0) if side == "clip_high" else (-1.0, -1.0)), MASK[:, :1]
    found = bandpo.trust_region_metrics(
        torch.tensor([[log_ratio[0]]]),
        logp_old,
        torch.tensor([[log_ratio[1]]]),
        advantage,
        bandpo.Interval(torch.tensor([[-0.1]]), torch.tensor([[0.1]])),
    )
    assert tuple(x.item() for x in found[f"{side}/{name}"]) == (1, 1)


def test_log_probs_that_rounding_pushed_above_zero_are_in_the_last_bucket():
    logp = torch.tensor([[1e-6, 0.0]])
    found = bandpo.policy_loss(logp, logp, torch.tensor([1.0]), torch.ones(1, 2)).metrics
    assert found["clip_high/p=0.9-1"][1].item() == 2


def test_masked_tokens_are_not_counted():
    mask = torch.tensor([[False, True, True, True, True, True]])
    found = metrics(mask)
    assert tuple(x.item() for x in found["clip_high"]) == (0, 1)
    assert found["ratio"][1].item() == 5


def test_options_not_given_leave_their_metrics_out():
    found = bandpo.trust_region_metrics(LOG_RATIO, LOGP_OLD, ADVANTAGES, MASK, INTERVAL)
    assert set(COUNTED) - set(found) == {"dual_clip", "entropy"}


def test_merged_micro_batches_equal_the_whole_batch():
    merged = bandpo.merge_metrics([metrics(rows=slice(0, 2)), metrics(rows=slice(2, 5)), metrics(rows=slice(5, 6))])
    whole = metrics()
    assert set(merged) == set(whole)
    for name, pair in whole.items():
        torch.testing.assert_close(tuple(merged[name]), tuple(pair))


def test_merging_keeps_names_that_only_some_batches_have():
    one, two = (torch.tensor(1.0), torch.tensor(2.0)), (torch.tensor(3.0), torch.tensor(4.0))
    merged = bandpo.merge_metrics([{"a": one}, {"a": two, "b": two}])
    assert {name: (total.item(), count.item()) for name, (total, count) in merged.items()} == {"a": (4, 6), "b": (3, 4)}


def test_means_divide_and_leave_out_what_was_never_counted():
    means = bandpo.metric_means(metrics())
    assert means["clip_high"] == 0.5
    assert "clip_high/p=0.01-0.05" not in means
    assert bandpo.metric_means({}) == {}


@pytest.mark.parametrize("through_loss", [True, False])
def test_sums_of_half_precision_entropy_do_not_round_or_overflow(through_loss):
    logp, mask = torch.full((1, 40000), -1.0), torch.ones(1, 40000, dtype=torch.bool)
    entropy = torch.full_like(logp, 3.3, dtype=torch.float16)
    if through_loss:
        found = bandpo.policy_loss(logp, logp, torch.tensor([1.0]), mask, entropy=entropy).metrics
    else:
        found = bandpo.trust_region_metrics(logp - logp, logp, mask.float(), mask, bandpo.band(logp), entropy=entropy)
    assert found["entropy"][0].item() == pytest.approx(40000 * entropy[0, 0].item(), rel=1e-5)


def test_the_loss_reports_rollout_and_reference_divergence():
    logp_old = torch.tensor([[-1.0, -2.0]])
    out = bandpo.policy_loss(
        logp_old,
        logp_old,
        torch.tensor([1.0]),
        torch.ones(1, 2),
        logp_rollout=logp_old - 0.1,
        logp_ref=logp_old - 0.2,
        beta=0.1,
    )
    means = bandpo.metric_means(out.metrics)
    assert means["rollout_kl"] == pytest.approx(math.exp(0.1) - 1.1, rel=1e-4)
    assert means["reference_kl"] == pytest.approx(math.exp(-0.2) - 1 + 0.2, rel=1e-4)
    assert means["ratio"] == 1.0


def test_metrics_of_the_loss_carry_no_gradient():
    logp = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    reference = {"logp_ref": torch.tensor([[-1.1, -2.1]]), "beta": 0.1}
    out = bandpo.policy_loss(logp, torch.tensor([[-1.2, -1.8]]), torch.tensor([1.0]), torch.ones(1, 2), **reference)
    assert not any(x.requires_grad for pair in out.metrics.values() for x in pair)
