"""AReaL's own `grpo_loss_fn` and `ppo_actor_loss_fn` with our trust region, packed and padded."""

import contextlib
import importlib
import importlib.metadata
import json
import sys
from types import SimpleNamespace

import areal_protocol as protocol
import pytest
import torch
from independent import FINITE_GARBAGE, assert_close, batch, gradient, per_token
from snippets import blocks
from sources import anything, execute, installed_file, stub

from bandpo.engines.areal import processes
from bandpo.engines.areal.check import check

VARIANTS = [
    pytest.param("protocol", marks=pytest.mark.exercises("signature only", version="1.0.4")),
    pytest.param("installed", marks=pytest.mark.exercises("real function")),
]
TRACKED = ("scalar", "stat", "denominator")


def fill(monkeypatch, variant):
    """AReaL's modules for the test: its own files, or the protocol, around a tracker that keeps what it is given."""
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.0.4")
    monkeypatch.setenv("BANDPO", "")  # put back after the test, which sets it
    processes.engine_class.cache_clear()
    if variant == "installed":
        root = installed_file("areal", "areal")
        anything(
            monkeypatch,
            "areal.api.cli_args",
            "areal.experimental.training_service.controller.controller",
            "areal.infra",
            "areal.infra.rpc.serialization",
            "areal.trainer.ppo.stats",
            "areal.utils.data",
        )
        stub(monkeypatch, "areal.api", TrainEngine=object).__path__ = []
        monkeypatch.setattr(sys.modules["areal.trainer.ppo.stats"], "infer_token_denominator", lambda *_: None, False)
        logger = SimpleNamespace(getLogger=lambda _: None)
        stub(monkeypatch, "areal.utils.logging", **vars(logger))
        stub(monkeypatch, "areal.utils.perf_tracer", trace_perf=lambda *_, **__: lambda function: function)
        execute(monkeypatch, "areal.utils.constants", root / "utils/constants.py")
        functional = execute(monkeypatch, "areal.utils.functional.functional", root / "utils/functional/functional.py")
        package = stub(monkeypatch, "areal.utils.functional", **vars(functional))
        package.__path__ = []
    kept = {name: [] for name in TRACKED}
    tracker = {name: lambda name=name, **given: kept[name].append(given) for name in TRACKED}
    tracker["scope_func_wrapper"] = lambda *_: lambda function: function
    tracker["scope"] = lambda *_: contextlib.nullcontext()
    tracker = stub(monkeypatch, "areal.utils.stats_tracker", **tracker)
    if variant == "installed":
        logging = sys.modules["areal.utils.logging"]
        stub(monkeypatch, "areal.utils", logging=logging, stats_tracker=tracker).__path__ = []
        actor = execute(monkeypatch, "areal.trainer.ppo.actor", root / "trainer/ppo/actor.py")
        execute(monkeypatch, "areal.engine", root / "engine/__init__.py").__path__ = []
    else:
        actor = protocol.module_of(stub, monkeypatch)
        stub(monkeypatch, "areal.engine", _LAZY_IMPORTS={}).__path__ = []
    trainer = type("PPOTrainer", (), {"_create_train_engine": lambda self, config, alloc: alloc.backend})
    stub(monkeypatch, "areal.trainer.rl_trainer", PPOTrainer=trainer)
    return actor, kept


@pytest.fixture(params=VARIANTS)
def engine(request, monkeypatch):
    actor, kept = fill(monkeypatch, request.param)
    yield SimpleNamespace(actor=actor, kept=kept)
    processes.engine_class.cache_clear()


def run(engine, x, method="band-kl", options=None, packed=False, **settings):
    """As AReaL's engines call the loss: with the settings that `ppo_update` bound to it."""
    processes.install({"method": method, **(options or {})})
    flat = (lambda t: t.reshape(-1)) if packed else (lambda t: t)
    data = {
        "logprobs": flat(x.rollout),
        "prox_logp": flat(x.old),
        "advantages": flat(x.advantages),
        "loss_mask": flat(x.mask),
    }
    bound = {"eps_clip": 0.2, "eps_clip_higher": None, "c_clip": None, **settings}
    return engine.actor.grpo_loss_fn(flat(x.new), torch.zeros_like(flat(x.old)), data, **bound)


METHODS = ["band-kl", "grpo", "dual-clip", "dppo-tv", "sapo", "cispo"]


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("garbage", FINITE_GARBAGE)
@pytest.mark.parametrize("method", METHODS)
def test_loss_and_gradient_are_the_token_mean(engine, method, garbage, packed):
    x = batch(garbage)
    loss = run(engine, x, method, packed=packed)
    expected = per_token(method, x, "rollout" if method == "dppo-tv" else "old").sum() / x.mask.sum()
    assert_close(loss, expected, 1e-5)
    assert_close(gradient(loss, x.new), gradient(expected, x.new), 1e-5)
    assert engine.kept["scalar"][0].keys() >= {"band/clip", "band/approx_kl"}


def test_grpo_is_the_stock_loss(engine):
    x = batch("noise")
    ours = run(engine, x, "grpo")
    engine.actor.ppo_actor_loss_fn = engine.actor.ppo_actor_loss_fn.__wrapped__
    data = {"logprobs": x.rollout, "prox_logp": x.old, "advantages": x.advantages, "loss_mask": x.mask}
    theirs = engine.actor.grpo_loss_fn(x.new, torch.zeros_like(x.old), data, 0.2, None, None)
    assert_close(ours, theirs)
    assert_close(gradient(ours, x.new), gradient(theirs, x.new))


def test_bf16_log_probs_give_fp32_bounds(engine):
    x = batch(dtype=torch.bfloat16)
    x = x._replace(new=x.new.detach().float().requires_grad_())
    assert_close(run(engine, x), per_token("band-kl", x).sum() / x.mask.sum(), 1e-5)


def test_the_dual_clip_of_the_configuration_is_kept(engine):
    x = batch()
    assert_close(run(engine, x, "grpo", c_clip=3.0), per_token("dual-clip", x).sum() / x.mask.sum(), 1e-5)


@pytest.mark.parametrize("method", ["band-kl", "sapo"])
def test_rejection_sampling_multiplies_the_loss(engine, method):
    x = batch()
    clamp = SimpleNamespace(action="clamp", metric="ratio", level="token", agg="mean", lower=None, upper=1.2)
    loss = run(engine, x, method, rejection_sampling=clamp)
    expected = (per_token(method, x) * torch.exp(x.old - x.rollout).clamp(max=1.2)).sum() / x.mask.sum()
    assert_close(loss, expected, 1e-5)


def test_installing_again_replaces_the_method(engine):
    x = batch()
    run(engine, x, "sapo")
    assert_close(
        run(engine, x, options={"band_delta": 0.01}), per_token("band-kl", x, delta=0.01).sum() / x.mask.sum(), 1e-5
    )


@pytest.mark.parametrize(
    ("method", "settings", "words"),
    [
        ("gspo", {}, "needs the whole sequence, AReaL hands packed tokens"),
        ("clip-cov", {}, "needs the whole batch"),
        ("band-kl", {"importance_sampling_level": "sequence"}, "importance_sampling_level='sequence'"),
        ("band-kl", {"eps_clip": 0.3}, "eps_clip=0.3 has no effect"),
        ("band-kl", {"eps_clip_higher": 0.28}, "eps_clip_higher=0.28 has no effect"),
        ("dual-clip", {"c_clip": 5.0}, "give one"),
        ("sapo", {"c_clip": 3.0}, "c_clip=3.0 with method='sapo'"),
        ("dppo-tv", {"rejection_sampling": object()}, "counts the mismatch twice"),
    ],
)
def test_refusals(engine, method, settings, words):
    with pytest.raises(ValueError, match=words):
        run(engine, batch(), method, **settings)


def test_workers_import_our_engine_and_find_the_method_in_their_environment(engine, monkeypatch):
    class FSDPPPOActor:
        def __init__(self, config):
            self.config = config

    stub(monkeypatch, "areal.engine.fsdp_engine", FSDPPPOActor=FSDPPPOActor)
    processes.install({"method": "band-kl", "band_delta": 0.02})
    lazy = sys.modules["areal.engine"]._LAZY_IMPORTS
    chosen = importlib.import_module(lazy["FSDPPPOActor"]).FSDPPPOActor
    assert f"{chosen.__module__}.{chosen.__name__}" == "bandpo.engines.areal.FSDPPPOActor"
    assert issubclass(chosen, FSDPPPOActor) and lazy["MegatronPPOActor"] == "bandpo.engines.areal"

    engine.actor.ppo_actor_loss_fn = engine.actor.ppo_actor_loss_fn.__wrapped__  # as in a fresh process
    config = SimpleNamespace(use_sapo_loss=False)
    assert chosen(config).config is config
    assert engine.actor.ppo_actor_loss_fn.__wrapped__ is not None
    with pytest.raises(ValueError, match="use_sapo_loss=True is a loss of its own"):
        chosen(SimpleNamespace(use_sapo_loss=True))
    monkeypatch.setenv("BANDPO", "band-kl")
    with pytest.raises(ValueError, match=r"BANDPO='band-kl': expected a JSON object; .*scheduling_spec"):
        chosen(config)


def test_a_backend_that_would_train_with_areals_own_loss_is_refused(engine):
    for _ in range(2):
        processes.install({"method": "band-kl"})
    trainer = sys.modules["areal.trainer.rl_trainer"].PPOTrainer()
    assert trainer._create_train_engine(None, SimpleNamespace(backend="fsdp")) == "fsdp"
    with pytest.raises(ValueError, match="backend='archon': expected fsdp or megatron"):
        trainer._create_train_engine(None, SimpleNamespace(backend="archon"))


@pytest.mark.parametrize("version", ["1.0.3", "1.0.5", "1.1.0"])
def test_other_releases_are_refused(version):
    with pytest.raises(RuntimeError, match=f"areal {version}: this adapter is written for 1.0.4"):
        processes.check_release(version)


def test_the_documented_lines(engine):
    exec(blocks("areal", "python")[0], {})
    x = batch()
    data = {"logprobs": x.rollout, "prox_logp": x.old, "advantages": x.advantages, "loss_mask": x.mask}
    loss = engine.actor.grpo_loss_fn(x.new, torch.zeros_like(x.old), data, 0.2, None, None)
    assert_close(loss, per_token("band-kl", x).sum() / x.mask.sum(), 1e-5)
    spec = pytest.importorskip("yaml").safe_load(blocks("areal", "yaml")[0])["actor"]["scheduling_spec"][0]
    assert json.loads(spec["env_vars"]["BANDPO"]) == {"method": "band-kl", "band_delta": 0.05}


def test_doctor():
    def levels(**changes):
        return [finding.level for finding in check({"bandpo.method": "band-kl", **changes})][1:]

    assert levels() == levels(**{"bandpo.method": "grpo", "actor.eps_clip": 0.2}) == ["ok", "ok"]
    assert levels(**{"bandpo.method": "gspo"}) == levels(**{"actor.eps_clip": 0.3}) == ["fail", "ok"]
    assert levels(**{"actor.use_sapo_loss": True}) == ["ok", "fail", "ok"]
    assert levels(**{"actor.ppo_n_minibatches": 1}) == ["ok", "warn"]
