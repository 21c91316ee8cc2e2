"""slime's own policy loss, run by our custom loss with per-token bounds, on logits of concatenated samples."""

import re
import shlex

import pytest
import sample_losses
import slime_protocol as protocol
import torch
from independent import close, gradient, per_token
from sample_losses import Samples
from snippets import blocks
from sources import both, checkout, execute, stub

from bandpo.engines.slime.check import check


@pytest.fixture(params=both("0.3.1"))
def engine(request, monkeypatch):
    if request.param == "protocol":
        return stub(monkeypatch, "slime.backends.megatron_utils.loss", **vars(sample_losses))
    folder = checkout("slime")
    parallel = {"context_parallel_world_size": 1, "tensor_model_parallel_group": None, "context_parallel_rank": 0}
    mpu = stub(monkeypatch, "megatron.core.mpu", **{f"get_{n}": lambda v=v: v for n, v in parallel.items()})
    stub(monkeypatch, "megatron.core", mpu=mpu).__path__ = []
    monkeypatch.setattr(torch, "compile", lambda function=None, **_: function or (lambda inner: inner))
    stub(monkeypatch, "slime.utils.distributed_utils", distributed_masked_whiten=None)
    stub(monkeypatch, "slime.utils.types", RolloutBatch=dict)
    stub(monkeypatch, "slime.utils.misc", load_function=None)
    execute(monkeypatch, "slime.utils.ppo_utils", folder / "slime/utils/ppo_utils.py")
    execute(monkeypatch, "slime.backends.megatron_utils.cp_utils", folder / "slime/backends/megatron_utils/cp_utils.py")
    return execute(monkeypatch, "slime.backends.megatron_utils.loss", folder / "slime/backends/megatron_utils/loss.py")


def arguments(method="band-kl", **changes):
    return protocol.arguments(bandpo={"method": method, **changes.pop("bandpo", {})}, **changes)


@pytest.mark.parametrize("hole", [0.0, 37.0])
@pytest.mark.parametrize("method", ["band-kl", "grpo", "dual-clip"])
def test_loss_and_gradient_are_the_sum_of_sample_means(engine, method, hole):
    samples = Samples(hole)
    loss, metrics = samples.run(arguments(method))
    expected = samples.expected(method)
    close(loss, expected, 1e-5)
    close(gradient(loss, samples.logits), gradient(expected, samples.logits), 1e-5)
    assert {"loss", "pg_clipfrac", "band/bound_low", "band/log_bound_high"} <= metrics.keys()


def test_the_samplers_log_probs_serve_ratio_and_bounds(engine):
    samples = Samples()
    loss, _ = samples.run(arguments(use_rollout_logprobs=True, bandpo={"anchor": "rollout"}))
    expected = samples.expected("band-kl", "rollout")
    close(loss, expected, 1e-5)
    close(gradient(loss, samples.logits), gradient(expected, samples.logits), 1e-5)


def test_bf16_old_log_probs_give_fp32_bounds(engine):
    samples = Samples()
    rounded = [x.bfloat16() for x in samples.batch["log_probs"]]
    samples.batch["log_probs"] = rounded
    old = torch.nn.utils.rnn.pad_sequence(rounded, batch_first=True)
    samples.padded = samples.padded._replace(old=old)
    close(samples.run(arguments())[0], samples.expected("band-kl"), 1e-5)


def test_slimes_importance_weights_multiply_the_loss(engine):
    samples = Samples()
    loss, _ = samples.run(arguments(use_tis=True, bandpo={"band_delta": 0.02}))
    weight = torch.exp(samples.padded.old - samples.padded.rollout).clamp(max=2.0)
    close(loss, samples.expected("band-kl", weight=weight, delta=0.02), 1e-5)


def test_clip_fraction_counts_by_the_bounds(engine):
    samples = Samples()
    _, metrics = samples.run(arguments())
    tokens = per_token("band-kl", samples.padded)
    slope = gradient(tokens.sum(), samples.padded.new)
    stopped = ((slope == 0) & samples.padded.mask).sum(-1) / samples.padded.mask.sum(-1)
    assert metrics["pg_clipfrac"].item() == pytest.approx(stopped.sum().item())


def test_slimes_own_dual_clip_is_kept(engine):
    samples = Samples()
    loss, _ = samples.run(arguments("grpo", eps_clip_c=3.0))
    close(loss, samples.expected("dual-clip"), 1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "sapo"}, "method='sapo' is a gate, slime can be handed intervals only"),
        ({"method": "dppo-tv"}, "method='dppo-tv' is a mask"),
        ({"method": "flex-entropy"}, "needs progress"),
        ({"advantage_estimator": "gspo"}, "--advantage-estimator gspo"),
        ({"bandpo": {"anchor": "rollout"}}, "anchor='rollout' without --use-rollout-logprobs"),
        ({"bandpo": {"anchor": "old"}, "use_rollout_logprobs": True}, "anchor='old' with --use-rollout-logprobs"),
        ({"eps_clip": 0.3, "eps_clip_high": 0.3}, "--eps-clip=0.3 has no effect"),
        ({"eps_clip_high": 0.28}, "--eps-clip-high=0.28 has no effect"),
        ({"method": "dual-clip", "eps_clip_c": 5.0}, "give one"),
    ],
)
def test_refusals(engine, changes, words):
    with pytest.raises(ValueError, match=words):
        Samples().run(arguments(**changes))


def test_missing_log_probs_and_missing_configuration_are_named(engine):
    samples = Samples()
    samples.batch["log_probs"] = []
    with pytest.raises(ValueError, match="no log_probs"):
        samples.run(arguments())
    with pytest.raises(ValueError, match="--custom-config-path"):
        Samples().run(protocol.arguments())


def test_a_slime_that_forgets_the_dual_clip_is_refused(engine, monkeypatch):
    """Up to the tag v0.3.1 slime's loss does not read its own --eps-clip-c."""
    monkeypatch.setattr(engine, "policy_loss_function", lambda args, *_: (args.eps_clip + args.eps_clip_high, {}))
    with pytest.raises(ValueError, match=r"dual_clip=3\.0: this release's loss takes no dual clip"):
        Samples().run(arguments("dual-clip"))


def test_arguments_are_not_changed(engine):
    args = arguments()
    before = dict(vars(args))
    Samples().run(args)
    assert vars(args) == before


def documented():
    yaml = pytest.importorskip("yaml")
    flags = re.findall(r"--([\w-]+) (\S+)", " ".join(shlex.split(blocks("slime", "bash")[0])))
    return {n.replace("-", "_"): v for n, v in flags}, yaml.safe_load(blocks("slime", "yaml")[0])


def test_the_documented_flags(engine):
    flags, config = documented()
    samples = Samples()
    args = protocol.arguments(
        loss_type=flags["loss_type"], custom_loss_function_path=flags["custom_loss_function_path"]
    )
    vars(args).update(config)
    close(samples.run(args)[0], samples.expected("band-kl"), 1e-5)


def test_doctor():
    flags, config = documented()
    good = {**flags, **{f"bandpo.{name}": value for name, value in config["bandpo"].items()}}

    def levels(**changes):
        return [finding.level for finding in check({**good, **changes})][1:]

    assert levels() == levels(**{"bandpo.method_kwargs.max_ratio": 9}) == ["ok", "ok", "ok"]
    assert levels(loss_type="policy_loss") == ["fail", "ok", "ok"]
    assert levels(**{"bandpo.method": "sapo"}) == levels(eps_clip=0.3) == ["ok", "fail", "ok"]
    assert levels(num_steps_per_rollout=1) == ["ok", "ok", "fail"]
    sizes = {"num_steps_per_rollout": None, "rollout_batch_size": 32, "n_samples_per_prompt": 8}
    assert levels(**sizes, global_batch_size=64) == ["ok", "ok", "ok"]
    assert levels(**sizes, global_batch_size=256) == ["ok", "ok", "fail"]
    assert levels(num_steps_per_rollout=1, use_rollout_logprobs=True) == ["ok", "ok", "warn"]
