"""Files of prepared problems: TRL's columns and verl's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

FORMATS = ("trl", "verl")


def verl_row(row: dict[str, Any], index: int, split: str) -> dict[str, Any]:
    """Return a row as verl's `RLHFDataset` reads it; an answer that is a list of alternatives stays one.

    >>> from bandpo.data.writing import verl_row
    >>> row = {"prompt": [{"role": "user", "content": "1+1?"}], "answer": "2", "source": "aime24", "id": "aime24/60"}
    >>> verl_row(row, 0, "test")["reward_model"]
    {'style': 'rule', 'ground_truth': '2'}
    """
    return {
        "data_source": row["source"],
        "prompt": row["prompt"],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": row["answer"]},
        "extra_info": {"split": split, "index": index, "id": row["id"]},
    }


def write(rows: Dataset, folder: Path, name: str, formats: Sequence[str], split: str) -> list[Path]:
    """Write the rows as NAME.trl.parquet and NAME.verl.parquet, whichever is asked for, and return the files.

    TRL's has prompt (chat messages), answer, source and id; verl's data_source, prompt, ability, reward_model and
    extra_info.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind in formats:
        path = folder / f"{name}.{kind}.parquet"
        table = rows
        if kind == "verl":
            table = Dataset.from_list([verl_row(row, index, split) for index, row in enumerate(rows)])  # pyright: ignore
        partial = path.with_name(path.name + ".partial")
        table.to_parquet(str(partial))
        partial.replace(path)
        written.append(path)
    return written
