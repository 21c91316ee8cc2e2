"""Where the bounds are TRL's own, training is stock TRL bit for bit: every logged number and every final weight."""

import pytest
import torch
from trl_tiny import BandGRPOConfig, GRPOConfig, options, trainer, weights

TIMES = {"step_time", "train_runtime", "train_samples_per_second", "train_steps_per_second"}

PAIRS = {
    "grpo": ({}, {"method": "grpo"}),
    "grpo, own epsilon": (
        {"epsilon": 0.1, "epsilon_high": 0.3},
        {"method": "grpo", "epsilon": 0.1, "epsilon_high": 0.3},
    ),
    "grpo, method_kwargs": (
        {"epsilon": 0.1, "epsilon_high": 0.3},
        {"method": "grpo", "method_kwargs": {"eps_low": 0.1, "eps_high": 0.3}},
    ),
    "clip-higher": ({"epsilon_high": 0.28}, {"method": "clip-higher"}),
    "dual-clip": ({"delta": 3.0}, {"method": "dual-clip"}),
    "dual-clip, tight": (
        {"epsilon": 0.01, "delta": 1.05},
        {"method": "dual-clip", "method_kwargs": {"eps_low": 0.01, "eps_high": 0.01, "dual_clip": 1.05}},
    ),
    "no-clip": ({"epsilon": float("inf")}, {"method": "no-clip"}),
    "two-sided": ({"delta": 1.4}, {"method": "grpo", "delta": 1.4}),
    "ratio 1": ({"num_iterations": 1}, {"method": "grpo", "num_iterations": 1}),
    "ratio 1, band": ({"num_iterations": 1}, {"method": "band-kl", "num_iterations": 1}),
}


def run(config):
    engine = trainer(config)
    engine.train()
    history = [{key: value for key, value in entry.items() if key not in TIMES} for entry in engine.state.log_history]
    return history, weights(engine.model)


@pytest.mark.parametrize(
    ("pair", "loss_type"), [*((pair, "dapo") for pair in PAIRS), ("grpo", "dr_grpo"), ("clip-higher", "grpo")]
)
def test_bitwise_equal(tmp_path, pair, loss_type):
    stock, ours = PAIRS[pair]
    common = {"max_steps": 6, "num_iterations": 2, "loss_type": loss_type, "logging_nan_inf_filter": False}
    history, final = run(GRPOConfig(**options(tmp_path, **(common | stock))))
    our_history, our_final = run(BandGRPOConfig(**options(tmp_path, **(common | ours))))
    assert len(history) == 7
    for entry, our_entry in zip(history, our_history, strict=True):
        assert entry == {key: value for key, value in our_entry.items() if not key.startswith("band/")}
    assert all(torch.equal(final[name], our_final[name]) for name in final)


@pytest.mark.parametrize("ours", [{"method": "band-kl", "band_delta": 0.001}, {"method": "clip-higher"}])
def test_other_bounds_train_otherwise(tmp_path, ours):
    common = {"max_steps": 6, "num_iterations": 2}
    final = run(GRPOConfig(**options(tmp_path, **common)))[1]
    our_final = run(BandGRPOConfig(**options(tmp_path, **common, **ours)))[1]
    assert any(not torch.equal(final[name], our_final[name]) for name in final)
