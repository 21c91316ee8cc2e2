"""What contradicts a method is refused before the first rollout: every setting that docs/engines.md lists."""

import asyncio
import re
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import pytest

from bandpo.engines.areal import adapter as areal
from bandpo.engines.areal import processes as areal_processes
from bandpo.engines.miles import adapter as miles
from bandpo.engines.nemo_rl import adapter as nemo_rl
from bandpo.engines.openrlhf import adapter as openrlhf
from bandpo.engines.prime_rl import adapter as prime_rl
from bandpo.engines.roll import adapter as roll
from bandpo.engines.skyrl import adapter as skyrl
from bandpo.engines.slime import adapter as slime
from bandpo.engines.tinker import cookbook
from bandpo.engines.trinity_rft import adapter as trinity_rft
from bandpo.engines.verl.options import check_actor, objective_for

PAGE = Path(__file__).parents[2] / "docs" / "engines.md"
BAND, SAPO, DPPO = {"method": "band-kl"}, {"method": "sapo"}, {"method": "dppo-tv"}


def trl(**given):
    pytest.importorskip("trl")
    from bandpo.engines.trl import BandGRPOConfig

    BandGRPOConfig("unused", bf16=False, use_cpu=True, **given)


def trl_async(**given):
    pytest.importorskip("trl.experimental.async_grpo")
    from bandpo.engines.trl import BandAsyncGRPOConfig

    BandAsyncGRPOConfig("unused", bf16=False, use_cpu=True, **given)


def trl_sdpo(**given):
    pytest.importorskip("trl.experimental.sdpo")
    from bandpo.engines.trl import BandSDPOConfig

    BandSDPOConfig("unused", **{"bf16": False, "use_cpu": True, "distillation_weight": 0.5, **given})


def axolotl(bandpo=BAND, rl="grpo", trl=None, **given):
    pytest.importorskip("trl")
    from bandpo.engines.axolotl.settings import check_config

    check_config({"rl": rl, "bandpo": bandpo, "trl": trl, **given})


def verl(policy=BAND, **actor):
    stock = {"clip_ratio_low": 0.2, "clip_ratio_high": 0.2, "clip_ratio_c": 3.0}
    check_actor({**stock, **actor, "policy_loss": {"loss_mode": "bandpo", **policy}})


def verl_bypass(**correction):
    objective_for({**DPPO, "rollout_correction": {"bypass_mode": True, **correction}})


def skyrl_run(options=BAND, is_async=False, logprobs=1, loss="bandpo", tis=None, **algorithm):
    clip = {"eps_clip_low": 0.2, "eps_clip_high": 0.2, "clip_ratio_c": 3.0, **algorithm}
    correction = SimpleNamespace(tis_ratio_type=tis)
    algorithm = SimpleNamespace(bandpo=options, policy_loss_type=loss, off_policy_correction=correction, **clip)
    trainer = SimpleNamespace(algorithm=algorithm, fully_async=SimpleNamespace(enabled=is_async))
    generator = SimpleNamespace(sampling_params=SimpleNamespace(logprobs=logprobs))
    skyrl.check_config(SimpleNamespace(trainer=trainer, generator=generator))


def slime_run(options=BAND, engine=slime, **given):
    settings = {"advantage_estimator": "grpo", "eps_clip": 0.2, "eps_clip_high": 0.2, "eps_clip_c": None}
    engine.objective_for(SimpleNamespace(**{**settings, "use_rollout_logprobs": False, "bandpo": options, **given}))


def miles_run(options=BAND, **given):
    slime_run(options, miles, **given)


def trinity_run(loss_agg_mode="token-mean"):
    trinity_rft.ADAPTER.objective_for(BAND, SimpleNamespace(loss_agg_mode=loss_agg_mode))


def openrlhf_run(*flags, options=BAND):
    openrlhf.ADAPTER.objective_for(options, openrlhf.loss_settings([*flags, "--train.batch_size", "128"]))


def nemo_run(options=BAND, **given):
    names = dict.fromkeys((*nemo_rl.OTHER_LOSSES, "use_importance_sampling_correction"), False)
    settings = {"ratio_clip_min": 0.2, "ratio_clip_max": 0.2, "ratio_clip_c": None, **names, **given}
    config = SimpleNamespace(loss_fn=SimpleNamespace(bandpo=options, **settings))
    nemo_rl.checked_setup(lambda config: None, nemo_rl.with_band(lambda config: config))(config)


def roll_run(options='{"method": "band-kl"}', is_weight=False, **given):
    clip = {
        "use_pg_clip_range": False,
        "pg_clip": 0.2,
        "pg_clip_low": 0.2,
        "pg_clip_high": 0.2,
        "dual_clip_loss": False,
    }
    correction = SimpleNamespace(is_weight=SimpleNamespace(enabled=is_weight))
    config = SimpleNamespace(**{"importance_sampling": "token", **clip, **given}, train_infer_correction=correction)
    roll.objective_for(config, {"BANDPO": options})


def areal_run(options=BAND, **given):
    stock = {"eps_clip": 0.2, "eps_clip_higher": None, "c_clip": None, "importance_sampling_level": "token"}
    stock |= {"rejection_sampling": None, "use_sapo_loss": False}
    areal.check_config(options, SimpleNamespace(**{**stock, **given}))


def tinker_run(**given):
    cookbook.check_config(SimpleNamespace(**{"loss_fn": "ppo", "loss_fn_config": None, **given}))


RUNS = {
    "TRL": trl,
    "AsyncGRPO": trl_async,
    "SDPO": trl_sdpo,
    "Axolotl": axolotl,
    "verl": verl,
    "SkyRL": skyrl_run,
    "slime": slime_run,
    "miles": miles_run,
    "Trinity-RFT": trinity_run,
    "OpenRLHF": openrlhf_run,
    "NeMo-RL": nemo_run,
    "ROLL": roll_run,
    "AReaL": areal_run,
    "tinker": tinker_run,
}
# Engine, the setting as the page has it, and a run with it.
CASES = [
    ("TRL", "epsilon", lambda: trl(epsilon=0.3)),
    ("TRL", "epsilon_high", lambda: trl(epsilon_high=0.28)),
    ("TRL", "delta", lambda: trl(delta=0.05)),
    ("TRL", "loss_type", lambda: trl(loss_type="cispo")),
    ("TRL", "importance_sampling_level", lambda: trl(importance_sampling_level="sequence")),
    ("TRL", "sapo_temperature_*", lambda: trl(sapo_temperature_neg=2.0)),
    ("TRL", "vespo_*", lambda: trl(vespo_k_pos=1.0)),
    ("TRL", "off_policy_mask_threshold", lambda: trl(method="sapo", off_policy_mask_threshold=0.1)),
    (
        "TRL",
        "vllm_importance_sampling_correction",
        lambda: trl(method="dppo-tv", use_vllm=True, vllm_importance_sampling_correction=True),
    ),
    ("AsyncGRPO", "epsilon", lambda: trl_async(epsilon=0.3)),
    ("AsyncGRPO", "epsilon_high", lambda: trl_async(epsilon_high=0.28)),
    ("SDPO", "epsilon", lambda: trl_sdpo(epsilon=0.3)),
    ("SDPO", "epsilon_high", lambda: trl_sdpo(epsilon_high=0.28)),
    ("SDPO", "loss_type", lambda: trl_sdpo(loss_type="luspo")),
    ("SDPO", "importance_sampling_level", lambda: trl_sdpo(importance_sampling_level="sequence")),
    ("SDPO", "distillation_weight", lambda: trl_sdpo(distillation_weight=1.0)),
    ("SDPO", "beta", lambda: trl_sdpo(beta=0.1)),
    ("SDPO", "use_vllm", lambda: trl_sdpo(method="dppo-tv", use_vllm=True)),
    ("Axolotl", "rl", lambda: axolotl(rl="dpo")),
    ("Axolotl", "trainer_cls", lambda: axolotl(trainer_cls="mine.Trainer")),
    ("Axolotl", "context_parallel_size", lambda: axolotl(context_parallel_size=2)),
    ("Axolotl", "trl.async_prefetch", lambda: axolotl(trl={"async_prefetch": True})),
    ("Axolotl", "trl.use_data_producer", lambda: axolotl(trl={"use_data_producer": True})),
    ("Axolotl", "trl.epsilon", lambda: axolotl(trl={"epsilon": 0.3})),
    ("Axolotl", "trl.epsilon_high", lambda: axolotl(trl={"epsilon_high": 0.28})),
    ("Axolotl", "trl.loss_type", lambda: axolotl(trl={"loss_type": "cispo"})),
    (
        "Axolotl",
        "trl.importance_sampling_level",
        lambda: axolotl(trl={"importance_sampling_level": "sequence"}),
    ),
    ("verl", "clip_ratio", lambda: verl(clip_ratio=0.3)),
    ("verl", "clip_ratio_low", lambda: verl(clip_ratio_low=0.1)),
    ("verl", "clip_ratio_high", lambda: verl(clip_ratio_high=0.28)),
    ("verl", "clip_ratio_c", lambda: verl(clip_ratio_c=5.0)),
    ("verl", "tau_pos", lambda: verl(SAPO, tau_pos=2.0)),
    ("verl", "tau_neg", lambda: verl(SAPO, tau_neg=2.0)),
    ("verl", "policy_loss.clip_cov_*", lambda: verl({**BAND, "clip_cov_lb": 2.0})),
    ("verl", "policy_loss.kl_cov_ratio", lambda: verl({**BAND, "kl_cov_ratio": 0.1})),
    ("verl", "policy_loss.ppo_kl_coef", lambda: verl({**BAND, "ppo_kl_coef": 1.0})),
    ("verl", "policy_loss.dro_beta", lambda: verl({**BAND, "dro_beta": 1.0})),
    ("verl", "rollout_correction.rollout_rs", lambda: verl_bypass(rollout_rs="token_k1")),
    ("verl", "rollout_correction.loss_type", lambda: verl_bypass(loss_type="reinforce")),
    ("SkyRL", "policy_loss_type", lambda: skyrl_run(loss="regular")),
    ("SkyRL", "eps_clip_low", lambda: skyrl_run(eps_clip_low=0.1)),
    ("SkyRL", "eps_clip_high", lambda: skyrl_run(eps_clip_high=0.28)),
    ("SkyRL", "clip_ratio_c", lambda: skyrl_run(clip_ratio_c=5.0)),
    ("SkyRL", "off_policy_correction.tis_ratio_type", lambda: skyrl_run(DPPO, tis="token")),
    ("SkyRL", "fully_async.enabled", lambda: skyrl_run(is_async=True)),
    ("SkyRL", "generator.sampling_params.logprobs", lambda: skyrl_run(DPPO, logprobs=None)),
    ("slime", "--advantage-estimator", lambda: slime_run(advantage_estimator="gspo")),
    ("slime", "--eps-clip", lambda: slime_run(eps_clip=0.3, eps_clip_high=0.3)),
    ("slime", "--eps-clip-high", lambda: slime_run(eps_clip_high=0.28)),
    ("slime", "--eps-clip-c", lambda: slime_run({"method": "dual-clip"}, eps_clip_c=5.0)),
    ("slime", "--use-rollout-logprobs", lambda: slime_run({**BAND, "anchor": "old"}, use_rollout_logprobs=True)),
    ("miles", "--advantage-estimator", lambda: miles_run(advantage_estimator="gspo")),
    ("miles", "--eps-clip", lambda: miles_run(eps_clip=0.3, eps_clip_high=0.3)),
    ("miles", "--eps-clip-high", lambda: miles_run(eps_clip_high=0.28)),
    ("miles", "--eps-clip-c", lambda: miles_run({"method": "dual-clip"}, eps_clip_c=5.0)),
    ("miles", "--use-rollout-logprobs", lambda: miles_run({**BAND, "anchor": "old"}, use_rollout_logprobs=True)),
    ("Trinity-RFT", "policy_loss_fn_args.loss_agg_mode", lambda: trinity_run(loss_agg_mode=None)),
    ("OpenRLHF", "--actor.policy_loss_type", lambda: openrlhf_run("--actor.policy_loss_type", "gspo")),
    ("OpenRLHF", "--actor.eps_clip", lambda: openrlhf_run("--actor.eps_clip", "0.3")),
    ("OpenRLHF", "--actor.eps_clip_low_high", lambda: openrlhf_run("--actor.eps_clip_low_high", "0.2", "0.28")),
    ("OpenRLHF", "--actor.dual_clip", lambda: openrlhf_run("--actor.dual_clip", "3", options=SAPO)),
    ("NeMo-RL", "ratio_clip_min", lambda: nemo_run(ratio_clip_min=0.1)),
    ("NeMo-RL", "ratio_clip_max", lambda: nemo_run(ratio_clip_max=0.28)),
    ("NeMo-RL", "ratio_clip_c", lambda: nemo_run(SAPO, ratio_clip_c=3.0)),
    *(("NeMo-RL", name, lambda name=name: nemo_run(**{name: True})) for name in nemo_rl.OTHER_LOSSES),
    (
        "NeMo-RL",
        "use_importance_sampling_correction",
        lambda: nemo_run(DPPO, use_importance_sampling_correction=True),
    ),
    ("ROLL", "importance_sampling", lambda: roll_run(importance_sampling="seq")),
    ("ROLL", "pg_clip", lambda: roll_run(pg_clip=0.3)),
    ("ROLL", "pg_clip_low", lambda: roll_run(use_pg_clip_range=True, pg_clip_low=0.1)),
    ("ROLL", "pg_clip_high", lambda: roll_run(use_pg_clip_range=True, pg_clip_high=0.28)),
    ("ROLL", "dual_clip_loss", lambda: roll_run('{"method": "sapo"}', dual_clip_loss=True)),
    ("ROLL", "train_infer_correction.is_weight", lambda: roll_run('{"method": "dppo-tv"}', is_weight=True)),
    ("AReaL", "eps_clip", lambda: areal_run(eps_clip=0.3)),
    ("AReaL", "eps_clip_higher", lambda: areal_run(eps_clip_higher=0.28)),
    ("AReaL", "c_clip", lambda: areal_run(SAPO, c_clip=3.0)),
    ("AReaL", "importance_sampling_level", lambda: areal_run(importance_sampling_level="sequence")),
    ("AReaL", "use_sapo_loss", lambda: areal_run(use_sapo_loss=True)),
    ("AReaL", "rejection_sampling", lambda: areal_run(DPPO, rejection_sampling=object())),
    ("tinker", "loss_fn_config", lambda: tinker_run(loss_fn_config={"clip_high_threshold": 1.3})),
    ("prime-rl", "anchor", lambda: prime_rl.ADAPTER.objective_for({"anchor": "old"})),
]


@pytest.mark.parametrize(("engine", "setting", "run"), CASES, ids=[f"{engine} {name}" for engine, name, _ in CASES])
def test_the_setting_is_refused_by_its_name(engine, setting, run):
    with pytest.raises(ValueError) as caught:
        run()
    name = setting.replace("*", "")
    for group in ("policy_loss.", "--actor.", "policy_loss_fn_args.", "trl."):
        name = name.removeprefix(group)
    assert name in str(caught.value)


@pytest.mark.parametrize("engine", RUNS)
def test_without_it_the_run_is_taken(engine):
    RUNS[engine]()


def test_a_dual_clip_that_cannot_act_is_taken_everywhere():
    for method in (BAND, SAPO, {"method": "dcpo"}):
        verl(method, clip_ratio_c=1000.0)
        skyrl_run(method, clip_ratio_c=1000.0)
        openrlhf_run("--actor.dual_clip", "1000", options=method)
        nemo_run(method, ratio_clip_c=1000.0)
        areal_run(method, c_clip=1000.0)
    slime_run({"method": "dcpo"}, eps_clip_c=1000.0)


def test_the_page_lists_these_and_no_others():
    section = PAGE.read_text(encoding="utf-8").partition("## What contradicts a method")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?:\[)?([\w-]+)(?:\]\([^)]*\))? \| (.*?) \| .*\|$", section, re.MULTILINE)
    listed = {engine: set(re.findall(r"`([^`]+)`", settings)) for engine, settings in rows if engine != "engine"}
    tested: dict[str, set[str]] = {}
    for engine, setting, _ in CASES:
        tested.setdefault(engine, set()).add(setting)
    assert {one: names for one, names in listed.items() if names} == tested


def test_areals_trainer_refuses_before_it_builds_an_engine(monkeypatch):
    class PPOTrainer:
        def _create_train_engine(self, actor_config, alloc):
            return "built"

    areal_processes._check_engines_of(PPOTrainer, BAND)
    fsdp, good = SimpleNamespace(backend="fsdp"), SimpleNamespace(eps_clip=0.2)
    assert PPOTrainer()._create_train_engine(good, fsdp) == "built"
    assert PPOTrainer()._create_train_engine(SimpleNamespace(), fsdp) == "built"  # no clip range: a reference model
    with pytest.raises(ValueError, match=r"actor.eps_clip=0.3 has no effect"):
        PPOTrainer()._create_train_engine(SimpleNamespace(eps_clip=0.3), fsdp)


def test_openrlhfs_launcher_refuses_before_it_imports_openrlhf(monkeypatch):
    monkeypatch.setattr(openrlhf, "check_release", lambda: None)
    arguments = ["-m", '{"method": "band-kl"}', "--actor.eps_clip_low_high", "0.2", "0.28"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(ValueError, match=r"eps_clip_low_high, high=0.28 has no effect with method='band-kl'"):
        openrlhf.main()


def test_the_cookbooks_main_refuses_before_it_makes_a_client(monkeypatch):
    train = types.ModuleType("tinker_cookbook.rl.train")

    async def step(training_client):
        return training_client

    async def main(config):
        return "trained"

    train.main = main
    for name in cookbook.STEPS:
        setattr(train, name, step)
    package = types.ModuleType("tinker_cookbook.rl")
    package.train = train
    monkeypatch.setitem(sys.modules, "tinker_cookbook", types.ModuleType("tinker_cookbook"))
    monkeypatch.setitem(sys.modules, "tinker_cookbook.rl", package)
    for _ in range(2):
        cookbook.use_in_cookbook(lambda data, logprobs: None)
    assert asyncio.run(train.main(SimpleNamespace(loss_fn="ppo", loss_fn_config=None))) == "trained"
    with pytest.raises(ValueError, match="loss_fn_config="):
        asyncio.run(train.main(SimpleNamespace(loss_fn_config={"clip_low_threshold": 0.8})))
