"""Which model exactly: its source and tokenizer, and what tells it from any other of its name."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer

from bandpo.store.sources import model_source

_HASHED = ("*.safetensors", "*.bin", "*.json", "*.model", "*.jinja", "*.txt")
# What a trainer leaves beside a model.
_NOT_THE_MODEL = (
    "training_args.bin",
    "trainer_state.json",
    "manifest.json",
    "result.json",
    "environment.json",
    "bandpo.json",
)
_BLOCK = 1 << 24


def load_tokenizer(model: str, revision: str | None) -> tuple[str, Any]:
    """Folder or Hub id of the model, and its tokenizer.

    Raises:
        ValueError: not found, or a revision of a local model.
    """
    if revision is None:
        return model_source(model)
    if Path(model).expanduser().is_dir():
        raise ValueError(f"revision={revision!r}: {model} is a folder, expected a Hub id")
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, revision=revision, padding_side="left")
    except (OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"model={model!r}, revision={revision!r}: not loaded, {reason}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def identify(source: str, revision: str | None) -> dict[str, Any]:
    """What identifies the model: the commit on the Hub, or a hash over the files of a folder.

    Returns:
        `commit` or `sha256`, and `positions`, the longest text it takes (None where its configuration has no limit).

    Raises:
        ValueError: no configuration.
    """
    try:
        config: Any = AutoConfig.from_pretrained(source, revision=revision)
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"model={source!r}: no configuration, {reason}") from error
    text = config.get_text_config()
    positions = getattr(text, "max_position_embeddings", None)
    path = Path(source)
    if path.is_dir():
        return {"sha256": hash_folder(path), "positions": positions}
    return {"commit": getattr(config, "_commit_hash", None), "positions": positions}


def hash_folder(folder: Path) -> str:
    """SHA-256 over names and contents of a folder's weights, configurations and tokenizer."""
    total = hashlib.sha256()
    paths = {path for pattern in _HASHED for path in folder.glob(pattern) if path.name not in _NOT_THE_MODEL}
    for path in sorted(paths):
        own = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                own.update(block)
        total.update(f"{path.name} {own.hexdigest()}\n".encode())
    return total.hexdigest()
