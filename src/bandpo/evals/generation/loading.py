"""From an engine's name to the engine, imported when it is asked for."""

from __future__ import annotations

from typing import Any

from bandpo.evals.generation.protocol import Engine, EngineOptions


def load_engine(name: str, tokenizer: Any, options: EngineOptions) -> Engine:
    """Return the engine of this name with the model loaded.

    Raises:
        ValueError: the model cannot be loaded or is too small for `longest`.
    """
    if name == "vllm":
        from bandpo.evals.generation.vllm_engine import VllmEngine

        return VllmEngine(tokenizer, options)
    from bandpo.evals.generation.transformers_engine import TransformersEngine

    return TransformersEngine(tokenizer, options)
