"""What an evaluation is asked for, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bandpo.evals.scores import default_ks

_MOST = 1_000_000
DTYPES = ("auto", "bfloat16", "float16", "float32")


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass
class EvalSettings:
    """Options of `bandpo eval`; each field's metadata says what it is.

    What is None is left to the task or the engine; `k` is then the powers of two up to n, and n.
    """

    model: str = _option("countdown", "Folder, Hub id or embedded task.")
    tasks: str = _option("countdown", "Tasks, math sets, files.")
    n: int = _option(8, "Samples per problem.")
    k: Sequence[int] | None = _option(None, "Of pass@k, maj@k: 1,8,32.")
    temperature: float = _option(1.0, "0 is greedy.")
    top_p: float = _option(1.0, "Nucleus to draw from.")
    max_tokens: int | None = _option(None, "Of an answer.")
    seed: int = _option(0, "Of samples, intervals.")
    batch_size: int | None = _option(None, "Drawn and saved at once.")
    limit: int | None = _option(None, "Problems of a task at most.")
    reward: str | None = _option(None, "Dotted reward function.")
    template: str | None = _option(None, "boxed, paper, none, a text.")
    plain: bool = _option(False, "Chats as text: base models.")
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict, metadata={"help": "JSON, to the template."})
    engine: str = _option("auto", "vllm, transformers.")
    engine_kwargs: dict[str, Any] = field(default_factory=dict, metadata={"help": "JSON, to the engine."})
    dtype: str = _option("auto", "Such as bfloat16.")
    revision: str | None = _option(None, "Of the model on the Hub.")

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
