"""tinker's client differentiates our loss and sends the weights; the cookbook's training steps take it."""

import asyncio

import pytest

pytest.importorskip("tinker.types", reason="tinker is not installed: make test-engines ENGINES=tinker")

import torch
from independent import assert_close, batch, gradient, per_token
from snippets import blocks
from tinker import types as tinker
from tinker.lib.public_interfaces.training_client import TrainingClient
from tinker_batch import cookbook_batch, fields

from bandpo.engines import tinker as engine

pytestmark = pytest.mark.exercises("real function")


def data_of(x):
    """tinker's datums for a padded batch, and what its forward pass would return."""
    rows, logprobs = fields(x)
    tensors = tinker.TensorData.from_torch
    data = []
    for row in rows:
        n = len(row["mask"])
        inputs = {"target_tokens": tensors(torch.arange(n)), **{name: tensors(value) for name, value in row.items()}}
        data.append(tinker.Datum(model_input=tinker.ModelInput.from_ints(list(range(n))), loss_fn_inputs=inputs))
    outputs = [{"logprobs": tensors(row.detach())} for row in logprobs]
    return data, tinker.ForwardBackwardOutput(loss_fn_output_type="x", loss_fn_outputs=outputs, metrics={})


def weights(result, x):
    found = torch.zeros(x.mask.shape, dtype=torch.float64)
    for row, datum in zip(found, result.data, strict=True):
        sent = datum.loss_fn_inputs["weights"].to_torch()
        row[: len(sent)] = sent
    return found


@pytest.mark.parametrize("method", ["band-kl", "dppo-tv", "sapo"])
def test_the_weights_tinker_sends_are_minus_the_gradient(method):
    x = batch("noise")
    data, forward = data_of(x)
    result = TrainingClient._compute_custom_loss(data, engine.band_loss(method), forward)
    expected = per_token(method, x, "rollout").sum()
    assert result.loss_sum == pytest.approx(expected.item(), rel=1e-5)
    assert_close(weights(result, x), -gradient(expected, x.new))
    assert "band/clip:mean" in result.metrics


class Client:
    """What the cookbook's `train_step` uses of a client; the service is replaced by fixed log-probs."""

    def __init__(self, x):
        self.x, self.forward, self.results = x, data_of(x)[1], []

    def forward_backward(self, data, loss_fn, loss_fn_config=None):
        raise AssertionError("the cookbook's own loss was asked for")

    def forward_backward_custom(self, data, loss):
        self.results.append(TrainingClient._compute_custom_loss(data, loss, self.forward))
        return asyncio.sleep(0, result=self.forward)

    def optim_step(self, adam_params):
        return asyncio.sleep(0, result=tinker.OptimStepResponse(metrics={}))


def test_the_cookbooks_training_step_uses_it(monkeypatch):
    train = pytest.importorskip("tinker_cookbook.rl.train", reason="tinker-cookbook is not installed")
    for name in ("train_step", "do_train_step_streaming_and_get_sampling_client"):
        monkeypatch.setattr(train, name, getattr(train, name))  # put back after the test
    for block in (blocks("tinker", "python")[1], "tinker.use_in_cookbook(tinker.band_loss(band_delta=0.05))"):
        exec(block, {"tinker": engine})  # a second time replaces the first
    x = cookbook_batch()
    client = Client(x)
    step = train.train_step(
        data_D=data_of(x)[0], training_client=client, learning_rate=1e-4, num_substeps=1, loss_fn="ppo", metrics={}
    )
    logprobs = asyncio.run(step)
    assert len(logprobs) == len(x.mask) and len(client.results) == 1
    assert_close(weights(client.results[0], x), -gradient(per_token("band-kl", x, "rollout").sum(), x.new))


def test_a_cookbook_without_these_steps_is_refused(monkeypatch):
    train = pytest.importorskip("tinker_cookbook.rl.train", reason="tinker-cookbook is not installed")
    monkeypatch.delattr(train, "train_step")
    with pytest.raises(RuntimeError, match="no train_step with a training_client"):
        engine.use_in_cookbook(engine.band_loss())
