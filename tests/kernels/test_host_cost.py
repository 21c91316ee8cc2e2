"""What a loss on a CUDA device costs the host, held on a machine without one: launches, transfers, Python calls."""

import json

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed")

import bandpo
from bandpo.engines.common.objective import objective
from bandpo.speed.peers import make_batch
from benchmarks.host_cost import PAGE, RESULTS, SETTINGS, START, TOKENS, cost, stubbed, table, work

# Launches and transfers of forward and backward pass together. With metrics there is one transfer more, of all their
# sums at once, which is no operator of torch.
MOST = {
    "loss": (2, 0),
    "loss, token-mean": (2, 0),
    "loss, checked": (2, 1),
    "loss with metrics": (3, 0),
    "loss with metrics, checked": (3, 1),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("method", ["band-kl", "grpo", "band-tv", "band-mirror", "atr-grpo", "dcpo"])
def test_two_launches_and_a_short_path(setting, method):
    with stubbed() as stub:
        found = cost(work(SETTINGS[setting], method), stub)
    launches, transfers = MOST[setting]
    assert (found.launches, found.transfers) == (launches, transfers)
    assert found.calls <= (40 if "checked" not in setting else 50)


def test_options_of_the_method_and_of_the_average_cost_nothing_more():
    options = {"delta": 0.03, "max_ratio": 10.0, "dual_clip": 3.0, "denominator": 7.0, "aggregation": "token-mean"}
    with stubbed() as stub:
        found = cost(work({**options, "metrics": False, "check": False}), stub)
    assert (found.launches, found.transfers) == (2, 0) and found.calls <= 40


def beside(**settings):
    """A pass of a loss with a weight for the sampler and a KL to a reference."""
    batch, one = make_batch(TOKENS, "cpu"), torch.ones(())
    given = {"logp_rollout": batch.logp_old - 0.1, "importance_cap": 2.0, "logp_ref": batch.logp_old - 0.2, "beta": 0.1}

    def run():
        torch.autograd.backward(bandpo.policy_loss(*batch, **given, **settings).loss, one)
        batch.logp.grad = None

    return run


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_samplers_weight_and_the_reference_kl_take_no_launch_more(setting):
    with stubbed() as stub:
        found = cost(beside(**SETTINGS[setting]), stub)
    assert (found.launches, found.transfers) == MOST[setting] and found.calls <= 55


@pytest.mark.parametrize("setting", SETTINGS)
def test_radii_that_are_tensors_take_no_launch_more(setting):
    radii = {"delta": torch.tensor([[0.05]]), "delta_high": torch.full((1, TOKENS), 0.1)}
    with stubbed() as stub:
        found = cost(work({**radii, **SETTINGS[setting]}), stub)
    assert (found.launches, found.transfers) == MOST[setting] and found.calls <= 75


def test_the_loss_of_every_token_that_an_engine_averages_takes_as_many():
    """As verl has it: our loss of every token, checked and counted, averaged by the engine."""
    batch, one, band = make_batch(TOKENS, "cpu"), torch.ones(()), objective("band-kl")

    def run():
        per_token, _ = band.per_token(*batch)
        torch.autograd.backward(per_token.sum(), one)
        batch.logp.grad = None

    with stubbed() as stub:
        found = cost(run, stub)
    # The launch and one reduction; the engine's sum; its gradient times the kernel's.
    assert (found.launches, found.transfers) == (4, 1)


def test_what_the_kernel_does_not_serve_takes_the_long_way():
    with stubbed() as stub:
        found = cost(work({"metrics": False, "check": False}, "band-le-cam"), stub)
    assert stub.launches == 0 and found.launches > 20


def test_the_table_is_what_was_measured_last():
    *_, newest = json.loads(RESULTS.read_text(encoding="utf-8")).values()
    assert START + table(newest) in PAGE.read_text(encoding="utf-8")
    for setting, most in MOST.items():
        row = newest["settings"][setting]
        assert (row["launches"], row["transfers"]) == most
