"""What an evaluation is asked for, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bandpo.evals.scores import default_ks

_MOST = 1_000_000
DTYPES = ("auto", "bfloat16", "float16", "float32")


@dataclass
class EvalSettings:
    """Options of `bandpo eval`.

    Attributes:
        model: embedded task's policy, folder or Hub id.
        tasks: names and files with commas between.
        n: samples per problem.
        k: the k of pass@k and maj@k; powers of two up to n, and n, if None.
        temperature, top_p: of sampling; temperature 0 is greedy.
        max_tokens: of an answer; the task's own if None.
        seed: of sampling and of the intervals.
        batch_size: samples drawn and saved at once; the engine's own if None.
        engine, dtype, engine_kwargs: how the model is run.
        revision: of the model on the Hub.
        reward, template, limit: see `load_tasks`.
        plain: chat prompts as plain text, for base models without a template.
        chat_template_kwargs: options of the chat template.
    """

    model: str = "countdown"
    tasks: str = "countdown"
    n: int = 8
    k: Sequence[int] | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int | None = None
    seed: int = 0
    batch_size: int | None = None
    engine: str = "auto"
    dtype: str = "auto"
    engine_kwargs: dict[str, Any] = field(default_factory=dict)
    revision: str | None = None
    reward: str | None = None
    template: str | None = None
    limit: int | None = None
    plain: bool = False
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        for name in ("n", "max_tokens", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}: expected at least 1")
            if value is not None and value > _MOST:
                raise ValueError(f"{name}={value}: expected {_MOST:,} at most")
        if self.seed < 0:
            raise ValueError(f"seed={self.seed}: expected at least 0")
        if self.seed >= 2**32:
            raise ValueError(f"seed={self.seed}: expected less than {2**32:,}")
        # vLLM raises what is between to 0.01 by itself.
        if not (self.temperature == 0 or 0.01 <= self.temperature < float("inf")):
            raise ValueError(f"temperature={self.temperature}: expected 0 (greedy) or at least 0.01")
        if self.temperature == 0 and self.n > 1:
            raise ValueError(f"temperature=0 with n={self.n}: greedy samples are all alike, expected n=1")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p={self.top_p}: expected above 0, at most 1")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype={self.dtype!r}: expected one of {', '.join(DTYPES)}")
        self.k = default_ks(self.n) if self.k is None else sorted(set(self.k))
        for k in self.k:
            if not 1 <= k <= self.n:
                raise ValueError(f"k={k}: expected 1 <= k <= {self.n}, the samples per problem")
