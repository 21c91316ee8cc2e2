"""`band/*` against counts made by hand, and each of them seen away from zero."""

import copy
import math

import pytest
import torch
import trl_reference
from trl_tiny import BandGRPOConfig, forward, loss_inputs, model, options, trainer

from bandpo.engines.trl.metrics import BandMetrics

BUCKETS = {
    "p=0-0.01": (0, 0.01),
    "p=0.01-0.05": (0.01, 0.05),
    "p=0.05-0.2": (0.05, 0.2),
    "p=0.2-0.5": (0.2, 0.5),
    "p=0.5-0.9": (0.5, 0.9),
    "p=0.9-1": (0.9, 1.01),
}


@pytest.fixture(scope="module")
def policy():
    return model(spread=0.5)


def logged(policy, folder, batches, **settings):
    """What one `log` call shows after these micro-batches."""
    engine = trainer(BandGRPOConfig(**options(folder, **settings)), copy.deepcopy(policy))
    engine.current_gradient_accumulation_steps = len(batches)
    engine.model.train()
    for inputs in batches:
        engine.compute_loss(engine.model, inputs)
    engine.log({})
    engine.log({})
    first, second = engine.state.log_history
    assert not any(name.startswith("band/") for name in second)
    return first


def counted(policy, batches, delta, dual_clip):
    """The table of `bandpo.core.objective.metrics` for Band-KL, token by token in plain Python."""
    sums = {}

    def count(name, value):
        total, number = sums.get(name, (0.0, 0))
        sums[name] = (total + value, number + 1)

    for inputs in batches:
        with torch.no_grad():
            new = forward(copy.deepcopy(policy).double(), inputs)[0]
        old = inputs["old_per_token_logps"].double()
        mask = inputs["completion_mask"] * inputs["tool_mask"]
        lows, highs = trl_reference.bounds("band-kl", torch.where(mask.bool(), old.exp(), 0.5), delta=delta)
        for row, column in mask.nonzero().tolist():
            p, r = old[row, column].exp(), (new - old)[row, column].exp()
            advantage = inputs["advantages"][row].item()
            low, high = lows[row, column].item(), highs[row, column].item()
            bucket = next(name for name, (left, right) in BUCKETS.items() if left <= p < right)
            above, below, dual = r > high, r < low, r > dual_clip
            if advantage > 0:
                count("clip_high", above)
                count(f"clip_high/{bucket}", above)
            if advantage < 0:
                count("clip_low", below)
                count(f"clip_low/{bucket}", below)
                count("dual_clip", dual)
            count("clip", (advantage > 0 and above) or (advantage < 0 and (below or dual)))
            count("bound_low", low)
            count("log_bound_high", math.log(high))
            count("ratio", r)
            count("approx_kl", r - 1 - r.log())
            count("sampled_entropy", -old[row, column])
    means = {f"band/{name}": float(total / number) for name, (total, number) in sums.items()}
    counts = {f"band/{name}/tokens": float(number) for name, (_, number) in sums.items() if "clip" in name}
    return means | counts


def test_equal_a_hand_count_over_micro_batches(policy, tmp_path):
    batches = [loss_inputs(policy, seed=seed) for seed in range(6)]
    generator = torch.Generator().manual_seed(0)
    for inputs in batches:
        inputs["tool_mask"] = (torch.rand(inputs["completion_ids"].shape, generator=generator) > 0.2).long()
    logs = logged(policy, tmp_path, batches, band_delta=0.002, method_kwargs={"dual_clip": 1.5})
    expected = counted(policy, batches, 0.002, 1.5)
    assert {name for name in logs if name.startswith("band/")} == set(expected)
    for name, value in expected.items():
        assert logs[name] == pytest.approx(value, rel=1e-5, abs=1e-7), name
        assert value != 0, name
    buckets = {name.split("/")[-1] for name in expected if "/clip_" in name and name.count("/") == 2 and "=" in name}
    assert buckets == set(BUCKETS)


def test_agree_with_trl_s_own_count(policy, tmp_path):
    """TRL counts the same clips over all tokens, ours are over the tokens the clip could act on."""
    inputs = loss_inputs(policy)
    logs = logged(policy, tmp_path, [inputs], method="band-kl", band_delta=0.01)
    mask = inputs["completion_mask"].bool()
    for side, sign in (("high", 1), ("low", -1)):
        share = (mask & (sign * inputs["advantages"] > 0).unsqueeze(-1)).sum() / mask.sum()
        assert logs[f"band/clip_{side}"] * share == pytest.approx(logs[f"clip_ratio/{side}_mean"], rel=1e-5)
    assert logs["band/clip"] == pytest.approx(logs["clip_ratio/region_mean"], rel=1e-5)
    assert logs["band/clip"] > 0.1


def test_ratio_one_has_no_clips_and_still_has_bounds(policy, tmp_path):
    inputs = loss_inputs(policy)
    del inputs["old_per_token_logps"]
    logs = logged(policy, tmp_path, [inputs])
    assert logs["band/clip"] == logs["band/approx_kl"] == 0
    assert logs["band/ratio"] == 1
    assert 0 < logs["band/bound_low"] < 1


def test_can_be_switched_off(policy, tmp_path):
    logs = logged(policy, tmp_path, [loss_inputs(policy)], band_metrics=False)
    assert not any(name.startswith("band/") for name in logs)


# Interpreted kernels take seconds; others are in tests/kernels/test_counts.py.
@pytest.mark.parametrize("method", ["band-kl", pytest.param("dcpo", marks=pytest.mark.slow)])
def test_one_launch_counts_what_the_torch_code_counts(policy, tmp_path, monkeypatch, method):
    pytest.importorskip("triton", reason="Triton is not installed")
    batches = [loss_inputs(policy, seed=seed) for seed in range(2)]
    expected = logged(policy, tmp_path, batches, method=method)
    monkeypatch.setattr("bandpo.core.regions.dispatch.runs_kernels", lambda tensor: True)
    found = logged(policy, tmp_path, batches, method=method)
    assert list(found) == list(expected)
    assert {name: value for name, value in found.items() if "band/" in name} == pytest.approx(
        {name: value for name, value in expected.items() if "band/" in name}, rel=1e-5, abs=1e-6
    )


def test_names_that_come_late_or_are_missing_add_up():
    metrics = BandMetrics()
    one, two = ((torch.tensor(x), torch.tensor(2 * x)) for x in (1.0, 3.0))
    for given in ({"clip": one}, {"clip": two, "first": one}, {"first": two}, {"last": one, "clip": one}):
        metrics.add("train", given, reduce=lambda table: 2 * table)
    metrics.add("eval", {"clip": two}, reduce=lambda table: table)
    names = {"band/clip": 0.5, "band/clip/tokens": 20.0, "band/first": 0.5, "band/last": 0.5}
    assert metrics.take("train") == names
    assert metrics.take("eval") == {"eval_band/clip": 0.5, "eval_band/clip/tokens": 6.0}
    assert metrics.take("train") == metrics.take("eval") == {}
