"""Data sets by name: what is found where, and one line that says what was wrong."""

import pytest
from datasets import Dataset, DatasetDict

from bandpo.runs.training.datasets import dataset_source
from bandpo.tasks import countdown

ROWS = [{"prompt": "1 2 3 4 -> 10", "answer": "x"}, {"prompt": "5 -> 5", "answer": "longer"}]


def save(data, path):
    {".jsonl": data.to_json, ".json": data.to_json, ".parquet": data.to_parquet, ".csv": data.to_csv}[path.suffix](path)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.parquet", "rows.csv"])
def test_files(here, name):
    save(Dataset.from_list(ROWS), here / name)
    assert dataset_source(name, "ignored").to_list() == ROWS
    assert dataset_source(str(here / name), "ignored").to_list() == ROWS


def test_saved_folders(here):
    Dataset.from_list(ROWS).save_to_disk("one")
    DatasetDict({"train": Dataset.from_list(ROWS), "test": Dataset.from_list(ROWS[:1])}).save_to_disk("splits")
    assert dataset_source("one", "ignored").to_list() == ROWS
    assert dataset_source("splits", "test").to_list() == ROWS[:1]
    with pytest.raises(ValueError, match="eval_dataset='splits' has no split 'dev'"):
        dataset_source("splits", "dev", option="eval_dataset")


def test_a_folder_of_data_files(here, one_line):
    (here / "data").mkdir()
    Dataset.from_list(ROWS).to_json(here / "data" / "train.jsonl")
    assert dataset_source("data", "train").to_list() == ROWS
    assert "data" in one_line(dataset_source, "data", "dev")


def test_the_task_is_a_data_set(here):
    assert dataset_source("countdown", "train", count=7, seed=3)["prompt"] == [
        problem.prompt for problem in countdown.training_problems(7, 3)
    ]


@pytest.mark.parametrize("name", ["absent.jsonl", "./absent", "a/b/absent", "~/absent.parquet"])
def test_an_absent_file(here, name, one_line):
    assert f"dataset={name!r}: no such file or folder" in one_line(dataset_source, name, "train")


def test_a_hub_data_set_without_a_connection(here, one_line):
    assert "dataset='someone/absent': not loaded" in one_line(dataset_source, "someone/absent", "train")


@pytest.mark.parametrize(("name", "near"), [("absent", ""), ("countdwn", "; did you mean 'countdown'?")])
def test_a_name_without_an_owner_is_not_looked_for_on_the_hub(here, name, near, one_line):
    expected = f"dataset={name!r}: no such file or folder, and no Hub id of the form owner/name{near}; expected"
    assert expected in one_line(dataset_source, name, "train")


def test_several_files_are_put_one_after_another(here, one_line):
    for name in "ab":
        Dataset.from_list([{**row, "source": name} for row in ROWS]).to_parquet(f"{name}.parquet")
    found = dataset_source("a.parquet, b.parquet", "train")
    assert found["source"] == ["a", "a", "b", "b"]
    Dataset.from_list(ROWS).to_parquet("other.parquet")
    assert "columns differ" in one_line(dataset_source, "a.parquet,other.parquet", "train")
    assert "no such file" in one_line(dataset_source, "a.parquet,absent.parquet", "train")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("rows.txt", "hello", "a file ending in .jsonl, .json, .parquet, .csv"),
        ("rows", "hello", "a file ending in .jsonl, .json, .parquet, .csv"),
        ("rows.jsonl", '{"question": "x", "answer": 1}\n', "has columns question, answer: expected one named 'prompt'"),
        ("rows.jsonl", "", "is empty"),
        ("rows.csv", "prompt,answer\n", "no data"),
    ],
)
def test_a_file_that_does_not_fit(here, name, content, expected, one_line):
    (here / name).write_text(content)
    text = one_line(dataset_source, name, "train", option="eval_dataset")
    assert text.startswith(f"eval_dataset={name!r}") and expected in text


@pytest.mark.parametrize(
    ("name", "content"), [("rows.jsonl", '{"prompt": "a"}\n{"prompt": \n'), ("rows.parquet", "no")]
)
def test_a_broken_file(here, name, content):
    (here / name).write_text(content)
    with pytest.raises(ValueError, match=f"^dataset='{name}': not "):
        dataset_source(name, "train")
