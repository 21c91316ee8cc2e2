"""Which model exactly: what tells it from any other of its name."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from bandpo.data.reading import first_line
from bandpo.store.mark import MARK

_HASHED = ("*.safetensors", "*.bin", "*.json", "*.model", "*.jinja", "*.txt")
# What a trainer leaves beside a model.
_NOT_THE_MODEL = (
    "training_args.bin",
    "trainer_state.json",
    "manifest.json",
    "result.json",
    "environment.json",
    MARK,
)
_BLOCK = 1 << 24


def identify(source: str, revision: str | None) -> tuple[dict[str, Any], int | None]:
    """Return what identifies the model, and the tokens that the longest text it takes has.

    Returns:
        `sha256` over the files of a folder, or the `commit` on the Hub; and the model's positions, None where its
        configuration has no limit.

    Raises:
        ValueError: no configuration.
    """
    try:
        config: Any = AutoConfig.from_pretrained(source, revision=revision)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"model={source!r}: no configuration, {first_line(error)}") from error
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    path = Path(source)
    if path.is_dir():
        return {"sha256": hash_folder(path)}, positions
    return {"commit": getattr(config, "_commit_hash", None)}, positions


def hash_folder(folder: Path) -> str:
    """Return the SHA-256 over names and contents of a folder's weights, configurations and tokenizer."""
    total = hashlib.sha256()
    paths = {path for pattern in _HASHED for path in folder.glob(pattern) if path.name not in _NOT_THE_MODEL}
    for path in sorted(paths):
        own = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                own.update(block)
        total.update(f"{path.name} {own.hexdigest()}\n".encode())
    return total.hexdigest()
