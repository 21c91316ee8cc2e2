"""A custom loss as prime-rl calls it: packed sequences split, one at a time, summed, divided by the global count."""

import importlib
import json

import prime_rl_protocol as protocol
import pytest
import torch
from independent import GARBAGE, assert_close, batch, gradient, per_token
from snippets import blocks
from sources import both, checkout, stub

from bandpo.engines.prime_rl import adapter
from bandpo.engines.prime_rl.check import check

try:
    import tomllib
except ImportError:  # Python 3.10
    tomllib = None


@pytest.fixture(params=both("0.8.0"))
def engine(request, monkeypatch):
    """prime-rl's module of losses: ours, or its own with its own configuration classes."""
    if request.param == "protocol":
        return stub(monkeypatch, "prime_rl.trainer.rl.loss", **vars(protocol))
    folder = checkout("prime-rl")
    for name in ("pydantic_config", "beartype", "jaxtyping", "loguru"):
        pytest.importorskip(name, reason="prime-rl's environment: make test-engines ENGINES=prime_rl")
    monkeypatch.syspath_prepend(folder / "packages" / "prime-rl-configs" / "src")
    monkeypatch.syspath_prepend(folder / "src")
    stub(monkeypatch, "wandb")
    return importlib.import_module("prime_rl.trainer.rl.loss")


def run(engine, x, weights=None, **kwargs):
    config = engine.CustomLossConfig(import_path=adapter.IMPORT_PATH, kwargs=kwargs)
    function = engine.setup_rl_loss_fn(config)
    return engine.compute_loss(
        trainer_logprobs=list(x.new),
        inference_logprobs=list(x.rollout),
        ref_logprobs=None,
        advantages=list(x.advantages),
        loss_mask=list(x.mask),
        rl_weights=weights,
        ce_weights=None,
        ref_kl_weights=None,
        rl_loss_fn=function,
        rl_scale=int(x.mask.sum()),
        ce_scale=1,
        ref_kl_scale=1,
    )


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("method", ["band-kl", "grpo", "dual-clip", "dppo-tv", "sapo", "cispo", "gspo"])
def test_loss_and_gradient_are_the_token_mean_around_the_sampler(engine, method, garbage):
    x = batch(garbage)
    if garbage not in ("zeros", "noise", "huge") and engine.__name__ and hasattr(engine, "default_loss_fn"):
        pytest.skip("prime-rl's own graph anchor sums log-probs outside the mask")
    loss, metrics = run(engine, x, method=method)
    expected = per_token(method, x, "rollout").sum() / x.mask.sum()
    assert_close(loss, expected)
    assert_close(gradient(loss, x.new), gradient(expected, x.new))
    assert all(values.shape == (4,) and torch.isfinite(values).all() for values in metrics.values())


def test_weights_scale_tokens_and_zero_removes_them(engine):
    x = batch("noise")
    weights = torch.tensor([0.0, 0.5, 1.0, 2.0]).repeat(x.mask.numel())[: x.mask.numel()].view_as(x.new)
    loss, _ = run(engine, x, weights=list(weights), band_delta=0.02)
    expected = (per_token("band-kl", x, "rollout", delta=0.02) * weights).sum() / x.mask.sum()
    assert_close(loss, expected)
    assert_close(gradient(loss, x.new), gradient(expected, x.new))


def test_an_empty_sequence_adds_nothing(engine):
    x = batch()
    x.mask[1] = False
    loss, metrics = run(engine, x)
    assert_close(loss, per_token("band-kl", x, "rollout").sum() / x.mask.sum())
    assert metrics["band/clip"][1] == 0


def test_bf16_log_probs_are_computed_in_fp32(engine):
    x = batch(dtype=torch.bfloat16)
    loss, _ = run(engine, x)
    assert_close(loss, per_token("band-kl", x, "rollout").sum() / x.mask.sum(), tolerance=1e-5)


def test_metrics_are_of_the_band(engine):
    x = batch()
    _, metrics = run(engine, x)
    removed = (gradient(per_token("band-kl", x, "rollout").sum(), x.new) == 0) & x.mask
    assert_close(metrics["band/clip"], removed.sum(-1) / x.mask.sum(-1))
    assert "band/rollout_kl" not in metrics


@pytest.mark.skipif(tomllib is None, reason="needs tomllib, Python 3.11")
def test_the_documented_configuration(engine):
    loss_config = tomllib.loads(blocks("prime_rl", "toml")[0])["trainer"]["loss"]
    assert (loss_config["type"], loss_config["import_path"]) == ("custom", adapter.IMPORT_PATH)
    x = batch()
    loss, _ = run(engine, x, **json.loads(json.dumps(loss_config["kwargs"])))
    assert_close(loss, per_token("band-kl", x, "rollout").sum() / x.mask.sum())


@pytest.mark.parametrize(
    ("kwargs", "kind", "words"),
    [
        ({"method": "clip-cov"}, ValueError, "needs the whole batch, prime-rl hands one sequence"),
        ({"method": "quatro"}, ValueError, "needs group_rewards, which prime-rl does not hand"),
        ({"anchor": "old"}, ValueError, "sampler's log-probs only"),
        ({"delta": 0.1}, TypeError, "delta"),
        ({"method_kwargs": {"delta": -1.0}}, ValueError, "delta=-1.0"),
    ],
)
def test_refusals(engine, kwargs, kind, words):
    with pytest.raises(kind, match=words):
        run(engine, batch(), **kwargs)


def test_doctor():
    good = {"trainer.loss.type": "custom", "trainer.loss.import_path": adapter.IMPORT_PATH}

    def levels(**changes):
        return [finding.level for finding in check({**good, **changes})][1:]

    assert levels() == levels(**{"trainer.loss.kwargs.method_kwargs.max_ratio": 9}) == ["ok", "ok"]
    assert levels(**{"trainer.loss.type": "default"}) == ["fail", "ok"]
    assert levels(**{"trainer.loss.kwargs.method": "clip-cov"}) == ["ok", "fail"]
    assert levels(**{"trainer.loss.kwargs.anchor": "old"}) == ["ok", "fail"]
    assert levels(**{"orchestrator.max_off_policy_steps": 0}) == ["ok", "ok", "warn"]
