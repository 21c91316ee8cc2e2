"""What a generation engine is: prompts with seeds in, samples out."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

ENGINES = ("auto", "vllm", "transformers")


@dataclass(frozen=True)
class Request:
    """One sample to be drawn.

    Attributes:
        prompt: token ids.
        seed: of its own random numbers.
    """

    prompt: tuple[int, ...]
    seed: int


@dataclass(frozen=True)
class Sample:
    """One completion.

    Attributes:
        ids: its tokens, up to and including the one that ended it.
        text: without special tokens.
        truncated: whether it was cut off at max_tokens instead of ending.
        entropy_sum: sum over its tokens of the exact entropy in nats at the sampling temperature, over the whole
            vocabulary; None where the engine does not give it.
        surprisal_sum: sum of -log of the probability with which each token was drawn (temperature and top_p included):
            on average the entropy of what was drawn from. None where the engine does not give it.
    """

    ids: list[int]
    text: str
    truncated: bool
    entropy_sum: float | None = None
    surprisal_sum: float | None = None


@dataclass(frozen=True)
class Sampling:
    """The way to sample; temperature 0 is greedy."""

    temperature: float = 1.0
    top_p: float = 1.0


@dataclass(frozen=True)
class EngineOptions:
    """The options an engine is made from.

    Attributes:
        source: folder or Hub id of the model.
        revision: of the Hub, None for the newest.
        dtype: "bfloat16", "float16", "float32"; with vLLM also "auto", the model's own.
        longest: tokens of the longest prompt and its answer together.
        options: handed on to the engine.
    """

    source: str
    revision: str | None
    dtype: str
    longest: int
    options: dict[str, Any] = field(default_factory=dict)


class Engine(Protocol):
    """A loaded model that draws samples."""

    def generate(self, requests: Sequence[Request], sampling: Sampling, max_tokens: int) -> list[Sample]:
        """Draw one sample for each request, in their order."""
        ...


def engine_name(name: str) -> str:
    """Return the engine a name stands for here: "auto" is vLLM where it is installed and a GPU is present.

    Raises:
        ValueError: an unknown name, or vLLM where it is not installed.
    """
    if name not in ENGINES:
        raise ValueError(f"engine={name!r}: expected one of {', '.join(ENGINES)}")
    has_vllm = importlib.util.find_spec("vllm") is not None
    if name == "vllm" and not has_vllm:
        raise ValueError("engine='vllm': vllm is not installed here, expected `pip install vllm` or transformers")
    if name != "auto":
        return name
    import torch

    return "vllm" if has_vllm and torch.cuda.is_available() else "transformers"


def resolved_device() -> str:
    """Return "cuda" where there is one, else "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def resolved_dtype(engine: str, dtype: str) -> str:
    """Return the type "auto" stands for: bf16 on a GPU and fp32 on the CPU; vLLM's "auto" is the model's own.

    >>> resolved_dtype("vllm", "auto"), resolved_dtype("transformers", "float16")
    ('auto', 'float16')
    """
    if dtype != "auto" or engine == "vllm":
        return dtype
    return "bfloat16" if resolved_device() == "cuda" else "float32"


def default_batch_size(name: str) -> int:
    """Return how many samples are drawn and saved at once: vLLM schedules them, transformers pads one batch."""
    return 4096 if name == "vllm" else 64
