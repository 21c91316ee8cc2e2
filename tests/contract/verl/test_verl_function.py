"""verl's own dispatcher, the worker's `ppo_loss`, with our loss by name, against plain loops and verl's vanilla."""

import dataclasses
import math
import warnings

import pytest
import torch

pytest.importorskip("verl.trainer", reason="verl is not installed: make test-engines ENGINES=verl")

from verl.trainer.ppo import core_algos
from verl.workers.config import ActorConfig, PolicyLossConfig
from verl.workers.utils.losses import ppo_loss
from verl_reference import (
    band_kl,
    batch,
    fixed,
    inputs,
    kl_bounds,
    padded,
    reference,
    response_gradients,
)

import bandpo
from bandpo.core.methods.registry import methods
from bandpo.engines.common.releases import release
from bandpo.engines.verl import BandPolicyLossConfig

pytestmark = pytest.mark.exercises("real function")

VERSION = release(__import__("verl").__version__)
LAYOUTS = ["padded", "nested"] if VERSION >= (0, 8) else ["padded"]
MODES = ["token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"]
if VERSION >= (0, 9):
    MODES.append("token-sum")
# How verl calls a loss: a whole batch on one rank, one micro-batch of a larger batch, one rank of four.
INFORMATION = [
    {},
    {"batch_num_tokens": 40, "global_batch_size": 12},
    {"dp_size": 4, "batch_num_tokens": 51, "global_batch_size": 16},
]


def actor(policy_loss, **options):
    return ActorConfig(strategy="fsdp", rollout_n=1, ppo_micro_batch_size_per_gpu=1, policy_loss=policy_loss, **options)


def run(rows, config, layout="padded", weighted=False, **information):
    """Loss, gradients and metrics of verl's `ppo_loss`."""
    leaf, output, data = inputs(rows, layout, weighted, **information)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loss, metrics = ppo_loss(config, output, data)
    loss.backward()
    return loss.item(), response_gradients(leaf), {name: metric.aggregate() for name, metric in metrics.items()}


def assert_close(found, expected, tolerance):
    assert found[0] == pytest.approx(expected[0], rel=tolerance, abs=tolerance)
    for ours, theirs in zip(found[1], expected[1], strict=True):
        assert ours == pytest.approx(theirs, rel=10 * tolerance, abs=tolerance)
    for name, value in expected[2].items():
        assert found[2][name] == pytest.approx(value, abs=tolerance), name


def test_the_reference_has_the_bounds_of_the_paper():
    low, high = kl_bounds(0.5, 0.05)
    assert 0.5 * math.log(0.25 / (low * (1 - low))) == pytest.approx(0.05)
    assert (low / 0.5, high / 0.5) == pytest.approx((0.6915, 1.3085), abs=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("information", INFORMATION, ids=["whole", "micro-batch", "four ranks"])
@pytest.mark.parametrize("mode", MODES)
def test_band_kl_in_every_aggregation(layout, information, mode):
    config = actor(BandPolicyLossConfig(method="band-kl", band_delta=0.05), loss_agg_mode=mode)
    rows = batch()
    found = run(rows, config, layout, **information)
    expected = reference(rows, band_kl(0.05), mode, **information)
    assert 0 < expected[2]["actor/pg_clipfrac"] < 1
    assert_close(found, expected, 1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_importance_weights_and_a_constant_denominator(layout):
    policy = BandPolicyLossConfig(method="band-kl", band_delta=0.02, method_kwargs={"dual_clip": 1.5})
    config = actor(policy, loss_agg_mode="seq-mean-token-sum-norm", loss_scale_factor=128)
    rows = batch(1)
    found = run(rows, config, layout, weighted=True)
    expected = reference(
        rows, band_kl(0.02), "seq-mean-token-sum-norm", weighted=True, dual_clip=1.5, loss_scale_factor=128
    )
    assert expected[2]["actor/pg_clipfrac_lower"] > 0
    assert_close(found, expected, 1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_log_probs_in_bf16(layout):
    rows = batch(2, torch.bfloat16)
    found = run(rows, actor(BandPolicyLossConfig(band_delta=0.05)), layout)
    assert_close((found[0], [], found[2]), (*reference(rows, band_kl(0.05), "token-mean")[:1], [], {}), 1e-5)
    for ours, theirs in zip(found[1], reference(rows, band_kl(0.05), "token-mean")[1], strict=True):
        assert ours == pytest.approx(theirs, rel=2**-8)  # the leaf is bf16, and so is its gradient


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "clip", [{}, {"clip_ratio_high": 0.28, "clip_ratio_c": 1.5}, {"clip_ratio_low": 0.05, "clip_ratio_c": 1e9}], ids=str
)
def test_grpo_is_vanilla(mode, clip):
    rows = batch(3)
    # verl's own loss multiplies what it masks, so it gets no garbage there.
    vanilla = vanilla_loss(rows, actor(PolicyLossConfig(), loss_agg_mode=mode, **clip))
    found = run(rows, actor(BandPolicyLossConfig(method="grpo"), loss_agg_mode=mode, **clip))
    assert_close(found, vanilla, 1e-7)
    bounds = fixed(clip.get("clip_ratio_low", 0.2), clip.get("clip_ratio_high", 0.2))
    assert_close(found, reference(rows, bounds, mode, dual_clip=clip.get("clip_ratio_c", 3.0)), 1e-5)


def vanilla_loss(rows, config):
    """verl's vanilla loss of these rows, called as `ppo_loss` calls it."""
    new = padded([row["new"] for row in rows]).requires_grad_()
    loss, metrics = core_algos.get_policy_loss_fn("vanilla")(
        old_log_prob=padded([row["old"] for row in rows]),
        log_prob=new,
        advantages=padded([row["adv"] for row in rows]),
        response_mask=padded([row["mask"] for row in rows], False),
        loss_agg_mode=config.loss_agg_mode,
        config=config,
    )
    loss.backward()
    gradients = [line[: len(row["new"])].tolist() for line, row in zip(new.grad, rows, strict=True)]
    return loss.item(), gradients, metrics


class TensorClip:
    """An actor's configuration whose clip range is a tensor each side, and whose dual clip is out of reach."""

    def __init__(self, config, low, high):
        self.config = config
        self.changed = {"clip_ratio_low": 1 - low, "clip_ratio_high": high - 1, "clip_ratio_c": 1e9}

    def __getattr__(self, name):
        return self.changed[name] if name in self.changed else getattr(self.config, name)

    def get(self, name, default=None):
        return self.changed.get(name, self.config.get(name, default))


@pytest.mark.parametrize("method", ["band-kl", "band-tv", "band-mirror", "dcpo"])
def test_an_interval_is_vanilla_with_tensors_as_clip_range(method):
    rows = batch(4)
    config = actor(BandPolicyLossConfig(method=method))
    low, high = bandpo.get_method(method).interval(padded([row["old"] for row in rows], -1.0)).ratio()
    vanilla = vanilla_loss(rows, TensorClip(config, low, high))
    assert_close(run(rows, config), vanilla, 1e-6)


def test_metrics_are_the_same_names_whatever_the_batch_and_add_up():
    rows = batch(5)
    config = actor(BandPolicyLossConfig(method="sapo"))
    _, _, metrics = run(rows, config)
    for row in rows:
        row["adv"] = torch.zeros_like(row["adv"])
    _, _, without_advantages = run(rows, config)
    assert metrics.keys() == without_advantages.keys()
    assert without_advantages["actor/band_weight"] == 1.0
    band = actor(BandPolicyLossConfig())
    _, _, metrics = run(batch(5), band)
    buckets = [value for name, value in metrics.items() if name.startswith("actor/band_clip_high/")]
    assert sum(buckets) == pytest.approx(metrics["actor/band_clip_high"])
    total = metrics["actor/band_clip_high"] + metrics["actor/band_clip_low"]
    assert metrics["actor/pg_clipfrac"] == pytest.approx(total) and total > 0


def test_a_micro_batch_of_which_nothing_counts():
    rows = batch(6)
    for row in rows:
        row["mask"] = torch.zeros_like(row["mask"])
    information = {"batch_num_tokens": 40, "global_batch_size": 12}
    loss, gradients, metrics = run(rows, actor(BandPolicyLossConfig()), **information)
    assert loss == 0 and not any(map(any, gradients))
    assert all(map(math.isfinite, metrics.values()))


def test_verl_adds_its_own_entropy_and_reference_terms():
    rows = batch(7)
    config = actor(BandPolicyLossConfig(), entropy_coeff=0.1)
    leaf, output, data = inputs(rows, "padded")
    output["entropy"] = torch.nested.nested_tensor_from_jagged(
        torch.full_like(leaf, 2.0).detach(), offsets=output["log_probs"].offsets()
    )
    loss, _ = ppo_loss(config, output, data)
    assert loss.item() == pytest.approx(run(rows, actor(BandPolicyLossConfig()))[0] - 0.1 * 2.0, abs=1e-5)


ROLLOUT = [name for name, one in methods().items() if one.anchor == "rollout" and not one.inputs]
NEEDY = [name for name, one in methods().items() if any(not needed.optional for needed in one.inputs.values())]
# Needs one of its two optional inputs.
NEEDY += ["flex-entropy"]


@pytest.mark.parametrize("method", sorted(set(methods()) - set(NEEDY)))
def test_every_method_that_has_its_inputs_is_policy_loss(method):
    rows = batch(8)
    bypass = {"rollout_correction": {"bypass_mode": True}} if method in ROLLOUT else {}
    found = run(rows, actor(BandPolicyLossConfig(method=method, **bypass)))
    new = padded([row["new"] for row in rows], -1.0).requires_grad_()
    old, advantages = padded([row["old"] for row in rows], -1.0), padded([row["adv"] for row in rows])
    mask = padded([row["mask"] for row in rows], False)
    options = {"dual_clip": 3.0} if method == "grpo" else {}
    torch.manual_seed(0)
    out = bandpo.policy_loss(
        new, old, advantages, mask, method=method, logp_rollout=old, aggregation="token-mean", **options
    )
    out.loss.backward()
    if method == "clip-cov":  # draws the tokens that it drops
        return
    expected = [line[: len(row["new"])].tolist() for line, row in zip(new.grad, rows, strict=True)]
    assert_close(found, (out.loss.item(), expected, {}), 1e-6)


@pytest.mark.parametrize("method", sorted(set(NEEDY) & set(methods())))
def test_a_method_without_its_inputs_is_refused_where_it_is_configured(method):
    with pytest.raises(ValueError, match="needs "):
        BandPolicyLossConfig(method=method)


@pytest.mark.parametrize("method", ROLLOUT)
def test_rollout_anchored_methods_need_bypass_mode_that_the_loss_can_see(method):
    with pytest.raises(ValueError, match=r"bypass_mode=True"):
        BandPolicyLossConfig(method=method)
    BandPolicyLossConfig(method=method, anchor="old")
    policy = BandPolicyLossConfig(method=method, rollout_correction={"bypass_mode": True})
    with pytest.raises(ValueError, match="rollout_is_weights"):
        run(batch(), actor(policy), weighted=True)


def test_the_default_dual_clip_is_spoken_of_once_and_never_acts():
    from bandpo.engines.verl.options import warn_once

    warn_once.cache_clear()
    config = actor(BandPolicyLossConfig(band_delta=0.049))
    _, output, data = inputs(batch(), "padded")
    with pytest.warns(UserWarning, match="dual_clip=3.0 turns it on"):
        ppo_loss(config, output, data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ppo_loss(config, *inputs(batch(), "padded")[1:])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip_ratio_c": 5.0}, r"clip_ratio_c=5\.0 has no effect"),
        ({"clip_ratio_low": 0.1}, "method_kwargs.eps_low"),
        ({"clip_ratio_high": 0.28}, "leave 0.2"),
    ],
)
def test_clip_settings_without_effect_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        run(batch(), actor(BandPolicyLossConfig(), **options))


def test_another_loss_mode_with_our_configuration_is_refused():
    with pytest.raises(ValueError, match="loss_mode='vanilla': expected 'bandpo'"):
        BandPolicyLossConfig(loss_mode="vanilla")


def test_by_name_alone_it_is_band_kl():
    rows = batch()
    assert_close(run(rows, actor(PolicyLossConfig(loss_mode="bandpo"))), run(rows, actor(BandPolicyLossConfig())), 0)


def test_a_wrong_log_prob_is_an_error_that_names_it():
    rows = batch()
    rows[0]["old"][2] = math.nan
    with pytest.raises(ValueError, match=r"logp_old\[0, 2\] = nan"):
        run(rows, actor(BandPolicyLossConfig()))


def test_verls_own_losses_are_untouched():
    for name, function in core_algos.POLICY_LOSS_REGISTRY.items():
        assert (function.__module__ == "verl.trainer.ppo.core_algos") == (name != "bandpo")


def test_a_name_that_another_package_has_taken_is_an_error(monkeypatch):
    from bandpo.engines.verl import adapter

    monkeypatch.setitem(core_algos.POLICY_LOSS_REGISTRY, "bandpo", dataclasses.replace)
    with pytest.raises(RuntimeError, match="from dataclasses"):
        adapter.register()


def test_what_the_loss_saw_is_recorded_every_so_many_calls(tmp_path):
    from bandpo.engines.common.call_recording import call_recording
    from bandpo.microscope.file import read_file

    policy = BandPolicyLossConfig(band_delta=0.02, record_every=2, record_folder=str(tmp_path))
    rows = batch()
    for _ in range(3):
        run(rows, actor(policy))
    options = tuple(
        (name, value)
        for name, value in bandpo.get_method("band-kl").resolve({"delta": 0.02}).items()
        if isinstance(value, (int, float, str))
    )
    call_recording(str(tmp_path), 2, "band-kl", options).wait()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step_00000.safetensors", "step_00002.safetensors"]
    (found,) = read_file(tmp_path / "step_00000.safetensors")
    assert found.settings["options"]["delta"] == 0.02 and {"logp", "logp_old", "advantages"} <= set(found.names)


@pytest.mark.parametrize("every", [-1, 1.5])
def test_a_recording_period_that_is_none_is_refused(every):
    with pytest.raises(ValueError, match="record_every"):
        BandPolicyLossConfig(record_every=every)
