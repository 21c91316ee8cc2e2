"""The benchmark measures what it says: peers agree with each other, records are whole, targets are judged rightly."""

import json

import pytest
import torch

from bandpo.core.objective.loss import policy_loss
from bandpo.core.regions.band import band
from bandpo.speed.measure import counts_of, seconds_of
from bandpo.speed.peers import Peer, bisection_bounds, bound_peers, loss_peers, make_batch, stock_clip
from bandpo.speed.report import accuracy, bench, markdown, verdicts, write


def test_bisection_finds_the_bands_bounds():
    logp = torch.tensor([0.02, 0.1, 0.5, 0.9]).double().log()
    for found, expected in zip(bisection_bounds(logp), band(logp, 0.05).ratio(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_stock_clip_is_grpo():
    batch = make_batch(2000, "cpu")
    expected = policy_loss(*batch, method="grpo", aggregation="token-mean").loss
    torch.testing.assert_close(stock_clip(batch), expected)


def test_every_peer_runs_and_leaves_no_gradient_behind():
    batch = make_batch(64, "cpu")
    for peer in (*bound_peers("cpu"), *loss_peers("cpu")):
        if "compiled" not in peer.name:
            peer.work(batch)
            assert batch.logp.grad is None, peer.name


def test_no_eager_path_waits_for_the_host():
    batch = make_batch(64, "cpu")
    for peer in (*bound_peers("cpu"), *loss_peers("cpu")):
        if "eager" in peer.name:
            counts = counts_of(peer, batch)
            assert counts["synchronisations"] == 0, peer.name
            assert counts["operators"] > 1


def test_a_synchronisation_would_be_counted():
    counts = counts_of(Peer("reads a value", lambda batch: batch.logp_old.sum().item()), make_batch(64, "cpu"))
    assert counts["synchronisations"] == 1


def test_peak_memory_is_what_is_held_at_a_time():
    batch = make_batch(10_000, "cpu")
    two_at_a_time = Peer("three tensors, never more than two at a time", lambda b: (b.logp_old + 1).mul(2).exp())
    assert counts_of(two_at_a_time, batch)["peak bytes a token"] == pytest.approx(8, abs=0.1)
    assert counts_of(Peer("in place", lambda b: b.mask.logical_not_()), batch)["peak bytes a token"] == 0


@pytest.mark.parametrize(("method", "expected"), [(None, "grpo"), ("band-kl", "band-kl")])
def test_trl_peers_do_the_work_of_ours(method, expected):
    from bandpo.speed.trl_peers import trl_loss

    batch = make_batch(2000, "cpu")
    ours = policy_loss(*batch, method=expected, aggregation="token-mean").loss
    (gradient,) = torch.autograd.grad(ours, batch.logp)
    theirs = trl_loss(method)(batch)
    torch.testing.assert_close(theirs, ours)
    # TRL decides on the fp32 ratio, which has no digits for it where p is close to 1.
    decided = (batch.logp_old < -1e-2) | (method is None)
    found = torch.autograd.grad(theirs, batch.logp)[0]
    torch.testing.assert_close(found[decided], gradient[decided])


def test_peers_take_turns():
    order = []
    peers = [Peer(name, lambda _, name=name: order.append(name)) for name in "ab"]
    seconds = seconds_of(peers, make_batch(64, "cpu"), budget=1e-9, turns=3)
    assert "".join(order) == "aabb" + "ab" * 3
    assert seconds.keys() == {"a", "b"}


@pytest.mark.parametrize(("seconds", "reached"), [(0.9, True), (4.1, False)])
def test_targets_are_judged_at_the_largest_size_that_has_both_peers(seconds, reached):
    records = [
        {"group": "loss", "tokens": 10, "seconds": {"band-kl, compiled": 9.0, "grpo, compiled": 1.0}},
        {"group": "loss", "tokens": 100, "seconds": {"band-kl, compiled": seconds, "grpo, compiled": 1.0}},
        {"group": "loss", "tokens": 1000, "seconds": {"grpo, compiled": 1.0}},
    ]
    (verdict,) = verdicts(records, "cpu")
    assert (verdict["tokens"], verdict["ratio"], verdict["reached"]) == (100, seconds, reached)


def test_accuracy_sees_an_error(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    found = accuracy(points=500)
    assert found["band, eager"] == found["band, compiled"] < 2
    assert found["bisection, 50 steps a side, eager"] > 100


def test_result_is_written_with_machine_and_command(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    threads = torch.get_num_threads()
    result = bench([100], tmp_path, budget=1e-6, tell=lambda _: None)
    torch.set_num_threads(threads)
    again = json.loads((tmp_path / "speed_cpu.json").read_text())
    assert again["machine"]["packages"]["torch"] == torch.__version__
    assert again["command"] == "bandpo bench --device cpu --threads 1 --budget 1e-06 --sizes 100"
    assert (tmp_path / "speed_cpu.md").read_text() == markdown(result)
    assert {record["group"] for record in again["records"]} == {"bounds", "loss"}
    write(result, tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"sizes": []}, {"sizes": [0]}, {"sizes": [8], "threads": 0}, {"sizes": [8], "device": "tpu"}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        bench(**wrong)
