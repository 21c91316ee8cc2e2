"""Duplicates, lengths, files for TRL and verl, the command; and training on what it wrote."""

import itertools
import json
import random
from pathlib import Path

import pytest
import torch
from datasets import load_dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from typer.testing import CliRunner

from bandpo.cli.app import app
from bandpo.data import duplicates, prepare
from bandpo.data.duplicates import normal_form, shingles
from bandpo.data.preparing import prompt_lengths

SAMPLES = Path(__file__).parent / "samples"
DAPO = str(SAMPLES / "dapo-math-17k.parquet")
TESTS = [f"{name}={SAMPLES / name}.jsonl" for name in ("aime24", "aime25", "amc23")]
WORDS = [f"w{n}" for n in range(400)]


def jaccard(a: str, b: str) -> float:
    return len(shingles(a) & shingles(b)) / len(shingles(a) | shingles(b))


@pytest.fixture(scope="module")
def tokenizer():
    """One token for each byte, with a chat template."""
    tokens = Tokenizer(models.BPE({c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, []))
    tokens.pre_tokenizer, tokens.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token="<pad>", eos_token="<eos>")
    made.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    return made


def test_typesetting_makes_no_difference():
    same = [
        "Let $x\\leq 3$. Find $\\dfrac{1}{x}$.",
        "let  x \\le 3. find\\frac 1x",
        "Let $x\\le3$.  Find $\\tfrac{1}{x}$",
    ]
    assert len({normal_form(text) for text in same}) == 1
    assert normal_form("Find 12.") != normal_form("Find 21.")


def test_exact_duplicates_and_only_they_where_near_is_1():
    texts = ["Find $x$.", "Find y.", "find x", "Find x and y.", "find  $y$ ."]
    assert [(d.row, d.of, d.similarity) for d in duplicates(texts, near=1.0)] == [(2, 0, 1.0), (4, 1, 1.0)]


def test_near_duplicates_are_those_of_the_full_comparison():
    rng = random.Random(0)
    originals = [" ".join(rng.choices(WORDS, k=60)) for _ in range(40)]
    changed = []
    for text in originals:
        words = text.split()
        for place in rng.sample(range(60), rng.randint(0, 9)):
            words[place] = rng.choice(WORDS)
        changed.append(" ".join(words))
    expected = {
        (i, j) for (i, a), (j, b) in itertools.product(enumerate(changed), enumerate(originals)) if jaccard(a, b) >= 0.7
    }
    assert 10 < len(expected) < 40
    assert {(d.row, d.of) for d in duplicates(changed, originals, near=0.7)} == expected


def test_near_duplicates_with_another_answer_are_other_problems():
    long = (
        "A farmer has {} hens and sells a third of them at the market for three coins each, how many coins does he get?"
    )
    texts = [long.format(30), long.format(60), long.format(30).replace("market", "fair")]
    assert [d.row for d in duplicates(texts, near=0.6)] == [1, 2]
    assert [d.row for d in duplicates(texts, near=0.6, answers=["30", "60", "30"])] == [2]


@pytest.mark.parametrize("near", [0, -0.1, 1.1, float("nan")])
def test_similarity_out_of_range(near):
    with pytest.raises(ValueError, match=f"near={near}: expected a similarity"):
        duplicates(["a"], near=near)


def test_prepared_files(tmp_path):
    report = prepare("dapo-math-17k", tmp_path, source=DAPO, template="paper", against=TESTS)
    assert (report.rows, report.kept) == (13, 10)
    assert [(row["id"], row["of"]) for row in report.repeated] == [("dapo-math-17k/12", "dapo-math-17k/11")]
    assert sorted((row["id"], row["of"]) for row in report.in_tests) == [
        ("dapo-math-17k/10", "aime25/2"),
        ("dapo-math-17k/11", "aime24/67"),
    ]
    assert json.loads((tmp_path / "dapo-math-17k.report.json").read_text())["in_tests"] == report.in_tests
    trl = load_dataset("parquet", data_files=str(tmp_path / "dapo-math-17k.trl.parquet"), split="train")
    verl = load_dataset("parquet", data_files=str(tmp_path / "dapo-math-17k.verl.parquet"), split="train")
    assert trl.column_names == ["prompt", "answer", "source", "id"] and len(trl) == len(verl) == 10
    assert verl.column_names == ["data_source", "prompt", "ability", "reward_model", "extra_info"]
    for index, (ours, theirs) in enumerate(zip(trl, verl, strict=True)):
        assert theirs["prompt"] == ours["prompt"] and theirs["data_source"] == "dapo-math-17k"
        assert theirs["reward_model"] == {"style": "rule", "ground_truth": ours["answer"]}
        assert theirs["extra_info"] == {"split": "train", "index": index, "id": ours["id"]}
    assert not list(tmp_path.glob("*.partial"))


def test_prompts_are_measured_in_their_chat_template(tmp_path, tokenizer):
    every = prepare("amc23", tmp_path, source=str(SAMPLES / "amc23.jsonl"), formats=["trl"])
    texts = load_dataset("parquet", data_files=every.files, split="train")["prompt"]
    lengths = [len(f"user: {p[0]['content']}\nassistant: ".encode()) for p in texts]
    limit = sorted(lengths)[4]
    report = prepare(
        "amc23", tmp_path, source=str(SAMPLES / "amc23.jsonl"), max_prompt_tokens=limit, tokenizer=tokenizer
    )
    assert [row["tokens"] for row in report.too_long] == [n for n in lengths if n > limit]
    assert report.kept == sum(n <= limit for n in lengths)


def test_nothing_left_is_an_error(tmp_path, tokenizer):
    with pytest.raises(ValueError, match="no row of 9 is left, expected"):
        prepare("amc23", tmp_path, source=str(SAMPLES / "amc23.jsonl"), max_prompt_tokens=1, tokenizer=tokenizer)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options, said",
    [
        ({"formats": ["csv"]}, "format='csv': expected trl, verl or both"),
        ({"max_prompt_tokens": 0}, "max_prompt_tokens=0: expected at least 1"),
        ({"max_prompt_tokens": 9}, "max_prompt_tokens=9: expected a tokenizer"),
        ({"against": ["aime24=/absent.jsonl"]}, "source='/absent.jsonl': no such file or folder"),
        ({"template": "nothing"}, "template='nothing': expected"),
    ],
)
def test_mistakes(tmp_path, options, said):
    with pytest.raises(ValueError, match=said):
        prepare("amc23", tmp_path, source=str(SAMPLES / "amc23.jsonl"), **options)


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listed = CliRunner().invoke(app, ["data", "list"])
    assert listed.exit_code == 0 and "open-r1/DAPO-Math-17k-Processed" in listed.stdout
    options = [
        "--source",
        DAPO,
        "--out",
        "out",
        "--template",
        "paper",
        "--format",
        "verl",
        "--against",
        ",".join(TESTS),
    ]
    done = CliRunner().invoke(app, ["data", "prepare", "dapo-math-17k", *options])
    assert done.exit_code == 0
    assert "10 of 13 problems kept (1 repeated, 2 in a test set, 0 too long)" in done.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "dapo-math-17k.report.json",
        "dapo-math-17k.verl.parquet",
    ]


def test_the_command_says_what_is_wrong(tmp_path, bandpo_here):
    wrong = bandpo_here(["data", "prepare", "math500", "--source", DAPO, "--out", "out"], tmp_path)
    assert wrong.returncode == 2 and wrong.stdout == ""
    assert wrong.stderr.startswith("bandpo data prepare: source=") and wrong.stderr.count("\n") == 1


def rows_file(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_alternatives_stay_lists_in_both_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows_file(tmp_path / "mine.jsonl", {"problem": "1?", "answer": ["3", "5"]}, {"problem": "2?", "answer": "7"})
    refused = CliRunner().invoke(app, ["data", "prepare", "mine.jsonl", "--out", "out"])
    assert refused.exit_code == 2 and "row 0: answer is a list" in refused.stderr and "--alternatives" in refused.stderr
    assert max(map(len, refused.stderr.splitlines())) <= 100 and not (tmp_path / "out").exists()
    done = CliRunner().invoke(app, ["data", "prepare", "mine.jsonl", "--out", "out", "--alternatives"])
    assert done.exit_code == 0, done.output
    trl = load_dataset("parquet", data_files="out/mine.trl.parquet", split="train")
    verl = load_dataset("parquet", data_files="out/mine.verl.parquet", split="train")
    assert trl["answer"][:] == [row["ground_truth"] for row in verl["reward_model"]] == [["3", "5"], ["7"]]


def test_near_duplicates_have_the_same_alternatives(tmp_path):
    text = "A farmer has {} hens and sells a third of them at the market for three coins each, how many coins?"
    problems = [text.format(30), text.format(30).replace("market", "fair"), text.format(30).replace("market", "shop")]
    rows = [{"problem": p, "answer": a} for p, a in zip(problems, (["3", "5"], ["3", "5"], ["3"]), strict=True)]
    report = prepare(rows_file(tmp_path / "m.jsonl", *rows), tmp_path / "out", near=0.6, alternatives=True)
    assert [row["id"].rpartition("/")[2] for row in report.repeated] == ["1"]


def test_answers_of_a_test_set_may_be_of_either_kind(tmp_path):
    train = rows_file(tmp_path / "train.jsonl", {"problem": "Find x.", "answer": "1"}, {"problem": "y?", "answer": "2"})
    test = rows_file(tmp_path / "a=b,c.jsonl", {"problem": "find  x", "answer": ["1", "2"]})
    assert [row["of"] for row in prepare(train, tmp_path / "out", against=[test]).in_tests] == [f"{test}/0"]


def test_messages_of_parts_are_measured_and_compared(tmp_path, tokenizer):
    def chat(*texts):
        return [{"role": "user", "content": [{"type": "text", "text": text} for text in texts]}]

    rows = [{"prompt": chat("Find ", "x."), "answer": "1"}, {"prompt": chat("Find $x$."), "answer": "1"}]
    long = [{"prompt": [{"role": "user", "content": "Find another number."}], "answer": "2"}]
    report = prepare(
        rows_file(tmp_path / "m.jsonl", *rows, *long),
        tmp_path / "out",
        max_prompt_tokens=len("user: Find x.\nassistant: "),
        tokenizer=tokenizer,
    )
    assert (len(report.repeated), len(report.too_long), report.kept) == (1, 1, 1)
    written = load_dataset("parquet", data_files=report.files[0], split="train")
    assert written["prompt"][0] == [{"role": "user", "content": "Find x."}]


def test_lengths_of_prompts_of_parts_without_a_template(tokenizer):
    parts = [[{"role": "user", "content": [{"type": "text", "text": "1+"}, {"type": "text", "text": "1?"}]}]]
    for template in (tokenizer.chat_template, None):
        tokenizer.chat_template, saved = template, tokenizer.chat_template
        try:
            plain = [[{"role": "user", "content": "1+1?"}]]
            assert prompt_lengths({"prompt": parts}, tokenizer) == prompt_lengths({"prompt": plain}, tokenizer)
        finally:
            tokenizer.chat_template = saved


def test_training_on_what_was_prepared(tmp_path, tokenizer, bandpo_here):
    prepare("amc23", tmp_path, source=str(SAMPLES / "amc23.jsonl"), formats=["trl"])
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    config = Qwen2Config(
        vocab_size=len(tokenizer), eos_token_id=257, pad_token_id=256, bos_token_id=None, **sizes, **heads
    )
    Qwen2ForCausalLM(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    options = {
        "model": "model", "dataset": "amc23.trl.parquet", "reward": "bandpo.rewards.math_reward", "output_dir": "run",
        "per_device_train_batch_size": 4, "num_generations": 4, "gradient_accumulation_steps": 1,
        "steps_per_generation": 2, "max_steps": 2, "max_completion_length": 8, "logging_steps": 1,
    }  # fmt: skip
    done = bandpo_here(["train", *(f"--{name}={value}" for name, value in options.items())], tmp_path)
    assert done.returncode == 0, done.stderr
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert any(row.get("math_reward/refused") == 0.0 for row in metrics)
    assert all(0 <= row["rewards/math_reward/mean"] <= 1 for row in metrics if "rewards/math_reward/mean" in row)
