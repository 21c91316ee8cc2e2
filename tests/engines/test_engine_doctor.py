"""Findings: of versions, of verl's and TRL's options, and of engines that plug in."""

import importlib.metadata
import subprocess
import sys
import types

import pytest

from bandpo.engines import doctor
from bandpo.engines.common.findings import Finding
from bandpo.engines.common.options import number, prefixed
from bandpo.engines.common.releases import installed, release
from bandpo.engines.common.updates import why_one_update
from bandpo.engines.doctor import diagnose, engines
from bandpo.engines.verl import check as verl

ACTOR = "actor_rollout_ref.actor"
POLICY = f"{ACTOR}.policy_loss"
LINES = {f"{POLICY}._target_": verl.TARGET, f"{POLICY}.loss_mode": "bandpo", f"{POLICY}.method": "band-kl"}
BYPASS = {
    "algorithm.rollout_correction.bypass_mode": True,
    f"{POLICY}.rollout_correction": "${algorithm.rollout_correction}",
}


@pytest.fixture(autouse=True)
def _verl_is_installed(monkeypatch):
    """verl as the checks see it; they import nothing else of it."""
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.9.1" if name == "verl" else version(name))
    monkeypatch.setitem(sys.modules, "bandpo.engines.verl.adapter", types.ModuleType("bandpo.engines.verl.adapter"))
    for name in ("VERL_USE_EXTERNAL_MODULES", "VERL_USE_EXTERNAL_PLUGINS"):
        monkeypatch.delenv(name, raising=False)


def found(engine, *options):
    merged = {name: value for one in options for name, value in one.items()}
    return diagnose(engine, merged)


def levels(findings, level):
    return [finding.text for finding in findings if finding.level == level]


def failure(*options):
    """The one failure of these verl options."""
    (finding,) = [one for one in found("verl", *options) if one.level == "fail"]
    return finding


def test_the_documented_lines_are_well():
    findings = found("verl", LINES, {f"{POLICY}.method_kwargs.dual_clip": None})
    assert levels(findings, "fail") == levels(findings, "warn") == []
    assert "used for 4 updates" in findings[-1].text
    assert any("recomputes at temperature 1" in finding.text for finding in findings)


def test_a_stock_loss_mode_is_a_failure_with_the_lines_to_add():
    finding = failure({f"{ACTOR}.ppo_epochs": 2})
    assert "loss_mode='vanilla'" in finding.text and verl.TARGET in finding.advice


@pytest.mark.parametrize(
    ("batch", "mini", "epochs", "acts"),
    [(1024, 256, 1, True), (256, 256, 1, False), (256, 256, 2, True), ("128", "256", "1", False)],
)
def test_one_update_per_batch_is_a_failure(batch, mini, epochs, acts):
    options = {"data.train_batch_size": batch, f"{ACTOR}.ppo_mini_batch_size": mini, f"{ACTOR}.ppo_epochs": epochs}
    failures = levels(found("verl", LINES, options), "fail")
    assert failures == [] if acts else "every batch is used for one optimizer step only" in failures[0]
    assert (why_one_update(int(batch), int(mini), int(epochs)) is None) == acts


def test_the_dual_clip_that_does_not_act_is_a_warning_every_time():
    for _ in range(2):
        (text,) = levels(found("verl", LINES), "warn")
        assert "clip_ratio_c=3.0, does not act" in text


@pytest.mark.parametrize("value", [2.0, 5, "9.99"])
def test_a_contradicting_clip_setting_is_a_failure(value):
    assert f"clip_ratio_c={float(value):g}" in failure(LINES, {f"{ACTOR}.clip_ratio_c": value}).text
    assert levels(found("verl", LINES, {f"{POLICY}.method": "grpo", f"{ACTOR}.clip_ratio_c": value}), "fail") == []


@pytest.mark.parametrize("value", [10, 1000, "1e9"])
def test_a_dual_clip_that_cannot_act_is_said_to_be_off(value):
    findings = found("verl", LINES, {f"{ACTOR}.clip_ratio_c": value})
    assert levels(findings, "fail") == levels(findings, "warn") == []
    assert any("counts as off" in finding.text for finding in findings)


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        (f"{POLICY}.band_detla", f"{POLICY}.band_delta"),
        (f"{POLICY}.methd", f"{POLICY}.method"),
        (f"{POLICY}.los_mode", f"{POLICY}.loss_mode"),
        (f"{POLICY}.delta", f"{POLICY}.band_delta"),
        (f"{ACTOR}.ppo_mini_batchsize", f"{ACTOR}.ppo_mini_batch_size"),
        (f"{ACTOR}.clip_ratio_hgih", f"{ACTOR}.clip_ratio_high"),
        ("actor.ppo_epoch", f"{ACTOR}.ppo_epochs"),
        ("data.train_batchsize", "data.train_batch_size"),
        ("algorithm.rollout_correction.bypass_mod", "algorithm.rollout_correction.bypass_mode"),
    ],
)
def test_a_misspelt_name_is_a_failure_where_verl_is_not_there_too(option, hint):
    finding = failure(LINES, {option: 4})
    assert finding.text.startswith(f"{option}=4: no option of") and finding.advice == f"did you mean {hint}?"


def test_a_name_of_the_loss_that_is_like_no_other_is_a_failure_and_one_of_verls_is_not_checked():
    assert "x=1: no option of BandPolicyLossConfig" in failure(LINES, {f"{POLICY}.x": 1}).text
    findings = found("verl", LINES, {"trainer.nnodes": 1, "critic.ppo_epochs": 2, f"{ACTOR}.optim.lr": 1e-6})
    assert levels(findings, "fail") == []
    (line,) = [finding.text for finding in findings if "not checked here" in finding.text]
    assert line == f"not checked here: trainer.nnodes, critic.ppo_epochs, {ACTOR}.optim.lr"


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("tau_pos", 2.0, "use method_kwargs.tau_pos with method='sapo'"),
        ("clip_ratio", 0.3, "it has no effect here"),
        ("policy_loss.clip_cov_ratio", 0.01, "use method_kwargs.fraction with method='clip-cov'"),
        ("policy_loss.dro_beta", 0.1, "it has no effect here"),
    ],
)
def test_what_only_another_loss_reads_is_a_failure(setting, value, words):
    assert words in failure(LINES, {f"{ACTOR}.{setting}": value}).text
    assert levels(found("verl", LINES, {f"{ACTOR}.{setting}": verl.OF_OTHER_LOSSES[setting][0]}), "fail") == []


@pytest.mark.parametrize(
    "options",
    [
        {f"{ACTOR}.strategy": "megatron"},
        {f"{ACTOR}.strategy": "veomni"},
        {"model_engine": "megatron"},
        {"config_name": "ppo_megatron_trainer"},
    ],
)
def test_a_backend_that_has_not_run_is_a_warning(options):
    assert any("has not run there" in text for text in levels(found("verl", LINES, options), "warn"))
    assert not any(
        "has not run" in text for text in levels(found("verl", LINES, {f"{ACTOR}.strategy": "fsdp2"}), "warn")
    )


def test_options_without_the_target_line_are_a_failure():
    lines = {name: value for name, value in LINES.items() if "_target_" not in name}
    assert "not an option of verl's own PolicyLossConfig" in failure(lines).text


@pytest.mark.parametrize(
    ("environment", "version", "options", "acts"),
    [
        ({}, "0.9.1", {}, True),
        ({"VERL_USE_EXTERNAL_PLUGINS": "other,bandpo"}, "0.9.1", {}, True),
        ({"VERL_USE_EXTERNAL_PLUGINS": "none"}, "0.9.1", {}, False),
        ({}, "0.8.0", {}, False),
        ({"VERL_USE_EXTERNAL_MODULES": "mine,bandpo.engines.verl"}, "0.8.0", {}, True),
        ({}, "0.8.0", {"actor_rollout_ref.model.external_lib": "bandpo.engines.verl"}, True),
    ],
)
def test_ways_into_the_workers(monkeypatch, environment, version, options, acts):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    failures = levels(found("verl", {f"{POLICY}.loss_mode": "bandpo"}, options), "fail")
    assert failures == [] if acts else "nothing makes the workers import the loss" in failures[0]


def test_a_rollout_anchored_method_needs_bypass_mode_and_the_line_that_tells_the_loss():
    dppo = {f"{POLICY}.method": "dppo-tv"}
    assert "bypass_mode=True" in failure(LINES, dppo).text
    assert "bypass_mode=True" in failure(LINES, dppo, {"algorithm.rollout_correction.bypass_mode": True}).text
    findings = found("verl", LINES, dppo, BYPASS)
    assert levels(findings, "fail") == []
    assert any("old_log_probs are the sampler's" in finding.text for finding in findings)


def test_bypass_mode_told_to_the_loss_but_not_to_verl_is_a_failure():
    told = {f"{POLICY}.rollout_correction.bypass_mode": True, f"{POLICY}.method": "dppo-tv"}
    assert "old_log_probs are recomputed" in failure(LINES, told).text


def test_what_bypass_mode_changes_is_said():
    warned = levels(found("verl", LINES, {f"{POLICY}.method_kwargs.dual_clip": None}, BYPASS), "warn")
    assert any("bypass mode puts the sampler's in their place" in text for text in warned)
    no_log_probs = {"actor_rollout_ref.rollout.calculate_log_probs": False}
    assert "without the sampler's log-probs" in failure(LINES, BYPASS, no_log_probs).text
    rejection = {
        "algorithm.rollout_correction.bypass_mode": True,
        "algorithm.rollout_correction.rollout_rs": "token_k1",
    }
    assert "rollout_rs='token_k1'" in failure(LINES, rejection).text


def test_one_update_is_a_warning_where_the_anchor_is_the_sampler():
    one = {"data.train_batch_size": 8, f"{ACTOR}.ppo_mini_batch_size": 8, f"{POLICY}.method": "dppo-tv"}
    findings = found("verl", LINES, BYPASS, one)
    assert levels(findings, "fail") == [] and findings[-1].level == "warn"


def test_cut_sampling_and_another_mean_are_warnings():
    cut = {"actor_rollout_ref.rollout.top_p": 0.9, f"{POLICY}.method": "gspo"}
    warned = levels(found("verl", LINES, cut), "warn")
    assert any("top_p=0.9" in text for text in warned) and any("mean over each response" in text for text in warned)
    same = {"actor_rollout_ref.rollout.top_p": 1.0, f"{ACTOR}.loss_agg_mode": "seq-mean-token-mean"}
    assert levels(found("verl", LINES, {f"{POLICY}.method": "gspo"}, same), "warn") == []


def test_a_broken_adapter_is_a_failure(monkeypatch):
    monkeypatch.setitem(sys.modules, "bandpo.engines.verl.adapter", None)
    assert "the loss is not registered" in failure(LINES).text


def test_trl():
    assert levels(found("trl", {"num_iterations": 2}), "fail") == []
    assert "every batch is used for one optimizer step" in levels(found("trl", {}), "fail")[0]
    assert "'sequence'" in levels(found("trl", {"importance_sampling_level": "sequence"}), "fail")[0]
    warned = levels(found("trl", {"num_iterations": 2, "top_p": 0.9, "dataset": "x"}), "warn")
    assert len(warned) == 2 and "dataset" in warned[0] and "top_p=0.9" in warned[1]


@pytest.mark.parametrize(
    ("option", "meant"),
    [("num_iteration", "num_iterations"), ("band_detla", "band_delta"), ("methd", "method"), ("los_type", "loss_type")],
)
def test_a_misspelt_option_of_trls_is_a_failure(option, meant):
    findings = [one for one in found("trl", {"num_iterations": 2}, {option: 1}) if one.level == "fail"]
    assert [finding.advice for finding in findings] == [f"did you mean {meant}?"]


def test_options_of_a_script_are_no_mistakes():
    of_scripts = {"attn_implementation": "eager", "model_name_or_path": "m", "dataset_name": "d", "dtype": "float32"}
    findings = found("trl", {"num_iterations": 2}, of_scripts)
    assert levels(findings, "fail") == [] and "not looked at" in levels(findings, "warn")[0]


def test_what_trls_configuration_warns_of_is_said():
    texts = levels(found("trl", {"num_iterations": 2, "delta": 4.0, "repetition_penalty": 1.1}), "warn")
    assert len(texts) == 2 and "delta=4.0 also caps" in texts[0] and "repetition_penalty=1.1" in texts[1]
    assert "did you mean band_delta?" in levels(found("trl", {"delta": 0.05}), "fail")[0]


SDPO = {"trainer": "sdpo", "distillation_weight": 0.5, "num_iterations": 2}
ASYNC = {"trainer": "async-grpo"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (SDPO, ["BandSDPOTrainer applies method='band-kl'", "recomputes under the old policy", "more than one update"]),
        ({**SDPO, "trainer": "BandSDPOTrainer", "method": "sapo"}, ["BandSDPOTrainer applies method='sapo'"]),
        (
            ASYNC,
            [
                "BandAsyncGRPOTrainer applies method='band-kl'",
                "the server's own tokens",
                "max_staleness=4 lets answers be older",
            ],
        ),
        ({**ASYNC, "max_staleness": 1, "band_delta": 0.01}, ["with delta=0.01", "max_staleness=1 lets answers"]),
        ({"trainer": "grpo", "num_iterations": 2}, ["BandGRPOTrainer applies method='band-kl'"]),
    ],
)
def test_trls_other_trainers(options, words):
    _needs_other_trainers()
    findings = found("trl", options)
    assert levels(findings, "fail") == levels(findings, "warn") == []
    texts = " ".join(finding.text for finding in findings)
    assert [word for word in words if word not in texts] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"trainer": "rloo"}, "trainer='rloo': expected one of grpo, async-grpo, sdpo"),
        ({"trainer": "sdpo"}, "BandSDPOConfig refuses these options: distillation_weight=1.0"),
        ({**SDPO, "num_iterations": 1}, "every batch is used for one optimizer step"),
        ({**SDPO, "beta": 0.1}, "adds no KL to the reference"),
        ({**SDPO, "method": "quatro"}, "which TRL's SDPOTrainer does not hand to a loss"),
        ({**SDPO, "distilation_weight": 0.5}, "distilation_weight=0.5: no option of BandSDPOConfig"),
        ({**ASYNC, "epsilon": 0.3}, "BandAsyncGRPOConfig refuses these options: epsilon=0.3 has no effect"),
        ({**ASYNC, "method": "dppo-topk-tv"}, "needs topk_logp"),
        ({**ASYNC, "use_liger_kernel": True}, "use_liger_kernel=True: TRL's AsyncGRPOTrainer does not take it"),
        ({**ASYNC, "max_stalenes": 2}, "max_stalenes=2: no option of BandAsyncGRPOConfig"),
    ],
)
def test_what_trls_other_trainers_cannot_do_is_a_failure(options, words):
    _needs_other_trainers()
    assert words in levels(found("trl", options), "fail")[0]


def _needs_other_trainers():
    for name in ("async_grpo", "sdpo"):
        pytest.importorskip(f"trl.experimental.{name}", reason="TRL before 1.16 has not got this trainer")


def test_what_moves_the_ratio_and_what_does_not_is_said_of_the_asynchronous_trainer():
    _needs_other_trainers()
    warned = levels(found("trl", {**ASYNC, "max_staleness": 0, "top_p": 0.9}), "warn")
    assert len(warned) == 2 and "top_p=0.9" in warned[0] and "only the mismatch of vLLM and the trainer" in warned[1]


def test_options_of_another_trainer_are_said_to_be():
    _needs_other_trainers()
    advice = {finding.text: finding.advice for finding in found("trl", {"num_iterations": 2, "max_staleness": 2})}
    assert advice["not options of BandGRPOConfig, and not looked at: max_staleness"].startswith("trainer=async-grpo")
    advice = {finding.text: finding.advice for finding in found("trl", {"num_iterations": 2, "dtype": "float32"})}
    assert advice["not options of BandGRPOConfig, and not looked at: dtype"] == ""


def test_every_engine_has_a_check_that_answers_for_no_options():
    for name in engines():
        findings = doctor.find_check(name)({})
        assert findings and all(isinstance(finding, Finding) for finding in findings)


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="no engine 'vrel': expected one of"):
        diagnose("vrel", {})


def test_versions(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.10.0.dev1")
    assert release("0.10.0.dev1") == (0, 10, 0) and release("main") == ()
    assert installed("verl", "0.7").level == "ok"
    assert installed("verl", "0.11").level == "fail"
    assert installed("verl", "0.7", tested=("0.9.1",)).level == "warn"
    assert installed("verl", "0.7", below="0.10").level == "fail"


def test_numbers_and_prefixes():
    assert number({"a": "1e-6"}, "a") == 1e-6 and number({"a": None}, "a", 3) == 3
    for value in ("many", True, [1]):
        with pytest.raises(ValueError, match=r"a=.*expected a number"):
            number({"a": value}, "a")
    assert prefixed({"a.b": 1, "ab.c": 2}, "a") == {"b": 1}


def test_a_level_that_is_none():
    with pytest.raises(ValueError, match="level='bad'"):
        Finding("bad", "text")


def test_every_check_answers_where_no_engine_is_installed():
    """Importing a check imports its engine's package first, which must do without the engine."""
    names = {"trl", "verl", "skyrl", "slime", "miles", "prime_rl", "nemo_rl", "roll", "openrlhf", "areal", "tinker"}
    names |= {"trinity_rft", "axolotl"}
    packages = [*names, "trinity", "ray"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({packages!r}))\n"
        "from bandpo.engines.doctor import engines, find_check\n"
        "print(*engines())\n"
        "assert all(find_check(name) for name in engines())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == sorted(names)
