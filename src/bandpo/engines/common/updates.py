"""Whether any trust region can act under given training settings: the first question when nothing is ever clipped.

A trust region bounds new/old. The old policy is the one that generated the batch, so the ratio leaves 1 only if the
weights change between a generation and the last micro-batch computed from it.
"""

from __future__ import annotations

from bandpo.engines.common.findings import Finding

_ONE_UPDATE = (
    "The trust region cannot act: every batch is used for one optimizer step only, so the ratio new/old is always 1 "
    "and every method trains like every other"
)


def acts(why: str) -> Finding:
    """Return the finding that the ratio can leave 1.

    >>> acts("4 updates a batch").text
    '4 updates a batch: the ratio leaves 1, the region acts'
    """
    return Finding("ok", f"{why}: the ratio leaves 1, the region acts")


def cannot_act(why: str, advice: str) -> Finding:
    """Return the finding that the ratio cannot leave 1."""
    return Finding("fail", f"{why}: the ratio is always 1, every method trains like every other", advice)


def why_inactive(num_iterations: int, steps_per_generation: int, gradient_accumulation_steps: int) -> str | None:
    """Return `inactivity` as one sentence."""
    finding = inactivity(num_iterations, steps_per_generation, gradient_accumulation_steps)
    return None if finding is None else str(finding)


def inactivity(num_iterations: int, steps_per_generation: int, gradient_accumulation_steps: int) -> Finding | None:
    """Return why no token can ever be clipped in TRL, None where clipping is possible.

    Args:
        num_iterations: passes over each generated batch (PPO epochs).
        steps_per_generation: micro-batches that one generated batch is split into.
        gradient_accumulation_steps: micro-batches per optimizer step.

    >>> print(inactivity(num_iterations=1, steps_per_generation=8, gradient_accumulation_steps=8))
    The trust region cannot act: every batch is used for one optimizer step only, ...
    >>> inactivity(num_iterations=1, steps_per_generation=8, gradient_accumulation_steps=4) is None
    True
    """
    if gradient_accumulation_steps % (num_iterations * steps_per_generation) != 0:
        return None
    return Finding(
        "fail",
        _ONE_UPDATE,
        f"set num_iterations above {gradient_accumulation_steps // steps_per_generation} (now {num_iterations}) or "
        f"steps_per_generation above gradient_accumulation_steps (now {steps_per_generation} and "
        f"{gradient_accumulation_steps}).",
    )


def why_one_update(
    batch_size: int,
    mini_batch_size: int,
    epochs: int,
    names: tuple[str, str, str] = ("train_batch_size", "ppo_mini_batch_size", "ppo_epochs"),
) -> Finding | None:
    """Return the same for engines that cut a generated batch into mini-batches of one optimizer step each.

    Args:
        batch_size: samples generated before the weights are handed to the sampler again.
        mini_batch_size: samples of one optimizer step, in the same unit (prompts, or responses).
        epochs: passes over each generated batch.
        names: what the engine calls the three.

    >>> print(why_one_update(batch_size=1024, mini_batch_size=1024, epochs=1))
    The trust region cannot act: every batch is used for one optimizer step only, ...
    >>> why_one_update(batch_size=1024, mini_batch_size=256, epochs=1) is None
    True
    """
    if epochs > 1 or mini_batch_size < batch_size:
        return None
    batch, mini_batch, passes = names
    return Finding(
        "fail",
        _ONE_UPDATE,
        f"set {mini_batch} below {batch} (now {mini_batch_size} and {batch_size}) or {passes} above 1 (now {epochs}).",
    )
