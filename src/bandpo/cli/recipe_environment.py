"""What a recipe may set in the environment: the libraries' own switches, nothing that loads code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bandpo.cli.yaml_file import Word, plain

_PREFIXES = (
    *("BANDPO_", "HF_", "HUGGINGFACE_", "TRANSFORMERS_", "DATASETS_", "TRL_", "ACCELERATE_", "TOKENIZERS_"),
    *("VLLM_", "VERL_", "RAY_", "DS_", "DEEPSPEED_", "CUDA_", "NCCL_", "TORCH_NCCL_", "GLOO_", "CUBLAS_"),
    *("OMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "KMP_", "WANDB_", "MLFLOW_", "TENSORBOARD_", "TRACKIO_"),
)
_NAMES = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "TORCH_LOGS")
# Parts of names under which a library loads a file or a module that the value names.
_LOADING = ("PATH", "PLUGIN", "INJECTION", "EXTERNAL", "PRELOAD", "MODULE", "HOOK", "LIBRARIES")


def read_environment(raw: Any) -> dict[str, str]:
    """Return the variables that a recipe's `env` sets, each as the text that stands in the file.

    Raises:
        ValueError: no mapping, a value that is no single text, or a variable that a recipe may not set.

    >>> read_environment({"HF_HUB_OFFLINE": Word("1")})
    {'HF_HUB_OFFLINE': '1'}
    """
    if isinstance(raw, Word) and raw.is_null():
        return {}
    if not isinstance(raw, Mapping):
        raise ValueError(f"env={plain(raw)!r}, expected names and values")
    for name, value in raw.items():
        if not _may_set(name):
            raise ValueError(
                f"env: {name!r} is not for a recipe to set; expected a switch of BandPO or a library it runs on, such "
                "as BANDPO_GRADER_TIMEOUT, HF_HUB_OFFLINE or NCCL_DEBUG; set others in your shell"
            )
        if not isinstance(value, str) or (isinstance(value, Word) and value.is_null()):
            raise ValueError(f"env: {name}={plain(value)!r}, expected one text or number")
        if "\0" in value:
            raise ValueError(f"env: {name}={str(value)!r}, expected no NUL character")
    return {str(name): str(value) for name, value in raw.items()}


def _may_set(name: str) -> bool:
    is_known = name in _NAMES or name.startswith(_PREFIXES)
    return is_known and name.replace("_", "").isalnum() and not any(part in name for part in _LOADING)
