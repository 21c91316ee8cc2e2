"""Sizes of batches in every engine's options: whole numbers of at least 1, or an error that names the option."""

import pytest

from bandpo.engines.common.options import count
from bandpo.engines.doctor import diagnose

SIZES = [
    ("areal", "actor.ppo_n_minibatches"),
    ("openrlhf", "train.batch_size"),
    ("openrlhf", "rollout.batch_size"),
    ("openrlhf", "train.max_epochs"),
    ("skyrl", "trainer.policy_mini_batch_size"),
    ("skyrl", "trainer.update_epochs_per_batch"),
    ("slime", "global_batch_size"),
    ("slime", "num_steps_per_rollout"),
    ("tinker", "num_substeps"),
    ("roll", "ppo_epochs"),
]
BAD = [0, -1, 1.5, "0", "many", float("nan"), float("inf"), True]


@pytest.mark.parametrize("value", BAD, ids=repr)
@pytest.mark.parametrize(("engine", "name"), SIZES)
def test_a_size_that_is_none_is_named(engine, name, value):
    with pytest.raises(ValueError, match=rf"^{name}=.*expected a"):
        diagnose(engine, {name: value})


@pytest.mark.parametrize("value", BAD, ids=repr)
def test_nemo_rls_sizes(value):
    sizes = {"grpo.num_prompts_per_step": 8, "grpo.num_generations_per_prompt": 8}
    sizes["policy.train_global_batch_size"] = value
    with pytest.raises(ValueError, match=r"policy.train_global_batch_size=.*expected a"):
        diagnose("nemo_rl", {"loss_fn.bandpo.method": "band-kl", **sizes})


@pytest.mark.parametrize("name", ["num_iterations", "gradient_accumulation_steps", "steps_per_generation"])
@pytest.mark.parametrize("value", [0, -1, "0"])
def test_trls_sizes_are_a_failure(name, value):
    (failure,) = [one for one in diagnose("trl", {"num_iterations": 2, name: value}) if one.level == "fail"]
    assert f"{name}=" in failure.text and "expected at least 1" in failure.text


def test_trls_texts_for_numbers():
    with pytest.raises(ValueError, match=r"num_iterations='many': expected a number"):
        diagnose("trl", {"num_iterations": "many"})
    assert diagnose("trl", {"num_iterations": "2", "learning_rate": "1e-6"})[-1].level == "ok"


def test_trls_mappings_are_read_from_their_dotted_names():
    found = diagnose("trl", {"num_iterations": 2, "method_kwargs.max_ratoi": 10})
    assert any(one.level == "fail" and "max_ratoi" in one.text for one in found)
    found = diagnose("trl", {"num_iterations": 2, "method_kwargs.max_ratio": 10})
    assert any("max_ratio=10" in one.text for one in found)


def test_a_group_of_verls_with_a_value_is_a_failure():
    found = diagnose("verl", {"actor_rollout_ref": [1]})
    assert any(one.level == "fail" and "actor_rollout_ref=[1]" in one.text for one in found)


def test_numbers_that_are_right():
    assert count({"a": "8", "b": 3.0}, "a") == 8 and count({"b": 3.0}, "b") == 3
    assert count({}, "a") is None and count({"a": None}, "a", 5) == 5
