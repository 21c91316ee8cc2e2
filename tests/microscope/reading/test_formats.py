"""Every format is read to the same numbers, which stand as formulas beside the sample files."""

from pathlib import Path

import pytest
import torch

from bandpo.microscope.batch import LOG_PROBS
from bandpo.microscope.reading.read import read_batches
from tests.data.batches.truth import SEQUENCES, STEP

SAMPLES = Path(__file__).parents[2] / "data" / "batches"
EVERY = {"logp", "logp_old", "logp_rollout", "advantages", "token_ids", "groups", "rewards"}
TRACED = EVERY - {"logp_old"} | {"entropy"}
NEW_NAME = {"logp": "new_lp"}
# Place, format, what it holds, columns that have to be named.
FORMATS = {
    "own": ("own", "bandpo", EVERY, None),
    "tensors, safetensors": ("tensors/batch.safetensors", "tensors", EVERY, None),
    "tensors, npz": ("tensors/batch.npz", "tensors", EVERY, None),
    "tensors, torch.save": ("tensors/batch.pt", "tensors", EVERY, None),
    "JSON lines": ("tables/batch.jsonl", "JSON lines", EVERY, NEW_NAME),
    "JSON lines, gzip": ("tables/batch.jsonl.gz", "JSON lines", EVERY, NEW_NAME),
    "Parquet": ("tables/batch.parquet", "Parquet", EVERY, NEW_NAME),
    "prime-rl export": (
        "prime_rl_export",
        "prime-rl token export",
        {"logp", "logp_rollout", "advantages", "entropy", "token_ids", "groups"},
        None,
    ),
    "prime-rl traces, single files": ("prime_rl_traces/single", "prime-rl traces", TRACED, None),
    "prime-rl traces, chunks": ("prime_rl_traces/chunks", "prime-rl traces", TRACED, None),
    "NeMo-RL": ("nemo_rl", "NeMo-RL train data", EVERY - {"logp"}, None),
    "slime": ("slime", "slime dump", EVERY - {"logp"} | {"logp_ref", "entropy"}, None),
    "miles": ("miles", "miles dump", EVERY | {"logp_ref", "entropy"}, None),
    "ROLL": ("roll", "ROLL logging board", EVERY - {"logp_rollout", "advantages"} | {"logp_ref", "entropy"}, None),
    "open-instruct": (
        "open_instruct",
        "open-instruct rollouts",
        {"logp_rollout", "advantages", "token_ids", "groups", "rewards"},
        None,
    ),
}
MARKS_NO_TOOLS = {"open-instruct"}


def rows_of(batches):
    """Yield (number of the sequence, batch, row) by the token ids, which no two sequences share."""
    for batch in batches:
        for row in range(len(batch.mask)):
            token = int(batch.token_ids[row, 0])
            text = batch.texts.get(token, f"t{token}")
            yield int(text[1:]) // 10, batch, row


@pytest.mark.parametrize("max_tokens", [1, 8, 2**20])
@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_read_to_the_numbers_that_were_written(name, max_tokens):
    path, format, held, columns = FORMATS[name]
    batches = list(read_batches(SAMPLES / path, columns, max_tokens))
    found = sorted(rows_of(batches), key=lambda row: row[0])
    assert [number for number, _, _ in found] == [0, 1, 2, 3]
    for number, batch, row in found:
        truth = SEQUENCES[number]
        assert (batch.format, set(batch.names)) == (format, held)
        assert batch.mask.numel() <= max_tokens or len(batch.mask) == 1
        expected_mask = [True] * len(truth.mask) if name in MARKS_NO_TOOLS else [bool(counts) for counts in truth.mask]
        width = len(expected_mask)
        assert batch.mask[row].tolist() == expected_mask + [False] * (len(batch.mask[row]) - width)
        tolerance = 5.1e-5 if "traces" in name else 1e-6
        for column in held & {*LOG_PROBS, "advantages", "entropy"}:
            expected = torch.tensor(getattr(truth, column))[batch.mask[row, :width]]
            torch.testing.assert_close(getattr(batch, column)[row][batch.mask[row]], expected, atol=tolerance, rtol=0)
        if "rewards" in held:
            assert batch.rewards[row] == truth.reward
        if not batch.texts:
            assert batch.token_ids[row, :width].tolist() == truth.tokens


@pytest.mark.parametrize("name", FORMATS)
def test_groups_are_the_prompts(name):
    path, _, _, columns = FORMATS[name]
    groups = {number: int(batch.groups[row]) for number, batch, row in rows_of(read_batches(SAMPLES / path, columns))}
    assert groups[0] == groups[1] != groups[2] == groups[3]


def test_the_batches_of_a_run_of_ours_are_found_beside_its_other_files(tmp_path):
    (tmp_path / "batches").mkdir()
    for name in ("model.safetensors", "batches/step_00007.safetensors"):
        (tmp_path / name).write_bytes((SAMPLES / "own/step_7.safetensors").read_bytes())
    assert [batch.source for batch in read_batches(tmp_path)] == [str(tmp_path / "batches/step_00007.safetensors")]


@pytest.mark.parametrize("name", [name for name in FORMATS if not name.startswith("tensors")])
def test_the_step_is_known(name):
    path, _, _, columns = FORMATS[name]
    assert {batch.step for batch in read_batches(SAMPLES / path, columns)} == {STEP}


@pytest.mark.parametrize("name", ["slime", "miles", "ROLL", "JSON lines", "Parquet"])
def test_prompts_are_kept_where_they_are_text(name):
    path, _, _, columns = FORMATS[name]
    for number, batch, row in rows_of(read_batches(SAMPLES / path, columns)):
        assert batch.prompts[row] == SEQUENCES[number].prompt_text


def notes_of(path, columns=None):
    return [note for batch in read_batches(SAMPLES / path, columns) for note in batch.notes]


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("nemo_rl", "no log-probs of the policy being trained (logp): nothing can be said about what the region did"),
        ("prime_rl_export", "no old log-probs of the trainer"),
        ("open_instruct", "no entropy: a temperature that both sides"),
        ("open_instruct", "tool outputs are not marked"),
        ("roll", "log_probs2 is a second recomputation before the update"),
        ("roll", "no advantages: which tokens are stopped"),
        ("slime", "log_probs are taken for the old policy's"),
        ("prime_rl_traces/single", "log-probs were cut after 4 decimals: log-ratios below 0.0001 and k3 below 1e-08"),
        ("prime_rl_traces/single", "the last line is cut off"),
        ("prime_rl_traces/chunks", "the last line is cut off"),
        ("prime_rl_traces/single", "2 traces of evaluations were left out"),
        ("tensors/batch.npz", "no step"),
    ],
)
def test_what_a_file_lacks_or_hides_is_said(path, part):
    assert any(part in note for note in notes_of(path))


def test_a_file_that_has_all_says_nothing_of_it(tmp_path):
    assert not any("logp" in note or "groups" in note for note in notes_of("miles"))


def test_the_first_use_is_known_where_the_second_recomputation_stands_for_the_new_policy():
    assert all(batch.is_first_use for batch in read_batches(SAMPLES / "roll"))


def test_a_step_that_is_not_stable_is_said(tmp_path):
    folder = tmp_path / "step_7"
    folder.mkdir()
    whole = SAMPLES / "prime_rl_export/token_exports/step_7/rank_0.jsonl"
    (folder / "rank_0.jsonl").write_bytes(whole.read_bytes())
    (batch,) = read_batches(tmp_path)
    assert any("no STABLE file" in note for note in batch.notes)


def test_the_dtype_of_sixteen_bits_is_kept(tmp_path):
    from safetensors.torch import save_file

    logp = torch.full((1, 3), 0.0625).to(torch.bfloat16)
    save_file({"logp": logp, "logp_old": -logp.float()}, tmp_path / "a.safetensors")
    (batch,) = read_batches(tmp_path / "a.safetensors")
    assert batch.dtypes == {"logp": "bfloat16", "logp_old": "float32"}


def test_samples_that_old_log_probs_do_not_tell_apart_get_no_new_ones(tmp_path):
    same = [torch.tensor([-1.0, -2.0, -3.0])] * 2
    columns = {"tokens": [[1, 2, 3, 4], [1, 5, 6, 7]], "response_lengths": [3, 3], "loss_masks": [[1] * 3] * 2}
    written = {"rollout_id": 1, "rank": 0, "rollout_data": {**columns, "log_probs": same}}
    samples = [{"train_log_probs": each, "old_log_probs": each} for each in same]
    for name, content in [("train_data/1_0.pt", written), ("policy_loss_debug/rank_0_call_0.pt", {"samples": samples})]:
        (tmp_path / name).parent.mkdir()
        torch.save(content, tmp_path / name)
    (batch,) = read_batches(tmp_path)
    assert batch.logp is None and any("policy_loss_debug names no samples" in note for note in batch.notes)


def test_slices_of_context_parallelism_are_left_out(tmp_path):
    columns = {"tokens": [[1, 2, 3]], "response_lengths": [2], "log_probs": [torch.tensor([-1.0])]}
    written = {"rollout_id": 1, "rank": 0, "rollout_data": columns, "cp_size": 2}
    (tmp_path / "train_data").mkdir()
    torch.save(written, tmp_path / "train_data/1_0.pt")
    (batch,) = read_batches(tmp_path)
    assert batch.names == ("token_ids", "groups") and any("context parallelism" in note for note in batch.notes)
