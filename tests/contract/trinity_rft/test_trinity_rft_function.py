"""Trinity-RFT's registry and configuration build our loss, its mapper calls it, its `aggregate_loss` averages."""

import pytest

pytest.importorskip(
    "trinity.algorithm.policy_loss_fn", reason="Trinity-RFT is not installed: make test-engines ENGINES=trinity_rft"
)

import pickle

import torch
from independent import GARBAGE, assert_close, batch, gradient, per_token
from omegaconf import OmegaConf
from snippets import blocks
from trinity.algorithm import POLICY_LOSS_FN
from trinity.common.config import load_config
from trinity.common.config_validator import AlgorithmConfigValidator

from bandpo.engines.trinity_rft.adapter import PATH

pytestmark = pytest.mark.exercises("real function")


def build(method="band-kl", backend="verl", loss_agg_mode="token-mean", **options):
    """As Trinity-RFT's workers do, from the configuration's path and arguments."""
    arguments = {"method": method, "loss_agg_mode": loss_agg_mode, **options}
    return POLICY_LOSS_FN.get(PATH)(backend=backend, **arguments)


def run(x, loss):
    """By the names of verl's trainer, with what Trinity-RFT's wrapper drops."""
    return loss(
        logprob=x.new,
        old_log_probs=x.old,
        response_mask=x.mask,
        advantages=x.advantages,
        rollout_log_probs=x.rollout,
        returns=x.advantages,
    )


METHODS = ["band-kl", "grpo", "dual-clip", "dppo-tv", "sapo", "cispo", "gspo"]


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("method", METHODS)
def test_loss_and_gradient_are_the_mean_of_the_formula(method, garbage):
    x = batch(garbage)
    loss, metrics = run(x, build(method))
    expected = per_token(method, x, "rollout" if method == "dppo-tv" else "old").sum() / x.mask.sum()
    assert_close(loss, expected)
    assert_close(gradient(loss, x.new), gradient(expected, x.new))
    assert all(isinstance(value, float) for value in metrics.values())


def test_it_is_trinitys_own_ppo_loss():
    x = batch()
    own = POLICY_LOSS_FN.get("ppo")(backend="verl", clip_range=0.2, clip_ratio_c=3.0)
    theirs, named = run(x, own)
    ours, metrics = run(x, build("dual-clip"))
    assert_close(ours, theirs)
    assert_close(gradient(ours, x.new), gradient(theirs, x.new))
    assert named.keys() - metrics.keys() == {"pg_clipfrac_lower"}
    assert metrics["ppo_kl"] == pytest.approx(named["ppo_kl"], abs=1e-6)
    ours = run(x, build("grpo"))[1]
    assert ours["pg_clipfrac"] == pytest.approx(named["pg_clipfrac"])


@pytest.mark.parametrize("mode", ["seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm"])
def test_trinity_averages(mode):
    x = batch()
    tokens = per_token("band-kl", x)
    expected = {
        "seq-mean-token-mean": (tokens.sum(-1) / x.mask.sum(-1)).mean(),
        "seq-mean-token-sum": tokens.sum(-1).mean(),
        "seq-mean-token-sum-norm": tokens.sum() / x.mask.shape[-1],
    }[mode]
    assert_close(run(x, build(loss_agg_mode=mode))[0], expected)


def test_anchor_on_the_sampler_beside_recomputed_log_probs():
    x = batch()
    loss, _ = run(x, build(anchor="rollout"))
    expected = per_token("band-kl", x, "rollout").sum() / x.mask.sum()
    assert_close(loss, expected)
    assert_close(gradient(loss, x.new), gradient(expected, x.new))


def test_bf16_log_probs_are_computed_in_fp32():
    x = batch(dtype=torch.bfloat16)
    loss, _ = run(x, build())
    expected = per_token("band-kl", x).sum() / x.mask.sum()
    assert loss.dtype == torch.float32
    assert_close(loss, expected)


@pytest.mark.parametrize("method", ["band-kl", "dppo-tv", "gspo"])
def test_the_tinker_trainers_samples_one_by_one(method):
    x = batch()
    loss = build(method, backend="tinker")
    for row in range(len(x.mask)):
        one = {"old_logprob": x.old[row], "action_mask": x.mask[row], "advantages": x.advantages[row]}
        found, _ = loss(logprob=x.new[row], total_length=9, **one)
        alone = x._replace(rollout=x.old)
        expected = per_token(method, alone)[row].sum() / x.mask[row].sum()
        assert_close(found, expected)
        assert_close(gradient(found, x.new), gradient(expected, x.new))


def test_the_wrapper_asks_the_trainer_for_what_the_loss_reads():
    names = {"old_log_probs", "response_mask", "advantages", "rollout_log_probs"}
    assert set(build().select_keys) == names


def test_metrics_are_of_the_band():
    x = batch()
    _, metrics = run(x, build(band_delta=0.02))
    removed = gradient(per_token("band-kl", x, delta=0.02).sum(), x.new)[x.mask] == 0
    assert metrics["pg_clipfrac"] == metrics["band/clip"] == pytest.approx(removed.float().mean().item())
    assert {"band/approx_kl", "band/bound_low", "band/log_bound_high"} <= metrics.keys()


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"method": "band-kl2"}, ValueError, "band-kl2"),
        ({"delta": 0.1}, TypeError, "'delta': Trinity-RFT takes method, band_delta"),
        ({"clip_range": 0.2}, TypeError, "'clip_range': Trinity-RFT takes method, band_delta"),
        ({"enable_sequence_masking": True}, TypeError, "'enable_sequence_masking': Trinity-RFT takes method"),
        ({"method_kwargs": {"eps": 0.1}}, TypeError, "eps"),
        ({"method": "clip-cov"}, ValueError, "needs the whole batch"),
        ({"method": "tre"}, ValueError, "needs logits, which Trinity-RFT does not hand"),
        ({"loss_agg_mode": None}, ValueError, "policy_loss_fn_args has no loss_agg_mode"),
    ],
)
def test_refusals_when_the_loss_is_built(options, kind, words):
    with pytest.raises(kind, match=words):
        build(**options)


def configured(tmp_path, text):
    """The algorithm of a configuration file, read and completed by Trinity-RFT."""
    file = tmp_path / "config.yaml"
    file.write_text(text)
    config = load_config(str(file))
    AlgorithmConfigValidator().validate(config)
    return config.algorithm


def test_the_documented_configuration(tmp_path):
    algorithm = configured(tmp_path, blocks("trinity_rft", "yaml")[0])
    assert algorithm.policy_loss_fn == PATH
    loss = POLICY_LOSS_FN.get(PATH)(backend="verl", **algorithm.policy_loss_fn_args)
    x = batch()
    assert_close(run(x, loss)[0], per_token("band-kl", x).sum() / x.mask.sum())


def test_trinitys_mode_reaches_the_loss_through_its_argument(tmp_path):
    text = f"algorithm: {{algorithm_type: grpo, policy_loss_fn: {PATH}, loss_agg_mode: seq-mean-token-sum%s}}"
    for given in ("", ", policy_loss_fn_args: {method: grpo, loss_agg_mode: token-mean}"):
        arguments = configured(tmp_path, text % given).policy_loss_fn_args
        assert POLICY_LOSS_FN.get(PATH)(**arguments).loss_agg_mode == "seq-mean-token-sum"
    with pytest.raises(ValueError, match=r"algorithm\.loss_agg_mode does not reach the loss"):
        POLICY_LOSS_FN.get(PATH)(**configured(tmp_path, text % ", policy_loss_fn_args: {}").policy_loss_fn_args)


def test_nested_options_of_a_configuration_are_taken():
    arguments = OmegaConf.create({"method": "band-kl", "method_kwargs": {"max_ratio": 9.0}})
    assert build(**arguments).objective.options["max_ratio"] == 9.0


def test_the_loss_travels_to_workers():
    x, loss = batch(), pickle.loads(pickle.dumps(build(band_delta=0.03)))
    assert_close(run(x, loss)[0], per_token("band-kl", x, delta=0.03).sum() / x.mask.sum())
