"""Every run of the paper, composed by hydra from verl's own files and checked by verl's own validation."""

import itertools

import pytest

pytest.importorskip("verl.trainer", reason="verl is not installed here: make test-engines")
pytest.importorskip("hydra")

from bandpo.runs.paper import PaperRun, arms, models, validate_verl

pytestmark = pytest.mark.exercises("real function")


@pytest.mark.parametrize(("model", "method"), list(itertools.product(models(), arms())))
def test_verl_takes_every_run_of_the_paper(model, method):
    from verl.utils.config import omega_conf_to_dataclass

    config = validate_verl(PaperRun(model, method))
    policy = omega_conf_to_dataclass(config.actor_rollout_ref.actor).policy_loss
    assert (policy.loss_mode, policy.method) == ("bandpo", arms()[method]["method"])
    assert config.data.train_batch_size * config.actor_rollout_ref.rollout.n == 4096
    assert config.reward.custom_reward_function.path == "pkg://bandpo.rewards"


def test_what_verl_refuses_is_refused():
    with pytest.raises(Exception, match="no_such_key"):
        validate_verl(PaperRun("qwen2.5-7b", "grpo"), ["trainer.no_such_key=1"])
    with pytest.raises(Exception, match="delta"):
        validate_verl(PaperRun("qwen2.5-7b", "band-kl"), ["actor_rollout_ref.actor.policy_loss.band_delta=-1"])


def test_verl_finds_the_reward_function():
    from verl.trainer.ppo.reward import get_custom_reward_fn

    score = get_custom_reward_fn(validate_verl(PaperRun("qwen2.5-7b", "grpo", answer_line=True)))
    found = score(data_source="math", solution_str="So\nAnswer: 34", ground_truth="34", extra_info={})
    assert found["score"] == 1.0
