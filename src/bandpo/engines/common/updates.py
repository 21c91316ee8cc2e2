"""Whether any trust region can act under given training settings: the first question when nothing is ever clipped."""

from __future__ import annotations


def why_inactive(num_iterations: int, steps_per_generation: int, gradient_accumulation_steps: int) -> str | None:
    """Why no token can ever be clipped, in one sentence, or None when clipping is possible.

    A trust region bounds new/old. The old policy is the one that generated the batch, so the ratio leaves 1 only if
    the weights change between a generation and the last micro-batch computed from it.

    Args:
        num_iterations: passes over each generated batch (PPO epochs).
        steps_per_generation: micro-batches that one generated batch is split into.
        gradient_accumulation_steps: micro-batches per optimizer step.

    >>> why_inactive(num_iterations=1, steps_per_generation=8, gradient_accumulation_steps=8)
    'The trust region cannot act: every batch is used for one optimizer step only, ...'
    >>> why_inactive(num_iterations=1, steps_per_generation=8, gradient_accumulation_steps=4) is None
    True
    """
    if gradient_accumulation_steps % (num_iterations * steps_per_generation) != 0:
        return None
    return (
        "The trust region cannot act: every batch is used for one optimizer step only, so the ratio new/old is "
        "always 1 and every method trains like every other; set num_iterations above "
        f"{gradient_accumulation_steps // steps_per_generation} (now {num_iterations}) or steps_per_generation above "
        f"gradient_accumulation_steps (now {steps_per_generation} and {gradient_accumulation_steps})."
    )


def why_one_update(
    batch_size: int,
    mini_batch_size: int,
    epochs: int,
    names: tuple[str, str, str] = ("train_batch_size", "ppo_mini_batch_size", "ppo_epochs"),
) -> str | None:
    """The same for engines that cut a generated batch into mini-batches of one optimizer step each.

    Args:
        batch_size: samples generated before the weights are handed to the sampler again.
        mini_batch_size: samples of one optimizer step, in the same unit (prompts, or responses).
        epochs: passes over each generated batch.
        names: what the engine calls the three.

    >>> why_one_update(batch_size=1024, mini_batch_size=1024, epochs=1)
    'The trust region cannot act: every batch is used for one optimizer step only, ...'
    >>> why_one_update(batch_size=1024, mini_batch_size=256, epochs=1) is None
    True
    """
    if epochs > 1 or mini_batch_size < batch_size:
        return None
    batch, mini_batch, passes = names
    return (
        "The trust region cannot act: every batch is used for one optimizer step only, so the ratio new/old is "
        f"always 1 and every method trains like every other; set {mini_batch} below {batch} (now {mini_batch_size} "
        f"and {batch_size}) or {passes} above 1 (now {epochs})."
    )
