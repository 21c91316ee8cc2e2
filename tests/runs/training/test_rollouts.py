"""Numbers of a rollout, over processes."""

from types import SimpleNamespace

import pytest

from bandpo.runs.training.rollouts import check_prompts, prompts_needed, prompts_per_rollout


def sizes(batch=4, steps=2, generations=4, processes=1, **more):
    return SimpleNamespace(
        per_device_train_batch_size=batch,
        steps_per_generation=steps,
        num_generations=generations,
        world_size=processes,
        num_iterations=1,
        gradient_accumulation_steps=1,
        max_steps=-1,
        **more,
    )


@pytest.mark.parametrize(
    ("args", "prompts"),
    [
        (sizes(), 2),
        (sizes(batch=8), 4),
        (sizes(steps=1, generations=2), 2),
        (sizes(processes=3), 6),
        (sizes(batch=16, steps=32, generations=16, processes=8), 256),
        (sizes(batch=1, steps=8, generations=8), 1),
    ],
)
def test_prompts_of_a_rollout(args, prompts):
    assert prompts_per_rollout(args) == prompts
    for count in (prompts, prompts + 1, 10 * prompts):
        check_prompts(args, "a.jsonl", count)
    assert prompts_needed(args) == 150 * prompts


@pytest.mark.parametrize(("processes", "count", "needed"), [(1, 1, 2), (2, 3, 4), (8, 15, 16)])
def test_fewer_prompts_than_a_rollout_takes(processes, count, needed):
    with pytest.raises(ValueError, match=rf"dataset='a' has {count} rows? and one rollout takes {needed} prompts"):
        check_prompts(sizes(processes=processes), "a", count)
