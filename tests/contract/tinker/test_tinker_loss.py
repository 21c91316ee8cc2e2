"""The callable itself, which is plain torch: no tinker needed, its client calls it as these tests do."""

from types import SimpleNamespace

import pytest
import torch
from independent import GARBAGE, assert_close, batch, gradient, per_token
from snippets import blocks
from tinker_batch import cookbook_batch, fields, padded_gradient

from bandpo.engines.tinker import BandTrainingClient, band_loss
from bandpo.engines.tinker.check import check

pytestmark = pytest.mark.exercises("signature only", version="0.38.0")


def run(loss, x, names=("logprobs", "advantages", "mask")):
    rows, logprobs = fields(x, names)
    value, metrics = loss([SimpleNamespace(loss_fn_inputs=row) for row in rows], logprobs)
    value.backward()
    return value, padded_gradient(logprobs, x), metrics


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("method", ["band-kl", "grpo", "dual-clip", "dppo-tv", "sapo", "cispo", "gspo"])
def test_loss_and_gradient_are_the_sum_around_the_sampler(method, garbage):
    x = batch(garbage)
    loss, slope, metrics = run(band_loss(method), x)
    expected = per_token(method, x, "rollout").sum()
    assert_close(loss, expected)
    assert_close(slope, gradient(expected, x.new))
    assert all(isinstance(value, float) and name.endswith(":mean") for name, value in metrics.items())


@pytest.mark.parametrize(
    ("options", "divide"),
    [
        ({"aggregation": "token-mean"}, lambda t, m: t.sum() / m.sum()),
        ({"aggregation": "token-mean", "denominator": 50}, lambda t, m: t.sum() / 50),
        ({"aggregation": "seq-mean-token-mean"}, lambda t, m: (t.sum(-1) / m.sum(-1)).mean()),
        ({"aggregation": "seq-mean-token-sum-norm", "max_tokens": 16}, lambda t, m: (t.sum(-1) / 16).mean()),
    ],
)
def test_every_denominator(options, divide):
    x = batch()
    loss, slope, _ = run(band_loss(band_delta=0.02, **options), x)
    expected = divide(per_token("band-kl", x, "rollout", delta=0.02), x.mask)
    assert_close(loss, expected)
    assert_close(slope, gradient(expected, x.new))


def test_without_a_mask_tokens_with_an_advantage_count():
    x = cookbook_batch()
    loss, slope, metrics = run(band_loss(), x, ("logprobs", "advantages"))
    expected, expected_slope, expected_metrics = run(band_loss(), x)
    assert_close(loss, expected)
    assert_close(slope, expected_slope)
    assert metrics == expected_metrics


def test_metrics_are_of_the_band():
    x = batch()
    _, slope, metrics = run(band_loss(), x)
    assert metrics["band/clip:mean"] == pytest.approx((slope[x.mask] == 0).float().mean().item())
    assert "band/rollout_kl:mean" not in metrics


@pytest.mark.parametrize(
    ("kwargs", "kind", "words"),
    [
        ({"method": "band-kl2"}, ValueError, "band-kl2"),
        ({"method": "tre"}, ValueError, "needs logits, which tinker does not hand"),
        ({"method_kwargs": {"max_ratios": 3}}, TypeError, "max_ratios"),
        ({"aggregation": "mean"}, ValueError, "aggregation='mean'"),
        ({"denominator": 5}, ValueError, "no effect on aggregation='sum'"),
    ],
)
def test_refusals_when_the_loss_is_made(kwargs, kind, words):
    with pytest.raises(kind, match=words):
        band_loss(**kwargs)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"advantages": torch.ones(2)}, r"data\[0\].loss_fn_inputs has advantages: expected 'logprobs' too"),
        ({"logprobs": -torch.ones(3), "advantages": torch.ones(2)}, r"data\[0\]: 'logprobs' \(3,\), expected \(2,\)"),
    ],
)
def test_wrong_data_is_named(inputs, words):
    with pytest.raises(ValueError, match=words):
        band_loss()([SimpleNamespace(loss_fn_inputs=inputs)], [-torch.ones(2)])


def test_a_client_whose_every_loss_is_ours():
    calls = []
    client = SimpleNamespace(forward_backward_custom=lambda *given: calls.append(given), model_id="mine")
    wrapped = BandTrainingClient(client, "loss")
    wrapped.forward_backward(["datum"], loss_fn="ppo", loss_fn_config=None)
    assert calls == [(["datum"], "loss")] and wrapped.model_id == "mine"


def test_the_documented_lines():
    sent = []
    client = SimpleNamespace(forward_backward_custom=lambda data, loss: sent.append((data, loss)))
    exec(blocks("tinker", "python")[0], {"training_client": client, "data": ["datum"]})
    assert sent[0][0] == ["datum"]
    x = batch()
    assert_close(run(sent[0][1], x)[0], per_token("band-kl", x, "rollout").sum())


def test_doctor():
    def levels(**changes):
        return [finding.level for finding in check({"num_substeps": 4, **changes})][1:]

    assert levels() == levels(**{"bandpo.method": "dppo-tv", "bandpo.aggregation": "token-mean"}) == ["ok", "ok"]
    assert levels(**{"bandpo.method": "tre"}) == ["fail", "ok"]
    assert levels(num_substeps=1) == ["ok", "warn"]
    assert levels(num_substeps=1, **{"async_config.max_steps_off_policy": 3}) == ["ok", "ok"]
