"""What our trainer adds to a micro-batch of TRL's on a GPU, without one: launches and transfers beside stock TRL's.

    python -m benchmarks.trl_launches

`compute_loss` and the backward pass of TRL's `GRPOTrainer` and of ours run on a tiny model on a CPU, on one batch, with
stubs for our kernels; what torch would launch is counted as in `benchmarks.host_cost`. The model's part is the same in
both. Writes benchmarks/results/trl_launches.json and the table of docs/gpu.md.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
import trl
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from trl import GRPOConfig, GRPOTrainer  # pyright: ignore[reportPrivateImportUsage]

from bandpo.engines.trl import BandGRPOConfig, BandGRPOTrainer
from bandpo.kernels import band_triton
from benchmarks.host_cost import Operators, Stub, stubbed
from benchmarks.marks import put

ROOT = Path(__file__).parents[1]
RESULT, PAGE = ROOT / "benchmarks" / "results" / "trl_launches.json", ROOT / "docs" / "gpu.md"
START = "<!-- table: python -m benchmarks.trl_launches -->\n"
ROWS, LENGTH, VOCABULARY = 4, 8, 20
STOCK = "stock GRPO (TRL)"
ARMS: dict[str, dict[str, Any]] = {
    STOCK: {},
    "band-kl, no `band/*` metrics": {"method": "band-kl", "band_metrics": False},
    "band-kl": {"method": "band-kl"},
    "band-kl, first use of a batch": {"method": "band-kl"},
    "band-mirror": {"method": "band-mirror"},
    "dcpo, dual clip": {"method": "dcpo"},
    "band-js, searched for": {"method": "band-js"},
    "maspo, by advantages": {"method": "maspo"},
}


class Launches(NamedTuple):
    """Of one micro-batch, forward and backward: kernels, and values that are read back."""

    launches: int
    transfers: int


def batch() -> dict[str, Any]:
    """Return what TRL hands to its loss: tokens of every kind, some masked."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.ones(ROWS, LENGTH, dtype=torch.long)
    mask[1, 3:] = 0
    return {
        "prompt_ids": torch.randint(VOCABULARY, (ROWS, 4), generator=generator),
        "prompt_mask": torch.ones(ROWS, 4, dtype=torch.long),
        "completion_ids": torch.randint(VOCABULARY, (ROWS, LENGTH), generator=generator),
        "completion_mask": mask,
        "old_per_token_logps": -3.0 + 0.2 * torch.randn(ROWS, LENGTH, generator=generator),
        "advantages": torch.randn(ROWS, generator=generator),
        "num_items_in_batch": mask.sum(),
    }


def trainer(settings: dict[str, Any], folder: str) -> Any:
    """Return a trainer of TRL's, or of ours where there are settings, of a model of two layers."""
    tokens = Tokenizer(models.WordLevel({"<pad>": 0, "a": 1}, unk_token="<pad>"))
    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2}
    heads: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 2}
    kind, configuration = (BandGRPOTrainer, BandGRPOConfig) if settings else (GRPOTrainer, GRPOConfig)
    common = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": "none"}
    counts = {"per_device_train_batch_size": ROWS, "num_generations": ROWS, "num_iterations": 2}
    made: Any = kind(
        Qwen2ForCausalLM(Qwen2Config(vocab_size=VOCABULARY, **sizes, **heads)),
        lambda completions, **_: [0.0] * len(completions),
        configuration(folder, **common, **counts, **settings),  # pyright: ignore[reportArgumentType, reportCallIssue]
        train_dataset=Dataset.from_dict({"prompt": ["a"] * ROWS}),
        processing_class=PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token="<pad>", eos_token="<pad>"),
    )
    made.model.train()
    made.current_gradient_accumulation_steps = 1
    return made


@contextlib.contextmanager
def kernels(is_first_use: bool) -> Iterator[Stub]:
    """Have losses and intervals take the kernels' path; whether a batch is used first is known without a look.

    The interval's kernel is an operator of torch's, which is counted as one launch: its stub is not counted again.
    """
    with (
        stubbed() as stub,
        mock.patch.object(band_triton, "_band", Stub()),
        mock.patch("bandpo.engines.trl.watch._is_first_use", lambda *_: is_first_use),
    ):
        yield stub


def measured(arm: str) -> Launches:
    """Return what a micro-batch costs in a run that is past its first."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), kernels("first use" in arm) as stub:
        warnings.simplefilter("ignore")
        made = trainer(ARMS[arm], folder)

        def step() -> None:
            made.compute_loss(made.model, batch()).backward()

        if ARMS[arm]:
            # Tokens of first uses are copied until there are enough, in the first steps of a run.
            made._watch._first_use._is_done = True
        step()
        before = stub.launches
        with Operators() as operators:
            step()
    return Launches(stub.launches - before + operators.launches, operators.transfers)


def rows() -> dict[str, dict[str, int]]:
    """Return launches and transfers of every arm, and what is more than stock TRL's."""
    found = {arm: measured(arm) for arm in ARMS}
    stock = found[STOCK]
    return {
        arm: {
            **one._asdict(),
            "more launches": one.launches - stock.launches,
            "more transfers": one.transfers - stock.transfers,
        }
        for arm, one in found.items()
    }


def table(found: dict[str, dict[str, int]]) -> str:
    """Return the rows as Markdown."""
    lines = ["| | launches | beside stock TRL | transfers | beside stock TRL |", "|---|---|---|---|---|"]
    for arm, row in found.items():
        cells = row["launches"], f"{row['more launches']:+d}", row["transfers"], f"{row['more transfers']:+d}"
        lines.append(f"| {arm} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    torch.set_num_threads(1)
    found = rows()
    facts = {"date": datetime.date.today().isoformat(), "torch": torch.__version__, "trl": trl.__version__}
    RESULT.write_text(json.dumps({**facts, "rows": found}, indent=2) + "\n", encoding="utf-8")
    put(PAGE, START, table(found))
    print(table(found), end="")


if __name__ == "__main__":
    main()
