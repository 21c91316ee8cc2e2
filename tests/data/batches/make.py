"""Write the sample files of this folder after the schemas of the engines: `python -m tests.data.batches.make`."""

import gzip
import io
import json
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import torch
import zstandard
from safetensors.torch import save_file

from bandpo.microscope.batch import from_rows
from bandpo.microscope.file import as_bytes
from tests.data.batches.truth import SEQUENCES, STEP, Sequence

HERE = Path(__file__).parent
PADDING = 2


def main() -> None:
    """Write all files anew."""
    for write in (prime_rl_export, prime_rl_traces, nemo_rl, slime, miles, roll, open_instruct, tables, tensors, texts):
        write()


def place(name: str) -> Path:
    """Return a path in this folder, with the folders above it made."""
    path = HERE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def lines(records: Iterable[Any]) -> bytes:
    """Return records as JSON lines."""
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def over_all(sequence: Sequence, values: list[Any], before: Any = 0.0) -> list[Any]:
    """Return values of the response laid over prompt and response."""
    return [before] * len(sequence.prompt) + values


def prime_rl_export() -> None:
    """Write two ranks of one step, as they were exported until August 2026."""
    for rank in range(2):
        records = [
            {
                "schema_version": 1,
                "step": STEP,
                "rank": rank,
                "micro_step": 0,
                "micro_sequence_idx": number,
                "export_sequence_idx": number,
                "env_name": "sums",
                "token_ids": each.prompt + each.tokens,
                "position_ids": list(range(len(each.prompt + each.tokens))),
                "loss_mask": over_all(each, [bool(counts) for counts in each.mask], False),
                "advantages": over_all(each, each.advantages),
                "inference_logprobs": over_all(each, each.logp_rollout),
                "trainer_logprobs": over_all(each, each.logp, None),
                "entropy": over_all(each, each.entropy),
                "is_masked": None,
            }
            for number, each in enumerate(SEQUENCES[2 * rank : 2 * rank + 2])
        ]
        place(f"prime_rl_export/token_exports/step_{STEP}/rank_{rank}.jsonl").write_bytes(lines(records))
    place(f"prime_rl_export/token_exports/step_{STEP}/STABLE").touch()


def episode(sequences: Iterable[Sequence]) -> dict[str, Any]:
    """Return an episode of one group; where tools spoke, the trace has a node for them."""
    group = next(iter(sequences)).group
    return {
        "id": f"e{group}",
        "env": {"id": "sums"},
        "group": {"id": f"g{group}"},
        "ok": True,
        "traces": [
            {
                "version": 1,
                "id": f"t{each.number}",
                "nodes": list(nodes(each)),
                "rewards": {"right": {"score": 2 * each.reward, "weight": 0.5}},
                "info": {"kind": "train"},
            }
            for each in sequences
        ]
        + [{"version": 1, "id": f"v{group}", "nodes": [], "info": {"kind": "eval"}}],
    }


def nodes(sequence: Sequence) -> Iterable[dict[str, Any]]:
    """Yield a node for the prompt and one for each run of tokens that the model wrote or was given."""
    yield {"sampled": False, "token_ids": sequence.prompt, "mask": [False] * len(sequence.prompt)}
    runs: list[list[int]] = []
    for number, counts in enumerate(sequence.mask):
        if runs and sequence.mask[runs[-1][-1]] == counts:
            runs[-1].append(number)
        else:
            runs.append([number])
    for parent, run in enumerate(runs):
        is_sampled = bool(sequence.mask[run[0]])
        node = {"parent": parent, "sampled": is_sampled, "token_ids": [sequence.tokens[number] for number in run]}
        node["mask"] = [is_sampled] * len(run)
        if is_sampled:
            node["logprobs"] = [round(sequence.logp_rollout[number], 4) for number in run]
        yield node


def annotations() -> tuple[list[Any], list[Any]]:
    """Return what the orchestrator and the trainer say of the traces."""
    credit = [
        {
            "version": 1,
            "trace_id": f"t{each.number}",
            "info": {"advantage": each.advantage},
            "branches": [{"index": 0, "advantages": over_all(each, each.advantages, None)}],
        }
        for each in SEQUENCES
    ]
    trained = [
        {
            "version": 1,
            "trace_id": f"t{each.number}",
            "info": {"training": {"step": STEP}},
            "branches": [
                {
                    "index": 0,
                    "trainer_logprobs": over_all(each, masked(each, [round(value, 4) for value in each.logp]), None),
                    "entropies": over_all(each, masked(each, [round(value, 4) for value in each.entropy]), None),
                }
            ],
        }
        for each in reversed(SEQUENCES)
    ]
    return credit, trained


def masked(sequence: Sequence, values: list[Any]) -> list[Any]:
    """Return values, null where no token was sampled."""
    return [value if counts else None for value, counts in zip(values, sequence.mask, strict=True)]


def sealed(content: bytes, frame: int = 700) -> bytes:
    """Return zstd frames of a few bytes each, and one that holds no content: the table of seekable zstd."""
    packer = zstandard.ZstdCompressor()
    frames = [packer.compress(content[start : start + frame]) for start in range(0, len(content), frame)]
    table = b"\0" * 12
    return b"".join(frames) + (0x184D2A5E).to_bytes(4, "little") + len(table).to_bytes(4, "little") + table


def prime_rl_traces() -> None:
    """Write the streams of September 2026 in both layouts: single files, and chunks of which some are sealed."""
    episodes = [episode(SEQUENCES[:2]), episode(SEQUENCES[2:])]
    credit, trained = annotations()
    torn = b'{"id": "e2", "traces": [{"ver'
    single = "prime_rl_traces/single/monitors/file/"
    place(single + "traces/stream.jsonl").write_bytes(lines(episodes) + torn)
    place(single + "traces/stream.index.jsonl").write_bytes(lines([{"line": 1}]))
    place(single + "annotations/orchestrator.jsonl").write_bytes(lines(credit))
    place(single + "annotations/trainer.jsonl").write_bytes(lines(trained))
    place(single + "metrics.jsonl").write_bytes(lines([{"step": STEP, "entropy/all/mean": 1.0}]))
    chunks = "prime_rl_traces/chunks/monitors/file/traces/"
    place(chunks + "stream/00000.jsonl.zst").write_bytes(sealed(lines(episodes[:1])))
    place(chunks + "stream/00001.jsonl").write_bytes(lines(episodes[1:]) + torn)
    place(chunks + "stream.index.jsonl").write_bytes(lines([{"line": 1}]))
    place(chunks + "annotations/orchestrator/00000.jsonl").write_bytes(lines(credit))
    place(chunks + "annotations/trainer/00000.jsonl.zst").write_bytes(sealed(lines(trained)))


def nemo_rl() -> None:
    """Write a step: every value in a list of one, padded on the right, nothing predicting the first token."""
    width = max(len(each.prompt + each.tokens) for each in SEQUENCES) + PADDING
    records = []
    for each in SEQUENCES:

        def padded(values: list[Any], each: Sequence = each) -> list[list[Any]]:
            return [over_all(each, values) + [0] * (width - len(each.prompt + values))]

        records.append(
            {
                "content": ["text"],
                "rewards": [each.reward],
                "input_lengths": [len(each.prompt + each.tokens)],
                "token_ids": [each.prompt + each.tokens + [0] * (width - len(each.prompt + each.tokens))],
                "token_loss_mask": padded(each.mask),
                "sample_loss_mask": [1.0],
                "advantages": padded(each.advantages),
                "generation_logprobs": padded(each.logp_rollout),
                "prev_logprobs": padded(each.logp_old),
                "idx": each.number,
            }
        )
    place(f"nemo_rl/train_data_step{STEP}.jsonl").write_bytes(lines(records))


def rollout(each: Sequence) -> dict[str, Any]:
    """Return a sample as slime and miles write it after generation."""
    return {
        "group_index": each.group,
        "index": each.number,
        "prompt": each.prompt_text,
        "tokens": each.prompt + each.tokens,
        "response": "text",
        "response_length": len(each.tokens),
        "reward": each.reward,
        "loss_mask": each.mask,
        "rollout_log_probs": each.logp_rollout,
        "status": "completed",
        "metadata": {},
    }


def trained(each: Sequence) -> dict[str, Any]:
    """Return what the loss took of a sample."""
    return {
        "tokens": torch.tensor(each.prompt + each.tokens),
        "response_lengths": len(each.tokens),
        "total_lengths": len(each.prompt + each.tokens),
        "rewards": each.advantage,
        "loss_masks": torch.tensor(each.mask, dtype=torch.int32),
        "rollout_log_probs": torch.tensor(each.logp_rollout),
        "log_probs": torch.tensor(each.logp_old),
        "ref_log_probs": torch.tensor(each.logp_ref),
        "advantages": torch.tensor(each.advantages),
        "entropy": torch.tensor(each.entropy),
    }


def slime() -> None:
    """Write a dump of one rollout in format 2, its training data in another order than its samples."""
    samples = [
        {"sample_index": each.number, "rollout_position": each.number, "data_parallel_rank": 0, **trained(each)}
        for each in SEQUENCES
    ]
    written = {"format_version": 2, "rollout_id": STEP, "rank": 0, "samples": samples, "dp_shards": []}
    torch.save(written, place(f"slime/train_data/{STEP}.pt"))
    rollouts = [rollout(each) for each in reversed(SEQUENCES)]
    torch.save({"rollout_id": STEP, "samples": rollouts}, place(f"slime/rollout_data/{STEP}.pt"))
    only = {"rollout_id": STEP, "samples": [{**rollout(each), "experts": np.zeros(2)} for each in SEQUENCES]}
    torch.save(only, place(f"refused/slime_arrays/rollout_data/{STEP}.pt"))


def miles() -> None:
    """Write a dump of two ranks, and the calls of the loss, which name no samples."""
    for rank in range(2):
        each_rank = SEQUENCES[rank::2]
        names = trained(SEQUENCES[0])
        columns = {name: [trained(each)[name] for each in each_rank] for name in names}
        columns["sample_indices"] = [each.number for each in each_rank]
        columns["raw_reward"] = [each.reward for each in SEQUENCES]
        written = {"rollout_id": STEP, "rank": rank, "rollout_data": columns, "cp_rank": 0, "cp_size": 1}
        torch.save({**written, "qkv_format": "thd"}, place(f"miles/train_data/{STEP}_{rank}.pt"))
        samples = [
            {
                "index": number,
                "response_length": len(each.tokens),
                "train_log_probs": torch.tensor(each.logp),
                "old_log_probs": torch.tensor(each.logp_old),
                "advantages": torch.tensor(each.advantages),
                "local_loss_mask": torch.tensor(each.mask).float(),
            }
            for number, each in enumerate(reversed(each_rank))
        ]
        call = {"rank": rank, "call": 0, "samples": samples}
        torch.save(call, place(f"miles/policy_loss_debug/rank_{rank}_call_0.pt"))
    rollouts = [rollout(each) for each in SEQUENCES]
    torch.save({"rollout_id": STEP, "samples": rollouts, "metadata": {}}, place(f"miles/rollout_data/{STEP}.pt"))


def roll() -> None:
    """Write a board, whose second recomputation is called the new policy here."""
    records = [
        {
            "prompt": each.prompt_text,
            "response": "text",
            "response_tokens": [f"t{token}" for token in each.tokens],
            "logprobs": each.logp_old,
            "log_probs2": each.logp,
            "ref_logprobs": each.logp_ref,
            "old_log_probs2_entropy": each.entropy,
            "new_response_mask": each.mask,
            "reward": each.reward,
            "step": STEP,
        }
        for each in SEQUENCES
    ]
    place("roll/data_2026.jsonl").write_bytes(lines(records))


def open_instruct() -> None:
    """Write a shard and the run's metadata beside it."""
    records = [
        {
            "step": STEP,
            "sample_idx": each.number,
            "prompt_idx": each.group,
            "prompt_tokens": each.prompt,
            "response_tokens": each.tokens,
            "reward": each.reward,
            "advantage": each.advantage,
            "finish_reason": "stop",
            "logprobs": each.logp_rollout,
        }
        for each in SEQUENCES
    ]
    place("open_instruct/run_rollouts_000000.jsonl").write_bytes(lines(records))
    place("open_instruct/run_metadata.jsonl").write_bytes(lines([{"model": "tiny"}]))


def tables() -> None:
    """Write tables with names of their own for some columns and widely used ones for the others."""
    records = [
        {
            "prompt": each.prompt_text,
            "new_lp": each.logp,
            "old_log_probs": each.logp_old,
            "rollout_log_probs": each.logp_rollout,
            "completion_ids": each.tokens,
            "loss_mask": each.mask,
            "advantage": each.advantage,
            "reward": each.reward,
            "step": STEP,
        }
        for each in SEQUENCES
    ]
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
        file.write(lines(records))
    place("tables/batch.jsonl").write_bytes(lines(records))
    place("tables/batch.jsonl.gz").write_bytes(packed.getvalue())
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), place("tables/batch.parquet"), row_group_size=3)


def tensors() -> None:
    """Write one padded batch as plain tensors with three writers, and as our own file."""
    rows = [
        {
            "mask": each.mask,
            "logp": each.logp,
            "logp_old": each.logp_old,
            "logp_rollout": each.logp_rollout,
            "advantages": each.advantages,
            "token_ids": each.tokens,
            "groups": each.group,
            "rewards": each.reward,
        }
        for each in SEQUENCES
    ]
    batch = from_rows(rows, step=STEP, settings={"method": "band-kl"})
    place("own/step_7.safetensors").write_bytes(as_bytes(batch))
    plain = {name: getattr(batch, name) for name in ("mask", *batch.names)}
    plain["advantages"] = torch.tensor([each.advantage for each in SEQUENCES])
    save_file(plain, place("tensors/batch.safetensors"))
    np.savez_compressed(place("tensors/batch.npz"), **{name: tensor.numpy() for name, tensor in plain.items()})
    of_trl = {"logp_old": "old_per_token_logps", "mask": "completion_mask", "token_ids": "completion_ids"}
    torch.save({of_trl.get(name, name): tensor for name, tensor in plain.items()}, place("tensors/batch.pt"))


def texts() -> None:
    """Write files that are refused: texts without numbers, and a pickle."""
    records = [
        {"step": STEP, "prompt": each.prompt_text, "completion": "text", "advantage": each.advantage}
        for each in SEQUENCES
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), place("refused/trl/completions_00007.parquet"))
    answers = [{"input": each.prompt_text, "output": "text", "score": each.reward, "step": STEP} for each in SEQUENCES]
    place("refused/verl/7.jsonl").write_bytes(lines(answers))
    content = {"action_log_probs": [each.logp_old for each in SEQUENCES]}
    place("refused/skyrl/global_step_7_training_input.pkl").write_bytes(pickle.dumps(content))


if __name__ == "__main__":
    main()
