"""What TensorBoard, W&B and trackio keep of a run: every name and value of metrics.jsonl, under `train/`."""

import json
import os
import sqlite3
import struct
import subprocess
import sys

import pytest

BLOCK, HEADER = 32768, 7


def in_tensorboard(folder):
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = module.EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    for name in events.Tags()["scalars"]:
        yield from ({"train/global_step": event.step, name: event.value} for event in events.Scalars(name))


def in_wandb(folder):
    messages = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    (file,) = folder.glob("wandb/**/*.wandb")
    for data in _records(file.read_bytes()):
        record = messages.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            yield {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}


def _records(data):
    """Records of a log in blocks: checksum, length and kind (1 whole, 4 the last part) before each."""
    place, parts = HEADER, b""
    while place + HEADER <= len(data):
        left = BLOCK - place % BLOCK
        _, length, kind = struct.unpack("<IHB", data[place : place + HEADER]) if left >= HEADER else (0, 0, 0)
        if kind == 0:
            place += left
            continue
        parts += data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):
            yield parts
            parts = b""


def in_trackio(folder):
    pytest.importorskip("trackio")
    (file,) = folder.glob("trackio/*.db")
    with sqlite3.connect(file) as database:
        for (metrics,) in database.execute("select metrics from metrics"):
            yield json.loads(metrics)


@pytest.mark.slow
@pytest.mark.parametrize("read", [in_tensorboard, in_wandb, in_trackio])
def test_a_tracker_keeps_every_name_and_value(read, tiny_with, tmp_path):
    tracker = read.__name__.removeprefix("in_")
    pytest.importorskip(tracker)
    places = {"TENSORBOARD_LOGGING_DIR": str(tmp_path / "tensorboard"), "TRACKIO_DIR": str(tmp_path / "trackio")}
    command = [*tiny_with(max_steps=4), "--output_dir", "run", "--report_to", tracker]
    environment = {**os.environ, **places, "WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-m", "bandpo", "train", *command], cwd=tmp_path, env=environment, check=True)
    kept = list(read(tmp_path))
    names = {name for record in kept for name in record}
    for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines():
        logged = json.loads(line)
        for name in logged.keys() - {"step"}:
            assert f"train/{name}" in names
            if name.startswith("band/"):
                values = [record[f"train/{name}"] for record in kept if f"train/{name}" in record]
                assert any(value == pytest.approx(logged[name], rel=1e-6) for value in values), name
