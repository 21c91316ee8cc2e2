"""SkyRL's registry hands out our loss, its configuration carries the method, its own functions correct and reduce."""

import sys

import pytest

pytest.importorskip("skyrl.train.config", reason="SkyRL is not installed: make test-engines ENGINES=skyrl")

import cloudpickle
import torch
from independent import GARBAGE, assert_close, batch, gradient, per_token
from skyrl.backends.skyrl_train.utils import ppo_utils
from skyrl.train.config import AlgorithmConfig
from snippets import arguments, blocks

from bandpo.engines.skyrl import adapter

pytestmark = pytest.mark.exercises("real function")


def config(*more, method="band-kl"):
    return adapter.configure([f"trainer.algorithm.bandpo.method={method}", *more]).trainer.algorithm


def run(x, algorithm, mask=None):
    """As SkyRL's worker calls the function it got from the registry."""
    function = ppo_utils.PolicyLossRegistry.get(algorithm.policy_loss_type)
    return function(
        x.new,
        x.old,
        x.advantages,
        config=algorithm,
        loss_mask=x.mask.float() if mask is None else mask,
        rollout_logprobs=x.rollout,
    )


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("method", ["band-kl", "grpo", "dual-clip", "dppo-tv", "sapo", "cispo", "gspo"])
def test_loss_and_gradient_are_the_sum_of_the_formula(method, garbage):
    x = batch(garbage)
    loss, metrics = run(x, config(method=method))
    expected = per_token(method, x, "rollout" if method == "dppo-tv" else "old").sum()
    assert_close(loss, expected)
    assert_close(gradient(loss, x.new), gradient(expected, x.new))
    assert all(isinstance(value, float) for value in metrics.values())


def test_grpo_is_skyrls_regular_loss():
    x = batch()
    ours, _ = run(x, config(method="grpo"))
    theirs, metrics = run(x, AlgorithmConfig())
    assert_close(ours, theirs)
    assert_close(gradient(ours, x.new), gradient(theirs, x.new))
    assert run(x, config(method="grpo"))[1]["clip_ratio"] == pytest.approx(metrics["clip_ratio"])


def test_anchor_on_the_sampler():
    x = batch()
    loss, _ = run(x, config("trainer.algorithm.bandpo.anchor=rollout"))
    expected = per_token("band-kl", x, "rollout").sum()
    assert_close(loss, expected)
    assert_close(gradient(loss, x.new), gradient(expected, x.new))


@pytest.mark.parametrize("kind", ["token", "sequence"])
def test_skyrls_importance_correction_multiplies_our_loss(kind):
    x, prefix = batch(), "trainer.algorithm.off_policy_correction"
    ours = run(x, config(f"{prefix}.tis_ratio_type={kind}", method="grpo"))
    stock = AlgorithmConfig()
    stock.off_policy_correction.tis_ratio_type = kind
    theirs = run(x, stock)
    assert_close(ours[0], theirs[0])
    assert_close(gradient(ours[0], x.new), gradient(theirs[0], x.new))
    assert theirs[1].keys() <= ours[1].keys()
    weighted = run(x, config(f"{prefix}.tis_ratio_type=token"))[0]
    weight = torch.exp(x.old - x.rollout).clamp(max=2.0)
    if kind == "token":
        assert_close(weighted, (per_token("band-kl", x) * weight).sum())


@pytest.mark.parametrize("reduction", ["token_mean", "sequence_mean", "seq_mean_token_sum_norm"])
def test_with_skyrls_scaling_of_the_advantages_the_sum_is_the_mean(reduction):
    x = batch()
    algorithm = config(f"trainer.algorithm.loss_reduction={reduction}")
    scaled = ppo_utils.apply_loss_reduction_to_advantages_minibatch(
        torch.where(x.mask, x.advantages, 0.0), x.mask.float(), reduction, micro_batch_size=4, max_seq_len=16
    )
    loss, _ = run(x._replace(advantages=scaled), algorithm)
    tokens = per_token("band-kl", x)
    expected = {
        "token_mean": tokens.sum() / x.mask.sum(),
        "sequence_mean": (tokens.sum(-1) / x.mask.sum(-1)).mean(),
        "seq_mean_token_sum_norm": (tokens.sum(-1) / 16).mean(),
    }[reduction]
    assert_close(loss, expected)


def test_bf16_log_probs_are_computed_in_fp32():
    x = batch(dtype=torch.bfloat16)
    loss, _ = run(x, config())
    assert loss.dtype == torch.float32
    expected = per_token("band-kl", x).sum()
    assert_close(loss, expected)
    assert_close(gradient(loss, x.new), gradient(expected, x.new), tolerance=1e-2)  # the gradient itself is bf16


def test_without_a_mask_every_token_counts():
    x = batch()
    x = x._replace(mask=torch.ones_like(x.mask), new=x.new.detach().clamp(max=-0.01).requires_grad_())
    x = x._replace(old=x.old.clamp(max=-0.01), rollout=x.rollout.clamp(max=-0.01))
    function = ppo_utils.PolicyLossRegistry.get("bandpo")
    loss, _ = function(x.new, x.old, x.advantages, config=config(), rollout_logprobs=None)
    assert_close(loss, per_token("band-kl", x).sum())


def test_metrics_are_of_the_band():
    x = batch()
    _, metrics = run(x, config("trainer.algorithm.bandpo.band_delta=0.02"))
    removed = gradient(per_token("band-kl", x, delta=0.02).sum(), x.new)[x.mask] == 0
    assert metrics["clip_ratio"] == metrics["band/clip"] == pytest.approx(removed.float().mean().item())
    assert {"band/approx_kl", "band/bound_low", "band/log_bound_high"} <= metrics.keys()


def test_options_from_the_command_line():
    algorithm = config("trainer.algorithm.bandpo.band_delta=0.03", "trainer.algorithm.bandpo.method_kwargs.max_ratio=9")
    objective = adapter.objective_for(algorithm)
    assert (objective.options["delta"], objective.options["max_ratio"]) == (0.03, 9)
    assert algorithm.policy_loss_type == "bandpo" and isinstance(algorithm, AlgorithmConfig)


def test_configuration_and_loss_travel_to_workers():
    x, algorithm = batch(), config("trainer.algorithm.bandpo.band_delta=0.03")
    sent = cloudpickle.loads(cloudpickle.dumps((adapter.loss, algorithm)))
    loss, _ = sent[0](x.new, x.old, x.advantages, sent[1], x.mask.float(), x.rollout)
    assert_close(loss, per_token("band-kl", x, delta=0.03).sum())


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        (["bandpo.method=band-kl2"], ValueError, "band-kl2"),
        (["bandpo.delta=0.1"], TypeError, "'delta': SkyRL takes method, band_delta"),
        (["bandpo.method=maspo"], ValueError, "maspo.*divides advantages"),
        (["eps_clip_low=0.1"], ValueError, r"trainer\.algorithm\.eps_clip_low=0\.1 has no effect"),
        (["clip_ratio_c=5.0"], ValueError, r"clip_ratio_c=5\.0 has no effect with method='band-kl': write dual_clip"),
        (["bandpo.method=tre"], ValueError, "needs logits, which SkyRL does not hand"),
        (["bandpo.anchor=rollout", "off_policy_correction.tis_ratio_type=token"], ValueError, "tis_ratio_type='token'"),
    ],
)
def test_refusals_before_anything_trains(options, kind, words):
    with pytest.raises(kind, match=words):
        adapter.configure([f"trainer.algorithm.{option}" for option in options])


def test_stock_configuration_is_told_what_is_missing():
    with pytest.raises(ValueError, match=r"override_entrypoint=bandpo\.engines\.skyrl"):
        run(batch(), AlgorithmConfig(policy_loss_type="bandpo"))


def test_a_missing_sampler_is_named():
    x = batch()
    with pytest.raises(ValueError, match="logp_rollout"):
        run(x._replace(rollout=None), config(method="dppo-tv"))


def test_a_spawned_ray_worker_finds_the_loss():
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        algorithm = config("trainer.algorithm.bandpo.band_delta=0.03")
        ppo_utils.sync_registries()

        @ray.remote
        def elsewhere(tensors, algorithm):
            from skyrl.backends.skyrl_train.utils.ppo_utils import PolicyLossRegistry

            new, old, advantages, mask = tensors
            loss, _ = PolicyLossRegistry.get("bandpo")(new, old, advantages, config=algorithm, loss_mask=mask)
            return loss.item()

        x = batch()
        tensors = x.new.detach(), x.old, x.advantages, x.mask.float()
        found = ray.get(elsewhere.remote(tensors, algorithm))
        assert found == pytest.approx(per_token("band-kl", x, delta=0.03).sum().item(), rel=1e-5)
    finally:
        ray.shutdown()
        ppo_utils.PolicyLossRegistry._ray_actor = None
        ppo_utils.PolicyLossRegistry._synced_to_actor = False


def test_skyrls_main_hands_over(monkeypatch):
    """`trainer.override_entrypoint` is read by SkyRL's `main`, which needs vLLM to be imported."""
    main_base = pytest.importorskip("skyrl.train.entrypoints.main_base", reason="needs vLLM", exc_type=ImportError)
    called = []
    monkeypatch.setattr(adapter, "main", lambda: called.append(sys.argv[1:]))
    argv = ["main_base", "trainer.override_entrypoint=bandpo.engines.skyrl", "trainer.algorithm.bandpo.band_delta=0.05"]
    monkeypatch.setattr(sys, "argv", argv)
    main_base.main()
    assert called == [argv[1:]]


def test_the_documented_commands(monkeypatch):
    algorithm = adapter.configure(arguments(blocks("skyrl", "bash")[0])).trainer.algorithm
    x = batch()
    assert_close(run(x, algorithm)[0], per_token("band-kl", x).sum())
    monkeypatch.setattr(sys, "argv", ["mine.py", "trainer.algorithm.bandpo.method=grpo"])
    names = {}
    exec(blocks("skyrl", "python")[0], names)
    assert adapter.objective_for(names["cfg"].trainer.algorithm).method.name == "grpo"
