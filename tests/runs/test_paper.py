"""The paper's runs: what all arms share, what each differs in, and that `bandpo train` takes the TRL ones."""

import itertools

import pytest

import bandpo
from bandpo.cli.options import parse_train
from bandpo.runs.paper import PaperRun, arms, command, data_names, gpu_hours, models, trl_options, verl_overrides

RUNS = list(itertools.product(models(), arms()))
ON_CPU = ["--use_cpu", "True", "--bf16", "False", "--use_vllm", "False"]


def overrides(*run, **settings):
    return dict(line.split("=", 1) for line in verl_overrides(PaperRun(*run, **settings)))


def test_the_papers_models_and_methods_are_all_there():
    assert len(models()) == 5
    assert {"grpo", "clip-higher", "band-kl", "band-tv", "band-chi2"} <= arms().keys()
    assert data_names() == (["dapo-math-17k", "math-3to5"], ["aime24", "aime25", "amc23"])


def test_every_arm_is_a_method_with_its_own_hyperparameters():
    for name, arm in arms().items():
        given = {**arm["method_kwargs"], **({"delta": arm["band_delta"]} if "band_delta" in arm else {})}
        bandpo.get_method(arm["method"]).validate(given)
        assert given["dual_clip"] == 10.0, name


@pytest.mark.parametrize("model", models())
def test_arms_differ_in_the_trust_region_alone(model):
    def shared(method):
        found = overrides(model, method)
        return {n: v for n, v in found.items() if "policy_loss" not in n and n != "trainer.experiment_name"}

    first = shared("grpo")
    assert all(shared(method) == first for method in arms())


def test_the_papers_numbers():
    found = overrides("qwen2.5-3b-instruct", "band-kl")
    actor = "actor_rollout_ref.actor."
    expected = {
        "data.train_batch_size": "256",
        "actor_rollout_ref.rollout.n": "16",
        actor + "ppo_mini_batch_size": "64",
        actor + "optim.lr": "1e-06",
        actor + "loss_agg_mode": "seq-mean-token-mean",
        "data.max_prompt_length": "1024",
        "data.max_response_length": "4096",
        "actor_rollout_ref.rollout.temperature": "1.0",
        "actor_rollout_ref.rollout.val_kwargs.n": "32",
        "trainer.test_freq": "5",
        "+actor_rollout_ref.actor.policy_loss.band_delta": "0.05",
        "+actor_rollout_ref.actor.policy_loss.method_kwargs.max_ratio": "10.0",
    }
    assert {name: found[name] for name in expected} == expected


def test_the_reward_rule_and_the_machines_are_chosen():
    found = overrides("qwen2.5-7b", "grpo", answer_line=True, gpus=4, machines=2, data="/d")
    assert found["+reward.custom_reward_function.reward_kwargs.rule"] == "answer-line"
    assert (found["trainer.n_gpus_per_node"], found["trainer.nnodes"]) == ("4", "2")
    assert found["data.val_files"] == "[/d/aime24.verl.parquet,/d/aime25.verl.parquet,/d/amc23.verl.parquet]"


@pytest.mark.parametrize(("model", "method"), RUNS)
def test_bandpo_train_takes_every_run(model, method, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run, args = parse_train([*trl_options(PaperRun(model, method)), *ON_CPU])
    assert (run.model, args.method) == (models()[model]["hub"], arms()[method]["method"])
    answers_an_update = args.per_device_train_batch_size * args.gradient_accumulation_steps * 8
    answers_a_rollout = args.per_device_train_batch_size * args.steps_per_generation * 8
    assert (answers_an_update, answers_a_rollout) == (64 * 16, 256 * 16)
    assert args.hyperparameters()["dual_clip"] == 10.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "gpt-5"}, "model='gpt-5': expected one of qwen2.5-3b-instruct"),
        ({"method": "ppo"}, "method='ppo': expected one of grpo"),
        ({"gpus": 3}, "gpus=3, machines=1: expected GPUs in all to divide the 1024 answers"),
        ({"gpus": 0}, "gpus=0"),
    ],
)
def test_wrong_runs_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PaperRun(**{"model": "qwen2.5-7b", "method": "grpo", **settings})


def test_one_machine_for_trl_and_no_other_engine():
    with pytest.raises(ValueError, match="machines=2: expected 1 with engine 'trl'"):
        command(PaperRun("qwen2.5-7b", "grpo", machines=2), "trl")
    with pytest.raises(ValueError, match="gpus=256: expected a divisor of 128"):
        command(PaperRun("qwen2.5-7b", "grpo", gpus=256), "trl")
    with pytest.raises(ValueError, match="engine='nemo': expected one of verl, trl"):
        command(PaperRun("qwen2.5-7b", "grpo"), "nemo")


def test_extra_options_come_last():
    assert command(PaperRun("qwen2.5-7b", "grpo"), "verl", ["trainer.total_epochs=1"])[-1] == "trainer.total_epochs=1"


def test_hours_grow_with_size_and_length():
    hours = [gpu_hours(name) for name in models()]
    assert hours[0] == pytest.approx(8 * 108.9 * 1020 / 3600)
    assert hours == sorted(hours)
