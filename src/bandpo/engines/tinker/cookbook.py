"""tinker_cookbook's training steps with another loss: they know tinker's own losses by name, and no others."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

Loss = Callable[[list[Any], list[Tensor]], tuple[Tensor, dict[str, float]]]
STEPS = ("train_step", "do_train_step_streaming_and_get_sampling_client")


class BandTrainingClient:
    """A tinker `TrainingClient` whose `forward_backward` computes this loss, whichever it is asked for.

    Args:
        client: tinker's.
        loss: from `band_loss`.
    """

    def __init__(self, client: Any, loss: Loss):
        self._client, self._loss = client, loss

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def forward_backward(self, data: list[Any], loss_fn: Any = None, loss_fn_config: Any = None) -> Any:
        return self._client.forward_backward_custom(data, self._loss)


def use_in_cookbook(loss: Loss) -> None:
    """Let `tinker_cookbook.rl.train` train with this loss in place of its `loss_fn`, in this process.

    Its `main` then refuses a configuration with a `loss_fn_config`, which only tinker's own losses read.

    Raises:
        RuntimeError: the cookbook's training steps are not where they were in the releases this was written for.
    """
    from tinker_cookbook.rl import train  # pyright: ignore[reportMissingImports]

    for name in STEPS:
        step = getattr(train, name, None)
        step = getattr(step, "without_band", step)
        if step is None or "training_client" not in inspect.signature(step).parameters:
            raise RuntimeError(f"tinker_cookbook.rl.train has no {name} with a training_client")
        setattr(train, name, _with_client(step, loss))
    if hasattr(train, "main") and not hasattr(train.main, "without_band"):
        train.main = _with_check(train.main)


def check_config(config: Any) -> None:
    """Raise ValueError at settings of the cookbook's `Config` that this loss would leave without effect.

    >>> from types import SimpleNamespace
    >>> check_config(SimpleNamespace(loss_fn="ppo", loss_fn_config={"clip_high_threshold": 1.28}))
    Traceback (most recent call last):
    ValueError: loss_fn_config={'clip_high_threshold': 1.28} is of tinker's own losses: expected None with band_loss
    """
    if settings := getattr(config, "loss_fn_config", None):
        raise ValueError(f"loss_fn_config={settings!r} is of tinker's own losses: expected None with band_loss")


def _with_check(main: Any) -> Any:
    """Return the cookbook's `main`, which checks its configuration before it makes a client."""

    @functools.wraps(main)
    async def checked(config: Any, *args: Any, **kwargs: Any) -> Any:
        check_config(config)
        return await main(config, *args, **kwargs)

    checked.without_band = main  # pyright: ignore[reportAttributeAccessIssue]
    return checked


def _with_client(step: Any, loss: Loss) -> Any:
    """Return a training step of the cookbook with its client wrapped."""

    async def with_band(*args: Any, **kwargs: Any) -> Any:
        call = inspect.signature(step).bind(*args, **kwargs)
        call.arguments["training_client"] = BandTrainingClient(call.arguments["training_client"], loss)
        return await step(*call.args, **call.kwargs)

    with_band.without_band = step  # pyright: ignore[reportFunctionMemberAccess]
    return with_band
