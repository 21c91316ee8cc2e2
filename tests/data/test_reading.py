"""Tables: the file that is named, the values that are written, and folders that are not walked through."""

import json
import os
import time

import pytest
from datasets import Dataset, DatasetDict

from bandpo.data.folders import split_files
from bandpo.data.reading import LOADERS, read_table

NAMES = ["d[1]", "s*", "q?", "[!a]", "w{a,b}", "a,b", "x#1", "y%20", "two words", "__x__", ".hidden", "x=1", "ü"]
# Each is what the name above it would match as a pattern.
DECOYS = ["d1", "s1", "qa", "b"]


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("name", NAMES)
def test_a_files_name_is_no_pattern(here, name):
    for other in {*NAMES, *DECOYS} - {name}:
        write(here / f"{other}.jsonl", {"prompt": "another"})
    path = write(here / f"{name}.jsonl", {"prompt": "mine"})
    for spelled in (f"{name}.jsonl", path):
        assert read_table(spelled, "train").to_list() == [{"prompt": "mine"}]


@pytest.mark.parametrize("name", ["d[1].jsonl", "*.jsonl", "d?.jsonl", "[d]1.jsonl"])
def test_an_absent_file_is_not_another(here, name):
    write(here / "d1.jsonl", {"prompt": "another"})
    with pytest.raises(ValueError, match="no such file or folder"):
        read_table(name, "train")


@pytest.mark.parametrize("suffix", ["parquet", "csv", "json"])
def test_nor_is_it_one_in_other_formats(here, suffix):
    for name in ("d1", "d[1]"):
        data = Dataset.from_list([{"prompt": name}])
        {"csv": data.to_csv, "parquet": data.to_parquet, "json": data.to_json}[suffix](str(here / f"{name}.{suffix}"))
    assert read_table(f"d[1].{suffix}", "train")["prompt"][:] == ["d[1]"]


def test_a_folders_name_is_no_pattern(here):
    for name in ("d1", "d[1]"):
        write(here / name / "train.jsonl", {"prompt": name})
        Dataset.from_list([{"prompt": name}]).save_to_disk(f"saved-{name}")
        DatasetDict({"train": Dataset.from_list([{"prompt": name}])}).save_to_disk(f"splits-{name}")
    for kind in ("d[1]", "saved-d[1]", "splits-d[1]"):
        assert read_table(kind, "train")["prompt"][:] == ["d[1]"]


@pytest.mark.parametrize("make", ["empty", "texts", "models", "hidden", "under"])
def test_a_folder_without_tables(here, make):
    folder = here / "some"
    folder.mkdir()
    if make == "texts":
        (folder / "a.txt").write_text("x")
    elif make == "models":
        (folder / "config.json").write_text("{}")
    elif make == "hidden":
        write(folder / ".cache" / "a.jsonl", {"prompt": "x"})
    elif make == "under":
        write(folder / "a" / "b" / "c" / "d" / "a.jsonl", {"prompt": "x"})
    with pytest.raises(ValueError, match="dataset='some': not loaded, this folder holds no table, expected files"):
        read_table("some", "train")


def test_a_home_of_many_files_ends_at_once(here, monkeypatch):
    for number in range(101):
        folder = here / "home" / str(number)
        folder.mkdir(parents=True)
        for file in range(100):
            os.close(os.open(folder / f"{file}.jsonl", os.O_CREAT))
    monkeypatch.setenv("HOME", str(here / "home"))
    started = time.perf_counter()
    for name in ("~", "~/", str(here / "home")):
        with pytest.raises(ValueError, match="holds more than 10,000 files and folders"):
            read_table(name, "train")
    assert time.perf_counter() - started < 3


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["train.jsonl"], {"train": ["train.jsonl"]}),
        (["a.jsonl", "b.jsonl"], {"train": ["a.jsonl", "b.jsonl"]}),
        (["train-0.parquet", "train-1.parquet", "test-0.parquet"], {"train": 2, "test": 1}),
        (["my.test.csv", "my_train.csv", "my-dev.csv"], {"train": 1, "test": 1, "validation": 1}),
        (["data/train/0.parquet", "data/test/0.parquet"], {"train": 1, "test": 1}),
        (["contrain.jsonl"], {"train": 1}),
        (["x.parquet", "dataset_infos.json", "meta.json"], {"train": ["x.parquet"]}),
        (["x.json", "config.json"], {"train": ["x.json"]}),
        (["train.jsonl", "__pycache__/test.jsonl", ".git/test.jsonl"], {"train": ["train.jsonl"]}),
    ],
)
def test_splits_of_a_folder(here, files, expected):
    for name in files:
        write(here / "data set" / name, {"prompt": "x"})
    found = split_files(here / "data set", tuple(LOADERS))
    counts = {split: len(paths) for split, paths in found.items()}
    assert counts == {split: count if isinstance(count, int) else len(count) for split, count in expected.items()}
    for split, names in expected.items():
        if not isinstance(names, int):
            assert [str(path.relative_to(here / "data set")) for path in found[split]] == names


def test_tables_of_several_kinds(here):
    for name in ("a.jsonl", "b.csv"):
        write(here / "mixed" / name, {"prompt": "x"})
    with pytest.raises(ValueError, match=r"several kinds \(.csv, .jsonl\)"):
        read_table("mixed", "train")


def test_a_split_that_is_not_there(here):
    write(here / "d" / "train.jsonl", {"prompt": "x"})
    with pytest.raises(ValueError, match="dataset='d' has no split 'test'"):
        read_table("d", "test")


MIXED = [
    ["2", 2, ["2", "3"], {"a": 1}, None, "007", "null", "[3]", "true", "1e5", 0.5, True, "x"],
    ["2", 2],
    ["1.50", 1],
    ["null", ["a"]],
    [[{"role": "user", "content": "12"}], [{"role": "user", "content": [{"type": "text", "text": "12"}]}]],
    ["2024-01-01", "2024-01-02"],
    ["2024-01-01 10:00:00", "2024-01-02 00:00:00"],
    [9007199254740993, 0.5],
    ["a\u2028b", 1],
]


@pytest.mark.parametrize("values", MIXED, ids=map(str, range(len(MIXED))))
@pytest.mark.parametrize("form", ["jsonl", "json", "folder"])
def test_values_are_what_the_file_says(here, values, form):
    rows = [{"answer": value, "n": n} for n, value in enumerate(values)]
    if form == "json":
        (here / "rows.json").write_text(json.dumps(rows, ensure_ascii=False))
    elif form == "jsonl":
        (here / "rows.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    else:
        write(here / "rows" / "a.jsonl", *rows)
        write(here / "rows" / "b.jsonl", *rows)
    name = {"folder": "rows"}.get(form, f"rows.{form}")
    table = read_table(name, "train")
    assert table.column_names == ["answer", "n"]
    for read, value in zip(table["answer"][:], [*values, *values] if form == "folder" else values, strict=True):
        assert read == value and type(read) is type(value)
    assert table[1] == rows[1] and table.select([1])[0] == rows[1]


def test_an_integer_of_more_than_64_bits_is_no_other_integer(here):
    write(here / "big.jsonl", {"answer": 123456789012345678901}, {"answer": 2})
    big, small = read_table("big.jsonl", "train")["answer"][:]
    assert isinstance(big, float) and big == pytest.approx(123456789012345678901) and small == 2


def test_plain_columns_are_left_alone(here):
    rows = [{"a": "2", "b": 1, "c": 0.5, "d": ["x"], "e": True, "f": None}, {"a": "3", "b": 2, "c": None, "d": []}]
    table = read_table(write(here / "rows.jsonl", *rows), "train")
    assert [str(table.features[name].dtype) for name in "abce"] == ["string", "int64", "float64", "bool"]
    assert table["a"][:] == ["2", "3"] and table["c"][:] == [0.5, None]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"prompt": "b"', "line 2 is not JSON"),
        ("prompt: b", "line 2 is not JSON"),
        ('["b"]', "line 2 is not a JSON object"),
        ("3", "line 2 is not a JSON object"),
        ("{'prompt': 'b'}", "line 2 is not JSON"),
    ],
)
def test_a_line_that_is_no_row_is_named(here, line, said):
    (here / "rows.jsonl").write_text(f'{{"prompt": "a"}}\n{line}\n{{"prompt": "c"}}\n')
    with pytest.raises(ValueError, match=f"dataset='rows.jsonl': not .*{said}"):
        read_table("rows.jsonl", "train")


def test_blank_lines_are_no_rows(here):
    (here / "rows.jsonl").write_text('\n{"prompt": "a"}\n\n{"prompt": "b"}\n\n')
    assert read_table("rows.jsonl", "train")["prompt"][:] == ["a", "b"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
@pytest.mark.parametrize("bad", [b"\xc3", b"\xff\xfe", b"gr\xf6sser"])
def test_a_file_that_is_no_utf8_is_named(here, name, bad):
    rows = {"a.jsonl": b'{"prompt": "%s"}\n', "a.json": b'[{"prompt": "%s"}]', "a.csv": b"prompt\n%s\n"}[name]
    (here / name).write_bytes(rows % bad)
    with pytest.raises(ValueError, match=name):
        read_table(name, "train")
