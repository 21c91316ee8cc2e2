"""Loading from small files in the exact formats of the data sets, own problems, through `datasets`."""

import json
from pathlib import Path

import pytest
from datasets import Dataset, load_dataset

from bandpo.data import DATASETS, TEMPLATES, load
from bandpo.data.loading import read_problems
from bandpo.data.rows import BadRows
from bandpo.data.templates import get_template, without_template

SAMPLES = Path(__file__).parent / "samples"
FILES = {
    "dapo-math-17k": ("dapo-math-17k.parquet", 13),
    "dapo-math-17k-all": ("dapo-math-17k.parquet", 13),
    "math-3to5": ("math.parquet", 9),
    "math500": ("math500.jsonl", 9),
    "aime24": ("aime24.jsonl", 10),
    "aime25": ("aime25.jsonl", 8),
    "amc23": ("amc23.jsonl", 9),
    "gsm8k": ("gsm8k.jsonl", 8),
    "gsm8k-test": ("gsm8k.jsonl", 8),
}
PAPER_START = (
    "Solve the following math problem step by step. The last line of your response should be of the form Answer:"
)


def sample(name: str) -> str:
    return str(SAMPLES / FILES[name][0])


def message(*arguments, **options) -> str:
    with pytest.raises(ValueError) as caught:
        load(*arguments, **options)
    assert "\n" not in str(caught.value) and "expected" in str(caught.value)
    return str(caught.value)


def page(*arguments, **options) -> str:
    with pytest.raises(BadRows) as caught:
        load(*arguments, **options)
    assert max(map(len, caught.value.page.splitlines())) <= 100
    return caught.value.page


def test_every_data_set_has_a_sample():
    assert FILES.keys() == DATASETS.keys()


@pytest.mark.parametrize("name", FILES)
def test_one_schema_for_all(name):
    rows = load(name, sample(name), template="none")
    assert rows.column_names == ["prompt", "answer", "source", "id"]
    assert len(rows) == FILES[name][1] and len(set(rows["id"])) == len(rows)
    for row in rows:
        [said] = row["prompt"]
        assert said["role"] == "user" and said["content"] and row["source"] == name and row["id"].startswith(name + "/")
        assert isinstance(row["answer"], str) and row["answer"] == row["answer"].strip() != ""


def test_answers_are_read_as_each_data_set_writes_them():
    assert load("aime24", sample("aime24"))["answer"][0] == "47"  # written 047
    assert load("gsm8k", sample("gsm8k"))["answer"][2] == "3750"  # written #### 3,750
    assert "\\begin{pmatrix}1&-1\\\\-1&2\\end{pmatrix}" in load("math-3to5", sample("math-3to5"))["answer"][:]


def test_math_keeps_levels_3_to_5():
    raw = load_dataset("parquet", data_files=sample("math-3to5"), split="train")
    kept = [row["unique_id"] for row in raw if row["level"] >= 3]
    assert load("math-3to5", sample("math-3to5"))["id"][:] == [f"math-3to5/{name}" for name in kept]


def test_levels_may_be_written_out(tmp_path):
    rows = [{"problem": str(n), "answer": "1", "level": f"Level {n}", "unique_id": str(n)} for n in range(1, 6)]
    rows.append({"problem": "6", "answer": "1", "level": "Level ?", "unique_id": "6"})
    Dataset.from_list(rows).to_parquet(str(tmp_path / "m.parquet"))
    assert load("math-3to5", str(tmp_path / "m.parquet"))["id"][:] == [f"math-3to5/{n}" for n in (3, 4, 5)]


def test_templates():
    problem = "Find the number of positive divisors of $720$."
    contents = {
        name: load("dapo-math-17k", sample("dapo-math-17k"), template=name)[0]["prompt"][0]["content"]
        for name in TEMPLATES
    }
    assert contents["none"] == problem
    assert contents["boxed"].startswith(problem) and contents["boxed"].endswith("within \\boxed{}.")
    assert contents["paper"].startswith(PAPER_START) and problem in contents["paper"]
    source = load_dataset("parquet", data_files=sample("dapo-math-17k"), split="train")[0]["source_prompt"]
    assert contents["paper"] == source[0]["content"]
    assert {without_template(text) for text in contents.values()} == {problem}
    assert get_template("Q: {problem} {{}}").format(problem="1") == "Q: 1 {}"


def test_a_template_of_its_own_keeps_braces_of_the_problem():
    content = load("math-3to5", sample("math-3to5"), template="{problem}!")["prompt"][0][0]["content"]
    assert content == "Solve $x^2-5x+6>0$. Give the answer in interval notation.!"


@pytest.mark.parametrize("template", ["box", "no place", "{question}", "{problem", "{0}"])
def test_a_template_that_cannot_be_filled_in(template):
    assert f"template={template!r}: expected paper, boxed, none" in message("amc23", sample("amc23"), template=template)


@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet", "csv"])
def test_a_file_in_a_common_form(tmp_path, suffix):
    table = Dataset.from_list([{"question": "1+1?", "answer": 2}, {"question": "2+2?", "answer": 4}])
    path = str(tmp_path / f"mine.{suffix}")
    {"csv": table.to_csv, "parquet": table.to_parquet}.get(suffix, table.to_json)(path)
    rows = load(path, template="none")
    assert rows["answer"][:] == ["2", "4"] and rows[1]["prompt"] == [{"role": "user", "content": "2+2?"}]


def test_a_file_of_verls(tmp_path):
    chat = [{"role": "system", "content": "Think."}, {"role": "user", "content": "1+1?"}]
    row = {"data_source": "aime", "prompt": chat, "reward_model": {"style": "rule", "ground_truth": "2"}}
    Dataset.from_list([row]).to_parquet(str(tmp_path / "v.parquet"))
    assert load(str(tmp_path / "v.parquet"))[0] == {
        "prompt": chat,
        "answer": "2",
        "source": "aime",
        "id": f"{tmp_path / 'v.parquet'}/0",
    }


def test_a_folder_with_splits(tmp_path):
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text(json.dumps({"problem": split, "answer": "1"}) + "\n")
    assert load(str(tmp_path), template="none", split="test")[0]["prompt"][0]["content"] == "test"
    assert load("math500", str(tmp_path), template="none")[0]["prompt"][0]["content"] == "test"
    assert "has no split 'dev'" in message(str(tmp_path), split="dev")


def test_prepared_rows_load_again(tmp_path):
    first = load("aime25", sample("aime25"), template="paper")
    first.to_parquet(str(tmp_path / "p.parquet"))
    assert load("aime25", str(tmp_path / "p.parquet")).to_list() == first.to_list()
    assert load(str(tmp_path / "p.parquet")).to_list() == first.to_list()


def test_what_is_missing_is_named(tmp_path):
    assert "expected problem, answer, level too, problem, level missing" in message("math-3to5", sample("gsm8k"))
    assert "has columns a: expected prompt, problem or question" in message(_written(tmp_path, [{"a": 1}]))
    assert "source='/absent.jsonl': no such file or folder" in message("amc23", "/absent.jsonl")
    assert "dataset='absent/data': not loaded" in message("absent/data")
    assert "is empty" in message("amc23", _written(tmp_path, []))
    path = tmp_path / "x.txt"
    path.write_text("x")
    assert "expected a file ending in .jsonl" in message("amc23", str(path))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "", "answer": "1"}, "question is empty"),
        ({"question": "?", "answer": " "}, "answer is empty"),
        ({"question": None, "answer": "1"}, "question is missing (null)"),
        ({"answer": "1"}, "question is missing (null)"),
        ({"question": "?"}, "answer is missing (null)"),
        ({"question": "?", "answer": None}, "answer is missing (null)"),
        ({"question": "?", "answer": ["3", "5"]}, "answer is a list, ['3', '5']: expected one answer"),
        ({"question": "?", "answer": []}, "answer is a list, []"),
        ({"question": "?", "answer": {"value": "3"}}, "answer is a dict"),
        ({"question": "?", "answer": True}, "answer is a bool, True"),
        ({"question": 7, "answer": "1"}, "question is an int, 7"),
        ({"question": get_template("paper").format(problem=""), "answer": "1"}, "question is a template"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, monkeypatch, row, said):
    monkeypatch.chdir(tmp_path)
    _written(tmp_path, [{"question": "1+1?", "answer": "2"}, row])
    for option, arguments in (("source", ("amc23", "rows.jsonl")), ("dataset", ("rows.jsonl",))):
        title, reason = page(*arguments).splitlines()[:2]
        assert title.startswith(f"{option}='rows.jsonl': 1 of 2 rows cannot be used")
        assert reason.startswith(f"  row 1: {said}")


def test_all_rows_that_cannot_be_used_are_on_one_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"question": "?", "answer": value} for value in ("1", None, "", ["2"], None, "3", {"a": 1})]
    _written(tmp_path, rows)
    assert page("rows.jsonl").splitlines() == [
        "dataset='rows.jsonl': 5 of 7 rows cannot be used (the first row is row 0)",
        "  rows 1, 4: answer is missing (null)",
        "  row 2: answer is empty",
        "  row 3: answer is a list, ['2']: expected one answer, or --alternatives where each of a list is",
        "      right",
        "  row 6: answer is a dict, {'a': 1}: expected text or a number",
        "Mend these rows, or take them out.",
    ]


@pytest.mark.parametrize("answer", ["1000", "-3", "1/2", 0.5, "²"])
def test_aime_answers_are_integers_to_999(tmp_path, answer):
    path = _written(tmp_path, [{"problem": "?", "answer": answer}])
    assert f"row 0: answer {str(answer)!r}: expected an integer from 0 to 999" in page("aime25", path)


@pytest.mark.parametrize("answer", ["twelve", "so ####", None])
def test_gsm8k_without_its_last_line(tmp_path, answer):
    found = page("gsm8k", _written(tmp_path, [{"question": "?", "answer": answer}]))
    assert "row 0: answer" in found and ("expected a line '#### ANSWER'" in found or answer is None)


def test_lists_are_alternatives_where_the_option_says_so(tmp_path):
    path = _written(tmp_path, [{"question": "1?", "answer": ["3", 5]}, {"question": "2?", "answer": "7"}])
    assert load(path, alternatives=True)["answer"][:] == [["3", "5"], ["7"]]
    assert [problem.answer for problem in read_problems(path, alternatives=True)] == [("3", "5"), "7"]
    path = _written(tmp_path, [{"question": "1?", "answer": "3"}, {"question": "2?", "answer": "7"}])
    assert load(path, alternatives=True)["answer"][:] == ["3", "7"]
    for wrong in ([], [None], [""], [["3"]], [float("nan")]):
        path = _written(tmp_path, [{"question": "1?", "answer": ["3"]}, {"question": "2?", "answer": wrong}])
        with pytest.raises(BadRows, match="row 1: answer is"):
            load(path, alternatives=True)


def test_alternatives_in_a_file_of_verls(tmp_path):
    rows = [
        {"data_source": "a", "prompt": f"{n}?", "reward_model": {"style": "rule", "ground_truth": truth}}
        for n, truth in enumerate((["3", "5"], ["7"]))
    ]
    path = _written(tmp_path, rows)
    assert load(path, alternatives=True)["answer"][:] == [["3", "5"], ["7"]]
    assert "rows 0, 1" not in page(path) and "--alternatives" in page(path)


def test_alternatives_of_a_known_data_set_are_each_read_by_its_rule(tmp_path):
    path = _written(tmp_path, [{"problem": "?", "answer": ["033", 7.0]}])
    assert load("aime25", path, alternatives=True)["answer"][:] == [["33", "7"]]


@pytest.mark.parametrize(
    ("reward_model", "said"),
    [
        (None, "answer is missing"),
        ({"style": "rule", "ground_truth": None}, "answer is missing"),
        ({"style": "rule"}, "reward_model is a dict, {'style': 'rule'}: expected a ground_truth"),
        ("3", "reward_model is a str, '3': expected a ground_truth"),
        ({"style": "rule", "ground_truth": {"a": 1}}, "answer is a dict"),
    ],
)
def test_verls_rows_without_a_reference(tmp_path, reward_model, said):
    rows = [{"prompt": "1?", "reward_model": {"style": "rule", "ground_truth": "2"}}]
    found = page(_written(tmp_path, [*rows, {"prompt": "2?", "reward_model": reward_model}]))
    assert f"row 1: {said}" in found


def test_messages_of_parts_are_read(tmp_path):
    parts = [{"type": "text", "text": "1 + "}, {"type": "text", "text": "1?"}]
    chats = [
        [{"role": "system", "content": "Think."}, {"role": "user", "content": parts}],
        [{"role": "user", "content": "2?"}],
    ]
    path = _written(tmp_path, [{"prompt": chat, "answer": "2"} for chat in chats])
    assert load(path)["prompt"][:] == [
        [{"role": "system", "content": "Think."}, {"role": "user", "content": "1 + 1?"}],
        [{"role": "user", "content": "2?"}],
    ]
    assert [problem.text for problem in read_problems(path)] == ["1 + 1?", "2?"]
    image = [{"role": "user", "content": [{"type": "image", "image": "a.png"}, *parts]}]
    path = _written(tmp_path, [{"prompt": image, "answer": "2"}])
    assert "a part that is no text" in page(path)


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1e-07, 0.5], ["0.0000001", "0.5"]),
        ([27.0, -3.0], ["27", "-3"]),
        ([27, 3], ["27", "3"]),
        ([0.1, 1e15], ["0.1", "1000000000000000"]),
    ],
)
def test_number_columns_are_read_as_they_print(tmp_path, suffix, values, texts):
    table = Dataset.from_list([{"question": "?", "answer": value} for value in values])
    path = str(tmp_path / f"numbers.{suffix}")
    {"csv": table.to_csv, "parquet": table.to_parquet}.get(suffix, table.to_json)(path)
    assert load(path)["answer"][:] == texts


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2.0**60, 1e300])
def test_numbers_that_are_no_answer(tmp_path, value):
    path = str(tmp_path / "numbers.parquet")
    Dataset.from_list([{"question": "?", "answer": 0.5}, {"question": "?", "answer": value}]).to_parquet(path)
    assert "row 1: answer is" in page(path)


def test_floats_that_are_whole_are_integers(tmp_path):
    assert load("amc23", _written(tmp_path, [{"question": "?", "answer": 27.0}]))["answer"][:] == ["27"]


def _written(folder: Path, rows: list[dict]) -> str:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_split_of_a_file_is_refused_since_it_has_none():
    assert "split='test'" in message(sample("aime24"), split="test")
    assert "split='test'" in message("aime24", sample("aime24"), split="test")
