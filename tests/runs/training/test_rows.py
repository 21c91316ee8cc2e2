"""Rows of a run: what is wrong with them, which are used, and where each is from."""

import json

import pytest
from datasets import Dataset

from bandpo.data.rows import BadRow
from bandpo.runs.training.datasets import dataset_parts
from bandpo.runs.training.rows import Rows, check_lengths, column, look, usable
from bandpo.store.sources import model_source


@pytest.fixture
def parts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(**files):
        for name, rows in files.items():
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return dataset_parts(",".join(f"{name}.jsonl" for name in files), "train")

    return write


def reads_numbers(answer):
    if not str(answer).isdigit():
        raise ValueError(f"answer is {answer!r}: expected digits")


def strict(completions, answer, **_):
    """A reward that says what it can read."""


strict.check_answer = reads_numbers


def user(content):
    return [{"role": "user", "content": content}]


def test_good_rows_are_all_there_as_they_are(parts):
    rows = [{"prompt": "1?", "answer": "1", "n": 0}, {"prompt": "2?", "answer": "2", "n": 1}]
    found = look(made := parts(a=rows), [strict])
    assert [one.bad for one in found] == [[]] and usable(made, found).data.to_list() == rows


def test_answers_count_where_a_reward_says_what_it_reads(parts):
    made = parts(a=[{"prompt": "1?", "answer": "1"}, {"prompt": "2?"}, {"prompt": "3?", "answer": "x"}])
    [found] = look(made, [strict])
    assert found.label == "dataset='a.jsonl'" and found.count == 3
    assert found.bad == [BadRow(1, "answer is None: expected digits"), BadRow(2, "answer is 'x': expected digits")]
    assert look(made, [lambda completions, answer: []])[0].bad == []
    assert look(parts(a=[{"prompt": "1?"}]), [strict])[0].bad == []


def test_a_list_goes_to_the_reward_as_it_is(parts):
    seen = []

    def reward(**_):
        """One that reads alternatives."""

    reward.check_answer = seen.append
    made = parts(a=[{"prompt": "1?", "answer": ["1", "2"]}, {"prompt": "2?", "answer": ["3"]}])
    look(made, [reward])
    assert seen == [["1", "2"], ["3"]] and usable(made, look(made, [])).data["answer"][:] == seen


def test_rows_of_several_files_know_where_they_are_from(parts):
    made = parts(
        a=[{"prompt": "1?"}, {"prompt": ""}, {"prompt": "2?"}],
        b=[{"prompt": ""}, {"prompt": ""}],
        c=[{"prompt": ""}, {"prompt": "3?"}, {"prompt": "4?"}],
    )
    found = look(made, [])
    assert [[entry.row for entry in one.bad] for one in found] == [[1], [0, 1], [0]]
    rows = usable(made, found)
    assert rows.data["prompt"][:] == ["1?", "2?", "3?", "4?"]
    assert [rows.place(n) for n in range(4)] == [
        "row 0 of a.jsonl", "row 2 of a.jsonl", "row 1 of c.jsonl", "row 2 of c.jsonl",
    ]  # fmt: skip


def test_prompts_are_all_of_one_kind(parts):
    made = parts(a=[{"prompt": ""}, {"prompt": user("1?")}, {"prompt": "2?"}, {"prompt": user("3?")}])
    [found] = look(made, [])
    assert found.bad[0] == BadRow(0, "prompt is empty") and found.bad[1].row == 2
    assert found.bad[1].reason.startswith("prompt is text, while the first one is a chat")
    rows = usable(made, [found])
    assert rows.data["prompt"][:] == [user("1?"), user("3?")]


def test_text_parts_are_joined(parts):
    split = user([{"type": "text", "text": "1"}, {"type": "text", "text": "2"}])
    made = parts(a=[{"prompt": split, "n": 0}, {"prompt": user("34"), "n": 1}])
    assert usable(made, look(made, [])).data.to_list() == [
        {"prompt": user("12"), "n": 0},
        {"prompt": user("34"), "n": 1},
    ]
    made = parts(a=[{"prompt": split}])
    assert usable(made, look(made, [])).data["prompt"][:] == [user("12")]


def test_texts_that_look_like_json_stay_texts(parts):
    made = parts(
        a=[{"prompt": "12", "answer": "007"}, {"prompt": 12, "answer": 7}, {"prompt": "null", "answer": "1.50"}]
    )
    [found] = look(made, [])
    assert [entry.row for entry in found.bad] == [1]
    rows = usable(made, [found]).data
    assert column(rows, "prompt") == ["12", "null"] and column(rows, "answer") == ["007", "1.50"]
    assert rows.__getitems__([1])[0] == {"prompt": "null", "answer": "1.50"}


def test_files_of_different_columns(parts):
    made = parts(a=[{"prompt": "1?", "answer": "1"}], b=[{"prompt": "2?", "answer": 2}])
    with pytest.raises(ValueError, match=r"dataset='b.jsonl': columns differ, .* of a.jsonl, where 'answer' is string"):
        usable(made, look(made, []))
    made = parts(a=[{"prompt": "1?", "answer": "1"}], b=[{"prompt": "2?"}])
    with pytest.raises(ValueError, match="'answer' is string and here missing"):
        usable(made, look(made, []))


@pytest.mark.parametrize("prompt", ["3 " * 20, [{"role": "user", "content": "3 " * 20}]])
def test_a_prompt_longer_than_the_model_is_named_with_its_row(prompt):
    rows = Rows(
        Dataset.from_dict({"prompt": ["3 7 11 2 -> 13" if isinstance(prompt, str) else prompt, prompt]}),
        [("a", [0, 1])],
    )
    tokenizer = model_source("countdown")[1]
    check_lengths(rows, tokenizer, 20)
    with pytest.raises(ValueError, match=r"row . of a: a prompt of 20 tokens, expected at most 6"):
        check_lengths(rows, tokenizer, 6)
