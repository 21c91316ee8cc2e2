"""NeMo-RL's own clipped loss inside ours, called as its workers call it."""

import pickle
import sys
from types import SimpleNamespace

import nemo_rl_protocol as protocol
import pytest
import torch
from independent import FINITE_GARBAGE, assert_close, batch, gradient, per_token
from snippets import arguments, as_options, blocks
from sources import anything, both, checkout, execute, stub

from bandpo.engines.nemo_rl import adapter
from bandpo.engines.nemo_rl.check import check


@pytest.fixture(params=both("0.7.0"))
def engine(request, monkeypatch):
    if request.param == "protocol":
        return protocol
    folder = checkout("nemo-rl") / "nemo_rl"
    unused = (
        "algorithms.x_token.loss_utils",
        "distributed.model_utils",
        "models.dtensor.parallelize",
        "data.chat_templates",
        "models.policy",
        "utils.fastokens",
        "utils.logger",
    )
    anything(monkeypatch, *(f"nemo_rl.{name}" for name in unused))
    for name in ("pydantic", "transformers"):
        pytest.importorskip(name)
    stub(monkeypatch, "nemo_rl.distributed.batched_data_dict", BatchedDataDict=dict)
    execute(monkeypatch, "nemo_rl.algorithms.utils", folder / "algorithms/utils.py")
    execute(monkeypatch, "nemo_rl.algorithms.loss.interfaces", folder / "algorithms/loss/interfaces.py")
    name = "nemo_rl.algorithms.loss.loss_functions"
    return execute(monkeypatch, name, folder / "algorithms/loss/loss_functions.py")


def loss_of(engine, method="band-kl", options=None, **changes):
    build = adapter.with_band(engine.ClippedPGLossFn)
    return build(protocol.config(bandpo={"method": method, **(options or {})}, **changes))


def run(loss, x, tokens=None, sequences=None, sample_mask=None):
    """data has the prompt's column in front, which the loss cuts off; counts are global."""
    lead = lambda t: torch.cat([torch.zeros(len(t), 1), t.float()], 1)  # noqa: E731
    data = {
        "token_mask": lead(x.mask),
        "sample_mask": torch.ones(len(x.mask)) if sample_mask is None else sample_mask,
        "advantages": lead(x.advantages),
        "prev_logprobs": lead(x.old),
        "generation_logprobs": lead(x.rollout),
    }
    counts = x.mask.sum() if tokens is None else tokens, len(x.mask) if sequences is None else sequences
    return loss(
        data=data,
        global_valid_toks=torch.as_tensor(float(counts[0])),
        global_valid_seqs=torch.as_tensor(float(counts[1])),
        next_token_logprobs=x.new,
    )


METHODS = ["band-kl", "grpo", "dual-clip", "dppo-tv", "sapo", "cispo", "gspo"]


@pytest.mark.parametrize("garbage", FINITE_GARBAGE)
@pytest.mark.parametrize("method", METHODS)
def test_loss_and_gradient_over_global_tokens(engine, method, garbage):
    if garbage == "huge":
        x = batch("zeros")  # a difference of log-probs beyond e^88 is NaN in NeMo-RL's own metrics and loss
        x = x._replace(advantages=torch.where(x.mask, x.advantages, -1e4))
    else:
        x = batch(garbage)
    loss, metrics = run(loss_of(engine, method), x, tokens=100)
    expected = per_token(method, x, "rollout" if method == "dppo-tv" else "old").sum() / 100
    assert_close(loss, expected, 1e-5)
    assert_close(gradient(loss, x.new), gradient(expected, x.new), 1e-5)
    assert all(isinstance(metrics[f"band/{name}"], float) for name in adapter.REPORTED)


@pytest.mark.parametrize("method", METHODS)
def test_sequence_level_mean(engine, method):
    x = batch()
    loss, _ = run(loss_of(engine, method, token_level_loss=False), x, sequences=7)
    tokens = per_token(method, x, "rollout" if method == "dppo-tv" else "old")
    assert_close(loss, (tokens.sum(-1) / x.mask.sum(-1)).sum() / 7, 1e-5)


def test_grpo_is_the_stock_loss(engine):
    x = batch()
    ours = run(loss_of(engine, "grpo"), x)
    theirs = run(engine.ClippedPGLossFn(protocol.config()), x)
    assert_close(ours[0], theirs[0], 1e-6)
    assert {**ours[1], **theirs[1]} == pytest.approx(ours[1], rel=1e-5)


def test_masked_samples_add_nothing(engine):
    x, kept = batch(), torch.tensor([1.0, 0.0, 1.0, 1.0])
    loss, metrics = run(loss_of(engine), x, tokens=100, sample_mask=kept)
    expected = (per_token("band-kl", x).sum(-1) * kept).sum() / 100
    assert_close(loss, expected, 1e-5)
    assert_close(gradient(loss, x.new), gradient(expected, x.new), 1e-5)
    stopped = (gradient(per_token("band-kl", x).sum(), x.new) == 0) & x.mask & (kept > 0)[:, None]
    assert metrics["band/clip"] == pytest.approx(stopped.sum().item() / 100)


@pytest.mark.parametrize("method", ["band-kl", "sapo"])
def test_importance_correction_multiplies_the_loss(engine, method):
    x = batch()
    tis = {"truncated_importance_sampling_type": "tis", "truncated_importance_sampling_ratio": 1.1}
    loss, _ = run(loss_of(engine, method, use_importance_sampling_correction=True, **tis), x)
    expected = (per_token(method, x) * torch.exp(x.old - x.rollout).clamp(max=1.1)).sum() / x.mask.sum()
    assert_close(loss, expected, 1e-5)
    assert_close(gradient(loss, x.new), gradient(expected, x.new), 1e-5)


def test_bf16_log_probs_give_fp32_bounds(engine):
    x = batch(dtype=torch.bfloat16)
    x = x._replace(new=x.new.detach().float().requires_grad_())
    assert_close(run(loss_of(engine), x)[0], per_token("band-kl", x).sum() / x.mask.sum(), 1e-5)


def test_everything_else_is_the_stock_losss(engine):
    loss = loss_of(engine)
    assert loss.loss_type == engine.ClippedPGLossFn(protocol.config()).loss_type
    assert loss.use_fused_linear_logprobs is False and loss.input_type == engine.ClippedPGLossFn.input_type
    assert loss.metric_normalizations["band/clip"] == loss.metric_normalizations["probs_ratio"]
    before = dict(vars(loss.stock))
    run(loss, batch())
    assert vars(loss.stock) == before


@pytest.mark.exercises("signature only", version="0.7.0")
def test_the_loss_travels_to_workers():
    x = batch()
    sent = pickle.loads(pickle.dumps(loss_of(protocol, options={"band_delta": 0.02})))
    assert_close(run(sent, x)[0], per_token("band-kl", x, delta=0.02).sum() / x.mask.sum(), 1e-5)


@pytest.mark.parametrize(
    ("method", "options", "changes", "words"),
    [
        ("clip-cov", {}, {}, "needs the whole batch, NeMo-RL hands single sequences"),
        ("tre", {}, {}, "needs logits, which NeMo-RL does not hand"),
        ("band-kl", {}, {"disable_ppo_ratio": True}, "disable_ppo_ratio=True is a loss of its own"),
        ("band-kl", {}, {"force_on_policy_ratio": True}, "force_on_policy_ratio=True"),
        ("band-kl", {}, {"ratio_clip_max": 0.28}, "ratio_clip_max=0.28 has no effect with method='band-kl'"),
        ("sapo", {}, {"ratio_clip_c": 3.0}, "ratio_clip_c=3.0 with method='sapo'"),
        ("dual-clip", {}, {"ratio_clip_c": 5.0}, "give one"),
        ("dppo-tv", {}, {"use_importance_sampling_correction": True}, "counts the mismatch twice"),
        ("band-kl", {"anchor": "rollout"}, {"use_importance_sampling_correction": True}, "counts the mismatch twice"),
    ],
)
def test_refusals_before_anything_trains(engine, method, options, changes, words):
    with pytest.raises(ValueError, match=words):
        loss_of(engine, method, options, **changes)


def test_a_configuration_without_the_method_is_refused(engine):
    for given in ({}, {"bandpo": None}, {"bandpo": "band-kl"}):
        with pytest.raises(ValueError, match=r"\+loss_fn\.bandpo\.method=band-kl"):
            adapter.with_band(engine.ClippedPGLossFn)(protocol.config(**given))


@pytest.mark.exercises("signature only", version="0.7.0")
def test_the_documented_command(monkeypatch, tmp_path):
    """NeMo-RL's launch script finds our factory where `setup` looks for the loss class."""
    words = arguments(blocks("nemo_rl", "bash")[0])
    options = as_options(words)
    assert [finding.level for finding in check(options)][1:] == ["ok", "ok"]
    grpo = stub(monkeypatch, "nemo_rl.algorithms.grpo", ClippedPGLossFn=protocol.ClippedPGLossFn)
    stub(monkeypatch, "nemo_rl.algorithms", grpo=grpo).__path__ = []
    script = tmp_path / "run_grpo.py"
    script.write_text("import sys\nfrom nemo_rl.algorithms import grpo\ngrpo.seen = sys.argv, grpo.ClippedPGLossFn\n")
    monkeypatch.setattr(sys, "argv", ["-m", str(script), *words[1:]])
    adapter.main()
    argv, build = grpo.seen
    assert argv == [str(script), *words[1:]]
    chosen = {name.removeprefix("loss_fn.bandpo."): value for name, value in options.items() if "bandpo" in name}
    x = batch()
    loss = build(SimpleNamespace(**vars(protocol.config()), bandpo=chosen))
    assert_close(run(loss, x)[0], per_token("band-kl", x).sum() / x.mask.sum(), 1e-5)
    names = {"loss_fn": protocol.ClippedPGLossFn(protocol.config())}
    exec(blocks("nemo_rl", "python")[0], names)
    assert_close(run(names["loss_fn"], x)[0], run(loss, x)[0])


def test_doctor():
    good = as_options(arguments(blocks("nemo_rl", "bash")[0]))

    def levels(**changes):
        return [finding.level for finding in check({**good, **changes})][1:]

    assert levels(**{"loss_fn.bandpo.method_kwargs.max_ratio": 9}) == ["ok", "ok"]
    assert levels(**{"loss_fn.bandpo.method": "clip-cov"}) == levels(**{"loss_fn.use_cispo": True}) == ["fail", "ok"]
    assert levels(**{"policy.train_global_batch_size": 4096}) == ["ok", "fail"]
    assert [finding.level for finding in check({})][1:] == ["fail"]
