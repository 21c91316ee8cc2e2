"""miles' own policy loss, run by our custom loss with per-token bounds, on logits of concatenated samples."""

import re
import shlex

import miles_protocol as protocol
import pytest
import sample_losses
import torch
from independent import close, gradient, per_token
from sample_losses import Samples
from snippets import blocks
from sources import anything, both, checkout, execute, stub

from bandpo.engines.miles.check import check

PACKAGE = "miles.backends.training_utils"


@pytest.fixture(params=both("0.1.0"))
def engine(request, monkeypatch):
    """The module that the adapter imports; miles' files one by one, on one rank that needs no process group."""
    if request.param == "protocol":
        return stub(monkeypatch, f"{PACKAGE}.loss_hub.losses", **vars(sample_losses))
    folder = checkout("miles")
    monkeypatch.setattr(torch, "compile", lambda function=None, **_: function or (lambda inner: inner))
    stub(monkeypatch, "miles.utils.misc", load_function=None)
    stub(monkeypatch, "miles.utils.types", RolloutBatch=dict)
    anything(monkeypatch, "miles.utils.test_utils.det_process_group")
    groups = execute(
        monkeypatch, "miles.utils.ft_utils.process_group_utils", folder / "miles/utils/ft_utils/process_group_utils.py"
    )

    def own(name):
        return execute(
            monkeypatch, f"{PACKAGE}.{name}", folder / PACKAGE.replace(".", "/") / f"{name.replace('.', '/')}.py"
        )

    parallel = own("parallel")
    one = groups.GroupInfo(rank=0, size=1, group=None)
    names = ("intra_dp", "intra_dp_cp", "cp", "tp", "pp", "ep", "etp", "indep_dp")
    parallel.set_parallel_state(parallel.ParallelState(**dict.fromkeys(names, one)))
    for name in ("cp_utils", "loss_hub.corrections", "loss_hub.math_utils", "loss_hub.logit_processors"):
        own(name)
    return own("loss_hub.losses")


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


def test_miles_importance_weights_multiply_the_loss(engine):
    samples = Samples()
    loss, _ = samples.run(arguments(use_tis=True, bandpo={"band_delta": 0.02}))
    weight = torch.exp(samples.padded.old - samples.padded.rollout).clamp(max=2.0)
    close(loss, samples.expected("band-kl", weight=weight, delta=0.02), 1e-5)


def test_clip_fraction_counts_by_the_bounds(engine):
    samples = Samples()
    _, metrics = samples.run(arguments())
    slope = gradient(per_token("band-kl", samples.padded).sum(), samples.padded.new)
    stopped = ((slope == 0) & samples.padded.mask).sum(-1) / samples.padded.mask.sum(-1)
    assert metrics["pg_clipfrac"].item() == pytest.approx(stopped.sum().item())


def test_miles_own_dual_clip_is_kept(engine):
    samples = Samples()
    loss, _ = samples.run(arguments("grpo", eps_clip_c=3.0))
    close(loss, samples.expected("dual-clip"), 1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "sapo"}, "method='sapo' is a gate, miles can be handed intervals only"),
        ({"method": "dppo-tv"}, "method='dppo-tv' is a mask"),
        ({"method": "flex-entropy"}, "needs progress"),
        ({"advantage_estimator": "gspo"}, "--advantage-estimator gspo"),
        ({"bandpo": {"anchor": "rollout"}}, "anchor='rollout' without --use-rollout-logprobs"),
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


def test_arguments_are_not_changed(engine):
    args = arguments()
    before = dict(vars(args))
    Samples().run(args)
    assert vars(args) == before


def documented():
    yaml = pytest.importorskip("yaml")
    flags = re.findall(r"--([\w-]+) (\S+)", " ".join(shlex.split(blocks("miles", "bash")[0])))
    return {n.replace("-", "_"): v for n, v in flags}, yaml.safe_load(blocks("miles", "yaml")[0])


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

    assert levels() == ["ok", "ok", "ok"]
    assert levels(custom_loss_function_path="bandpo.engines.slime.loss") == ["fail", "ok", "ok"]
    assert levels(**{"bandpo.method": "sapo"}) == levels(eps_clip=0.3) == ["ok", "fail", "ok"]
    assert levels(num_steps_per_rollout=1) == ["ok", "ok", "fail"]
    assert levels(num_steps_per_rollout=1, use_rollout_logprobs=True) == ["ok", "ok", "warn"]
