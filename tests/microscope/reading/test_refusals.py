"""What cannot be read is refused in one sentence with the file, what is wrong and the way on; others are read still."""

import json
import os
import re
import shutil
import struct
from pathlib import Path

import pytest
import torch

from bandpo.microscope.errors import BatchError
from bandpo.microscope.reading.read import read_batches
from tests.microscope.reading.test_formats import SAMPLES


def refusal(path, **options):
    with pytest.raises(BatchError) as caught:
        list(read_batches(path, **options))
    text = str(caught.value)
    assert "\n" not in text and len(text) < 1000
    return text


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("refused/trl", ["TRL's completions", "no log-probs of tokens", "bandpo.record"]),
        ("refused/verl", ["verl's rollout dump", "no log-probs of tokens", "bandpo.record"]),
        ("refused/skyrl", ["Python pickle", "SkyRL", "python -c"]),
        ("refused/slime_arrays", ["an object of numpy", "python -c"]),
        ("absent", ["no such file or folder"]),
    ],
)
def test_a_known_file_without_numbers_or_with_code_is_refused_with_the_way_on(path, parts):
    text = refusal(SAMPLES / path)
    assert all(part in text for part in parts), text


def test_the_command_that_a_refusal_names_writes_what_is_read_here(tmp_path):
    import pickle

    place = tmp_path / "input.pkl"
    place.write_bytes(pickle.dumps({"action_log_probs": torch.full((1, 2), -1.0), "metadata": {"uids": ["a"]}}))
    exec(re.search(r"python -c '(.*)'", refusal(place))[1], {})
    (batch,) = read_batches(tmp_path / "input.tensors.pt")
    assert batch.logp_old.tolist() == [[-1, -1]]


LOGP = {"logp": [-1.0, -2.0], "logp_old": [-1.0, -2.5]}


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ({**LOGP, "logp": [-1.0, 0.5]}, "line 2: logp[1] = 0.5: expected a finite log-prob, at most 0"),
        ({**LOGP, "logp": [-1.0, float("nan")]}, "line 2: logp[1] = nan"),
        ({**LOGP, "logp": [-1.0, float("-inf")]}, "line 2: logp[1] = -inf"),
        ({**LOGP, "logp": [-1.0]}, "line 2: lists of one sequence differ in length: logp 1, logp_old 2"),
        ({**LOGP, "logp": -1.0}, "line 2: logp is a float, expected a list of numbers"),
        ({**LOGP, "logp": "abc"}, "line 2: logp is a str, expected a list of numbers"),
        ({**LOGP, "logp": [-1.0, "a"]}, "line 2: logp holds more than numbers"),
        ({**LOGP, "logp": [[-1.0], [-1.0]]}, "line 2: logp holds more than numbers"),
        ({**LOGP, "logp": [-1.0, 10**400]}, "line 2: logp holds more than numbers"),
        ({**LOGP, "mask": [1, 2]}, "line 2: mask[1] = 2: expected 0 or 1"),
        ({**LOGP, "token_ids": [1, 2.5]}, "line 2: token_ids holds more than numbers"),
        ({**LOGP, "token_ids": [1, 2**70]}, "line 2: token_ids holds more than numbers"),
        ({**LOGP, "advantages": [1.0, float("inf")]}, "line 2: advantages[1] = inf: expected a finite number"),
        ({**LOGP, "entropy": [-1.0, 1.0]}, "line 2: entropy[0] = -1: expected a finite entropy"),
        ([1], "line 2 is a JSON list, expected an object"),
    ],
)
def test_an_impossible_line_is_refused_by_its_number_and_place(tmp_path, line, part):
    place = tmp_path / "a.jsonl"
    place.write_text(json.dumps(LOGP) + "\n" + json.dumps(line) + "\n")
    assert part in refusal(place)


def test_what_the_mask_leaves_out_may_hold_anything(tmp_path):
    place = tmp_path / "a.jsonl"
    place.write_text(json.dumps({"logp": [7.0, -1.0, float("nan")], "logp_old": [0, -2, None], "mask": [0, 1, 0]}))
    (batch,) = read_batches(place)
    assert batch.logp.tolist() == [[-1]] and not any("null" in note for note in batch.notes)


def test_null_inside_the_mask_is_left_out_and_counted(tmp_path):
    place = tmp_path / "a.jsonl"
    rows = [
        {"logp": [-1.0, None, None], "logp_old": [-1.0, -2.0, -3.0]},
        {"logp": [None, None], "logp_old": [-1.0, -1.5]},
    ]
    place.write_text("\n".join(map(json.dumps, rows)))
    some, none = read_batches(place)
    assert some.mask.tolist() == [[True, False, False]] and none.names == ("logp_old",)
    assert "2 tokens hold null where a number belongs and were left out: nothing is said about them" in some.notes


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "is empty"),
        (b"\n\n\n", "holds no line that is not blank"),
        (b"\n" * 20_000, "blank lines in a row"),
        (b"hello", "is no JSON"),
        (b'{"logp": [-1.0', "is no JSON"),
        (b"\xff\xfe{", "is no JSON"),
        (b'{"a": ' * 100_000, "is no JSON"),
        (b'{"a": 1}\n', "holds a, none of them known as log-probs"),
        (b'{"logp": [' + b"9" * 5000 + b"]}\n", "is no JSON"),
        (b"\x1f\x8b\x08\x00garbage", "damaged or cut off"),
        (b"\x28\xb5\x2f\xfdgarbage", "damaged or cut off"),
        (bytes(range(255, 190, -1)), "is no JSON"),
    ],
)
def test_a_file_of_no_lines_is_refused(tmp_path, content, part):
    place = tmp_path / "a.jsonl"
    place.write_bytes(content)
    assert part in refusal(place)


@pytest.mark.parametrize("name", ["a.safetensors", "a.npz", "a.pt", "a.parquet", "a.pkl", "a.bin", "a.jsonl"])
@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04" + b"\0" * 40,
        b"PAR1" + b"\xff" * 40 + b"PAR1",
        struct.pack("<Q", 2**62) + b"{" + b" " * 40,
        struct.pack("<Q", 40) + b'{"a":{"dtype":"F32","shape":[9223372036854775807],"data_offsets":[0,4]}}',
        b"\x80\x04" + b"." * 40,
        b"\0" * 40,
    ],
)
def test_noise_of_any_name_is_refused(tmp_path, name, content):
    place = tmp_path / name
    place.write_bytes(content)
    assert name in refusal(place)


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("bandpo.microscope.reading.lines.MAX_LINE", 1000)
    place = tmp_path / "a.jsonl"
    place.write_text('{"logp": [' + "-1.0, " * 1000 + "-1.0]}")
    assert "line 1 is longer than" in refusal(place)


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path), lambda path: os.symlink(path, path)]
)
def test_what_does_not_end_is_not_opened(tmp_path, make):
    make(tmp_path / "a.jsonl")
    assert "a.jsonl" in refusal(tmp_path / "a.jsonl")


def test_a_folder_without_batches_says_what_it_holds(tmp_path):
    (tmp_path / "README.md").write_text("hello")
    assert "holds README.md: expected files ending in" in refusal(tmp_path)


def test_a_run_that_recorded_nothing_says_how_to_record(tmp_path):
    for name in ("bandpo.json", "metrics.jsonl", "evaluations.jsonl", "samples.jsonl", "config.yaml"):
        (tmp_path / name).write_text('{"step": 1}\n')
    assert "holds no recorded batches: expected a run of `bandpo train --record-every 10`" in refusal(tmp_path)
    shutil.copy(SAMPLES / "tensors/batch.npz", tmp_path)
    (batch,) = read_batches(tmp_path)
    assert Path(batch.source).name == "batch.npz"


def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(tmp_path):
    torch.save({"logp": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "a.pt")
    assert "claims 1000000000000 numbers" in refusal(tmp_path / "a.pt")


def test_the_others_are_read_where_errors_are_taken(tmp_path):
    (tmp_path / "1.jsonl").write_text('{"logp": [-1.0]}\n{"logp": [2.0]}\n')
    shutil.copy(SAMPLES / "tensors/batch.npz", tmp_path / "2.npz")
    errors = []

    def keep(path, error):
        errors.append((path.name, str(error)))

    batches = list(read_batches([tmp_path, tmp_path / "absent"], on_error=keep))
    assert [Path(batch.source).name for batch in batches] == ["2.npz"]
    assert [name for name, _ in errors] == ["1.jsonl", "absent"] and "logp[0] = 2" in errors[0][1]


def test_columns_must_be_names_that_there_are():
    place = SAMPLES / "tables/batch.jsonl"
    assert "'logq' is no name of a batch; did you mean 'logp'" in refusal(place, columns={"logq": "new_lp"})
    assert "has no column 'lp' for logp, expected one of prompt, new_lp" in refusal(place, columns={"logp": "lp"})


def test_an_unknown_format_lists_what_is_read(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"\x01\x02")
    assert "is of no known format; read are bandpo.record" in refusal(tmp_path / "a.bin")
