"""Whole evaluations: what is saved, resumed to the same bytes, refused; with a scripted engine where it suffices."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from bandpo.data.rows import BadRows
from bandpo.evals.comparing import compare
from bandpo.evals.generation.prompts import encode
from bandpo.evals.generation.protocol import Sample
from bandpo.evals.generation.sampling import sample_seed
from bandpo.evals.planning import plan
from bandpo.evals.run import plan_batches, samples_file
from bandpo.evals.settings import EvalSettings
from bandpo.store.reward_calls import RewardError
from bandpo.tasks import countdown

OWN_REWARD = """
def longest(completions, prompts, label, log_metric, **_):
    texts = [c if isinstance(c, str) else c[0]["content"] for c in completions]
    log_metric("mine/share", sum(map(bool, texts)) / len(texts))
    return [float(len(text) >= wanted) / 2 + 0.5 for text, wanted in zip(texts, label, strict=True)]
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    # A module that is written anew within a second is not read from its cache.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    sys.modules.pop("my_rewards", None)
    (tmp_path / "my_rewards.py").write_text(OWN_REWARD)
    return tmp_path


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def lines(folder, name="countdown"):
    return [json.loads(line) for line in (folder.path / samples_file(name)).read_text().splitlines()]


class Scripted:
    """An engine that answers from a list, the same for the same seed, and can be cut off after some batches."""

    def __init__(self, texts, batches=None):
        self.texts, self.batches, self.calls = texts, batches, []

    def generate(self, requests, sampling, max_tokens):
        if self.batches is not None and len(self.calls) == self.batches:
            raise KeyboardInterrupt
        self.calls.append(requests)
        texts = [self.texts[request.seed % len(self.texts)] for request in requests]
        return [Sample([1] * (len(text) % 5 + 1), text, len(text) % 2 == 0, 0.25 * len(text)) for text in texts]


def settings(**options):
    return EvalSettings(**{"n": 4, "limit": 10, "batch_size": 7, **options})


def test_the_embedded_task_is_sampled_and_graded(here):
    planned = plan(settings(n=8, batch_size=16, limit=6), "out")
    result = planned.execute()
    problems = countdown.held_out_problems()[:6]
    records = lines(planned.folder)
    assert sorted((r["problem"], r["sample"]) for r in records) == [(p, s) for p in range(6) for s in range(8)]
    for record in records:
        solved = countdown.solves(record["completion"], problems[record["problem"]])
        assert (record["reward"], record["correct"]) == (float(solved), solved)
        assert record["seed"] == sample_seed(0, "countdown", record["problem"], record["sample"])
        assert record["tokens"] == 7 and record["truncated"] is None and record["surprisal_sum"] is None
    scores = result["scores"]["countdown"]
    assert scores["mean@8"]["value"] == pytest.approx(sum(r["reward"] for r in records) / 48)
    assert scores["entropy"]["value"] == pytest.approx(sum(r["entropy_sum"] for r in records) / (48 * 7))
    assert scores["uses *"]["value"] == pytest.approx(sum("*" in r["completion"] for r in records) / 48)
    assert "truncated" not in scores and list(scores)[:5] == ["mean@8", "pass@1", "pass@2", "pass@4", "pass@8"]
    kept = json.loads((here / "out" / "result.json").read_text())
    assert kept["scores"] == result["scores"] and kept["command"].startswith("bandpo")
    assert kept["settings"]["model.sha256"] and kept["settings"]["version.torch"]
    assert kept["machine"]["cpus"] and kept["intervals"]["seed"] == 0
    asked = [json.loads(line) for line in (here / "out" / "countdown.problems.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in asked] == [problem.prompt for problem in problems]


@pytest.mark.parametrize("batch_size", [1, 11, 1000])
def test_samples_do_not_depend_on_batches(batch_size):
    first, other = (plan(settings(batch_size=size), f"out{size}") for size in (7, batch_size))
    results = [planned.execute()["scores"]["countdown"] for planned in (first, other)]
    completions = [{(r["problem"], r["sample"]): r["completion"] for r in lines(p.folder)} for p in (first, other)]
    assert completions[0] == completions[1]
    assert results[0]["mean@4"] == results[1]["mean@4"]
    assert results[0]["entropy"]["value"] == pytest.approx(results[1]["entropy"]["value"], rel=1e-6)


def changed(line, **values):
    record = {**json.loads(line), **values}
    return json.dumps({name: value for name, value in record.items() if value is not ...})


DAMAGES = {
    "not JSON": lambda line: line[:-5],
    "a list": lambda line: "[1]",
    "zeros": lambda line: "\0" * len(line),
    "no problem": lambda line: changed(line, problem=...),
    "no reward": lambda line: changed(line, reward=None),
    "a reward in words": lambda line: changed(line, reward="1.0"),
    "a contradiction": lambda line: changed(line, reward=0.5, correct=True),
    "tokens in words": lambda line: changed(line, tokens="3"),
    "no text": lambda line: changed(line, completion=3),
    "logged words": lambda line: changed(line, logged={"a": "b"}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_line_is_said_and_its_batch_drawn_again(here, damage, capsys):
    texts = ["1 + 2", "3", "", "4 - 1 + 2 * 3"]
    whole = plan(settings(), "whole")
    whole.execute(Scripted(texts))
    saved = (here / "whole" / samples_file("countdown")).read_text().splitlines()
    broken = plan(settings(), "broken")
    (here / "broken" / samples_file("countdown")).write_text("\n".join([*saved[:9], damage(saved[9]), *saved[10:], ""]))
    engine = Scripted(texts)
    assert broken.samples_done() == 39
    result = broken.execute(engine)
    assert len(engine.calls) == 1 and "left out" in capsys.readouterr().err
    found = (here / "broken" / samples_file("countdown")).read_text().splitlines()
    assert sorted(found) == sorted(saved) and result["scores"] == whole.folder.result()["scores"]


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_damaged_result_is_made_again_from_the_samples(here, content):
    first = plan(settings(), "out").execute(Scripted(["1"]))
    (here / "out" / "result.json").write_text(content)
    again = plan(settings(), "out")
    assert not again.is_complete and again.execute(Scripted([], batches=0))["scores"] == first["scores"]


@pytest.mark.parametrize("content", ["", "- 1", "a: [", "3"])
def test_damaged_settings_are_named_and_moved_aside_where_asked(here, content):
    plan(settings(), "out").execute(Scripted(["1"]))
    (here / "out" / "config.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"config\.yaml is damaged .*--overwrite"):
        plan(settings(), "out")
    assert plan(settings()).folder.path.name == "eval-countdown-countdown"
    anew = plan(settings(), "out", overwrite=True)
    assert not anew.is_complete and anew.samples_done() == 0
    assert len((here / "out.old-1" / samples_file("countdown")).read_text().splitlines()) == 40


def test_the_folder_without_a_name_is_never_one_of_others(here):
    plan(settings())
    (here / "runs" / "eval-countdown-countdown" / "config.yaml").write_text("[")
    (here / "runs" / "eval-countdown-countdown-2").mkdir()
    (here / "runs" / "eval-countdown-countdown-2" / "config.yaml").write_text("name: mine")
    assert plan(settings()).folder.path.name == "eval-countdown-countdown-3"


@pytest.mark.parametrize("ending", ["SystemExit(0)", "EOFError()"])
def test_a_reward_cannot_end_an_evaluation_quietly(here, monkeypatch, ending):
    monkeypatch.setattr("bandpo.evals.run.grade", lambda *_, **__: (_ for _ in ()).throw(eval(ending)))
    with pytest.raises(RuntimeError, match="the evaluation was ended from within by"):
        plan(settings(), "out").execute(Scripted(["1"]))


@pytest.mark.parametrize("damage", ["none", "torn line", "half a batch", "a foreign line"])
def test_what_was_cut_short_ends_as_if_unbroken(here, damage):
    texts = ["1 + 2", "3", "", "4 - 1 + 2 * 3"]
    whole = plan(settings(), "whole")
    whole.execute(Scripted(texts))
    broken = plan(settings(), "broken")
    with pytest.raises(KeyboardInterrupt):
        broken.execute(Scripted(texts, batches=3))
    path = here / "broken" / samples_file("countdown")
    saved = path.read_text()
    assert len(saved.splitlines()) == 21 and not broken.folder.is_complete()
    path.write_text(
        {
            "none": saved,
            "torn line": saved[:-30],
            "half a batch": "".join(saved.splitlines(keepends=True)[:-3]),
            "a foreign line": saved + json.dumps({"problem": 3, "sample": 99}) + "\n",
        }[damage]
    )
    del broken
    again, engine = plan(settings(), "broken"), Scripted(texts)
    result = again.execute(engine)
    assert len(engine.calls) == 6 - 3 + (damage in ("torn line", "half a batch"))
    assert path.read_bytes() == (here / "whole" / samples_file("countdown")).read_bytes()
    same = ("scores", "logged", "settings", "intervals")
    assert {n: result[n] for n in same} == {n: whole.folder.result()[n] for n in same}


def test_killed_it_resumes_to_the_same_bytes(here):
    """kill -9 in the middle, the same settings again, against a run that nothing interrupted."""
    options = ["--n", "16", "--limit", "24", "--batch-size", "8", "--output-dir", "killed"]
    command = [sys.executable, "-m", "bandpo", "eval", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    path = here / "killed" / samples_file("countdown")
    deadline = time.time() + 120
    while not (path.is_file() and path.stat().st_size > 4_000) and time.time() < deadline:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    saved, total = len(path.read_text().splitlines()), 16 * 24
    assert 0 < saved < total and not (here / "killed" / "result.json").exists()
    killed, unbroken = (plan(EvalSettings(n=16, limit=24, batch_size=8), folder) for folder in ("killed", "unbroken"))
    results = [planned.execute() for planned in (killed, unbroken)]
    assert path.read_bytes() == (here / "unbroken" / samples_file("countdown")).read_bytes()
    assert results[0]["scores"] == results[1]["scores"] and results[0]["settings"] == results[1]["settings"]
    assert results[0]["timing"]["samples_in_them"] <= total - saved + 8 and unbroken.samples_done() == total


def test_a_finished_folder_is_shown_again_and_nothing_is_drawn():
    first = plan(settings(), "out").execute(Scripted(["1"]))
    again = plan(settings(), "out")
    assert again.is_complete and again.execute(Scripted(["2"], batches=0)) == json.loads(json.dumps(first))
    anew = plan(settings(), "out", overwrite=True)
    assert not anew.is_complete and anew.samples_done() == 0


@pytest.mark.parametrize("is_finished", [True, False])
@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        ({"temperature": 0.5}, "temperature=1.0, now 0.5"),
        ({"n": 5}, "k="),
        ({"seed": 1}, "seed=0, now 1"),
        ({"limit": 9}, "countdown.problems=10, now 9"),
        ({"batch_size": 8}, "batch_size=7, now 8"),
    ],
)
def test_settings_are_never_mixed_in_a_folder(change, phrase, is_finished):
    planned = plan(settings(), "out")
    if is_finished:
        planned.execute(Scripted(["1"]))
    del planned
    with pytest.raises(ValueError, match=f"holds an evaluation with {phrase}.*--output-dir or --overwrite"):
        plan(settings(**change), "out")


def test_another_model_of_the_same_name_is_another_evaluation(here, model_folder):
    import shutil

    shutil.copytree(model_folder, here / "model")
    tasks = write_jsonl(here / "sums.jsonl", [{"prompt": "1 + 2", "answer": "3"}])
    options = {"model": "model", "tasks": tasks, "max_tokens": 5}
    plan(settings(**options), "out").execute(Scripted(["3"]))
    (here / "model" / "training_args.bin").write_bytes(b"not the model")
    assert plan(settings(**options), "out").is_complete
    weights = here / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"model\.sha256="):
        plan(settings(**options), "out")


def test_the_folder_without_a_name_is_the_same_for_the_same_settings():
    names = [str(plan(settings(seed=seed)).folder.path) for seed in (0, 1, 0)]
    assert names == ["runs/eval-countdown-countdown", "runs/eval-countdown-countdown-2", names[0]]


def test_math_problems_from_a_file_are_graded_and_vote(here, model_folder):
    """Right answers in any form are one vote, what is in no box or answer line abstains."""
    tasks = write_jsonl(here / "halves.jsonl", [{"problem": "1 / 2 ?", "answer": "1/2"}])
    texts = [r"\boxed{0.5}", r"\boxed{\frac{1}{2}}", r"so \boxed{2}", "no idea"]
    planned = plan(settings(model=str(model_folder), tasks=tasks, n=16, max_tokens=9), "out")
    result = planned.execute(Scripted(texts))
    records = lines(planned.folder, "halves")
    assert {r["completion"]: (r["reward"], r["answer"]) for r in records} == {
        texts[0]: (1.0, "0.5"), texts[1]: (1.0, r"\frac{1}{2}"), texts[2]: (0.0, "2"), texts[3]: (0.0, None),
    }  # fmt: skip
    count = {text: sum(r["completion"] == text for r in records) for text in texts}
    assert max(count[texts[0]], count[texts[1]]) <= count[texts[2]] < count[texts[0]] + count[texts[1]]
    scores = result["scores"]["halves"]
    assert scores["maj@16"]["value"] == 1.0 and scores["mean@16"]["value"] < 1
    assert scores["mean@16"]["low"] is None and scores["mean@16"]["why"] == "a single problem"
    assert result["settings"]["halves.reward"] == "bandpo.rewards.math_reward"
    assert result["logged"]["halves"] == {"math_reward/refused": 0.0, "math_reward/unread": 0.0}
    (problem,) = [json.loads(line) for line in (here / "out" / "halves.problems.jsonl").read_text().splitlines()]
    assert problem["prompt"][0]["content"].startswith("1 / 2 ?\n\nPlease reason")
    assert problem["columns"]["answer"] == "1/2"


def test_a_known_set_from_a_copy_and_the_papers_rule(here, model_folder, pytestconfig):
    source = pytestconfig.rootpath / "tests/data/samples/aime24.jsonl"
    options = {"model": str(model_folder), "tasks": f"aime24={source}", "limit": 2, "max_tokens": 9, "plain": True}
    with pytest.raises(ValueError, match=r"aime24: problem 1 has 192 tokens, expected fewer than .* 128 positions"):
        plan(settings(**options), "out")
    reward = "bandpo.rewards.answer_line_reward"
    planned = plan(settings(**{**options, "limit": 1}, template="{problem:.20}", reward=reward), "out")
    planned.execute(Scripted(["Answer: 47", r"\boxed{47}"]))
    records = lines(planned.folder, "aime24")
    assert {(r["completion"], r["reward"], r["answer"]) for r in records} == {
        ("Answer: 47", 1.0, "47"), (r"\boxed{47}", -1.0, None),
    }  # fmt: skip


def test_a_reward_of_ones_own_gets_rows_as_they_are(here, model_folder):
    rows = [{"prompt": [{"role": "user", "content": f"{i} ?"}], "label": i} for i in range(3)]
    tasks = write_jsonl(here / "own.jsonl", rows)
    options = {"model": str(model_folder), "tasks": tasks, "max_tokens": 6, "reward": "my_rewards.longest"}
    planned = plan(settings(**options), "out")
    result = planned.execute()
    for record in lines(planned.folder, "own"):
        assert record["reward"] == (1.0 if len(record["completion"]) >= record["problem"] else 0.5)
        assert record["answer"] == (record["completion"].strip() or None)
    scores = result["scores"]["own"]
    assert scores["truncated"]["value"] == pytest.approx(sum(r["truncated"] for r in lines(planned.folder, "own")) / 12)
    assert 0 < scores["truncated"]["value"] < 1 and "mine/share" in result["logged"]["own"]


FAILING = {
    "value": ("raise ValueError('mine')", RewardError, "reward 'my_rewards.failing' raised ValueError at problem 2"),
    "exit": ("raise SystemExit(0)", RewardError, "raised SystemExit at problem 2 of .*own.jsonl .id 2.: 0"),
    "end": ("raise EOFError", RewardError, "raised EOFError at problem 2"),
    "inf": ("return [float('inf')] * len(label)", ValueError, "'my_rewards.failing' gave inf for problem 2 of"),
    "text": ("return ['1.0'] * len(label)", ValueError, "gave a str, '1.0', for problem 2 of .*: expected a number"),
    "few": ("return [1.0]", ValueError, "gave 1 values for 4 completions"),
}


@pytest.mark.parametrize("kind", FAILING)
def test_a_reward_that_fails_keeps_what_was_drawn_before(here, model_folder, kind):
    """The longest prompts come first; the batch of problem 2 fails, and a mended function goes on after the others."""
    line, error, message = FAILING[kind]
    source = (
        f"def failing(completions, label, **_):\n    if 2 in label:\n        {line}\n    return [1.0] * len(label)\n"
    )
    (here / "my_rewards.py").write_text(source)
    rows = [{"prompt": [{"role": "user", "content": "1 + " * (4 - i) + "1 ?"}], "label": i} for i in range(4)]
    options = {"model": str(model_folder), "tasks": write_jsonl(here / "own.jsonl", rows), "max_tokens": 5}
    options |= {"reward": "my_rewards.failing", "n": 4, "batch_size": 4}
    planned = plan(settings(**options), "out")
    with pytest.raises(error, match=message):
        planned.execute(Scripted(["3", "7"]))
    assert planned.samples_done() == 8 and not (here / "out" / "result.json").exists()
    (here / "my_rewards.py").write_text(
        "def failing(completions, **_):\n    return [1.0] * len(completions)  # mended\n"
    )
    sys.modules.pop("my_rewards")
    engine = Scripted(["3", "7"])
    assert plan(settings(**options), "out").execute(engine)["scores"]["own"]["mean@4"]["value"] == 1.0
    assert len(engine.calls) == 2


def scored(here, model_folder, name, values):
    """An evaluation of three problems, two samples each, with these rewards by label and whether it is the first."""
    (here / "my_rewards.py").write_text(
        f"nan = float('nan')\nVALUES = {values!r}\n"
        "def given(completions, label, **_):\n    return [VALUES[i][n % 2] for n, i in enumerate(label)]\n"
    )
    sys.modules.pop("my_rewards", None)
    rows = [{"prompt": [{"role": "user", "content": f"{i} ?"}], "label": i} for i in range(3)]
    options = {"model": str(model_folder), "tasks": write_jsonl(here / "own.jsonl", rows), "max_tokens": 5}
    return plan(settings(**options, reward="my_rewards.given", n=2, batch_size=2), name).execute(Scripted(["3"]))


def test_samples_without_a_reward_are_left_out(here, model_folder):
    result = scored(here, model_folder, "out", [[None, None], [1.0, float("nan")], [0.5, 1.0]])
    scores = {name: entry["value"] for name, entry in result["scores"]["own"].items()}
    assert scores["mean@2"] == pytest.approx((1.0 + 0.75) / 2)
    assert scores["pass@1"] == pytest.approx((1.0 + 0.5) / 2), "problem 1 by one sample, problem 2 by two"
    assert scores["pass@2"] == 1.0 and scores["unscored"] == pytest.approx(0.5)
    records = [json.loads(line) for line in (here / "out" / "own.samples.jsonl").read_text().splitlines()]
    assert [r["reward"] for r in records] == [None, None, 1.0, None, 0.5, 1.0]
    assert [r["correct"] for r in records] == [None, None, True, None, False, True]


def test_a_reward_that_never_applies_gives_no_score(here, model_folder):
    scored(here, model_folder, "out", [[None, None]] * 3)
    result = json.loads((here / "out" / "result.json").read_text())
    entry = result["scores"]["own"]["mean@2"]
    assert entry["value"] is entry["low"] is None and entry["why"] == "no problem has a score"
    assert result["scores"]["own"]["unscored"]["value"] == 1.0 and result["scores"]["own"]["length"]["value"] > 0
    scored(here, model_folder, "other", [[0.0, 1.0]] * 3)
    entry = compare("out", "other")["differences"]["own"]["mean@2"]
    assert entry["why"] == "no problem has a score in both" and entry["p"] is None


def test_a_comparison_is_of_problems_that_have_a_score_in_both(here, model_folder):
    scored(here, model_folder, "a", [[None, None], [1.0, 1.0], [0.0, 1.0]])
    scored(here, model_folder, "b", [[5.0, 5.0], [0.0, 0.0], [0.0, None]])
    entry = compare("a", "b")["differences"]["own"]["mean@2"]
    assert (entry["a"], entry["b"]) == (0.75, 0.0) and entry["difference"] == 0.75


def test_rows_are_looked_at_before_anything_is_drawn(here, model_folder):
    (here / "my_rewards.py").write_text(
        "def given(completions, answer, **_):\n    return [1.0] * len(completions)\n"
        "def check(answer):\n    if answer is None:\n        raise ValueError('answer is missing')\n"
        "given.check_answer = check\n"
    )
    rows = [{"prompt": p, "answer": a} for p, a in (("1 ?", "2"), ("", "2"), ("3 ?", None), (None, "4"))]
    options = {"model": str(model_folder), "tasks": write_jsonl(here / "own.jsonl", rows), "max_tokens": 5}
    with pytest.raises(BadRows) as caught:
        plan(settings(**options, reward="my_rewards.given"), "out")
    assert caught.value.page.splitlines()[-4:] == [
        "  row 1: prompt is empty",
        "  row 2: answer is missing",
        "  row 3: prompt is missing (null)",
        "Mend these rows, or take them out.",
    ]
    options["tasks"] = write_jsonl(here / "math.jsonl", [{"problem": "1 ?", "answer": "2"}, {"problem": "2 ?"}])
    with pytest.raises(BadRows, match="row 1: answer is missing"):
        plan(settings(**options), "out")
    options["tasks"] = write_jsonl(here / "own.jsonl", [{"prompt": "1 ?", "completions": "x"}])
    with pytest.raises(ValueError, match="has a column 'completions', which rewards get from TRL"):
        plan(settings(**options, reward="my_rewards.given"), "out")
    assert not (here / "out").exists()


def test_messages_of_parts_and_names_with_commas(here, model_folder):
    parts = [{"role": "user", "content": [{"type": "text", "text": "1 +"}, {"type": "text", "text": " 2 ?"}]}]
    plain = [{"role": "user", "content": "1 + 2 ?"}]
    options = {"model": str(model_folder), "max_tokens": 5, "reward": "my_rewards.longest"}
    for is_plain in (False, True):
        engines = []
        for number, prompt in enumerate((parts, plain)):
            tasks = write_jsonl(here / f"a=b,[{number}].jsonl", [{"prompt": prompt, "label": 1}])
            engines.append(Scripted(["3"]))
            plan(settings(**options, tasks=tasks, plain=is_plain), f"out{number}{is_plain}").execute(engines[-1])
        assert engines[0].calls[0][0].prompt == engines[1].calls[0][0].prompt


def test_chat_prompts_go_through_the_models_template_with_its_options(here, model_folder, tokenizer):
    tasks = write_jsonl(here / "sums.jsonl", [{"prompt": [{"role": "user", "content": "1 + 2 ?"}], "answer": "3"}])
    options = {"model": str(model_folder), "tasks": tasks, "max_tokens": 5}
    engine = Scripted(["3"])
    plan(settings(**options, chat_template_kwargs={"suffix": "7"}), "chat").execute(engine)
    (expected,) = encode(tokenizer, [[{"role": "user", "content": "1 + 2 ?"}]], {"suffix": "7"})
    assert engine.calls[0][0].prompt == tuple(expected)
    engine = Scripted(["3"])
    plan(settings(**options, plain=True), "plain").execute(engine)
    assert engine.calls[0][0].prompt == tuple(tokenizer("1 + 2 ?")["input_ids"])


def test_several_tasks_in_one_folder(here, model_folder):
    tasks = [write_jsonl(here / f"{name}.jsonl", [{"prompt": f"{name} ?", "answer": "1"}] * 2) for name in "ab"]
    planned = plan(settings(model=str(model_folder), tasks=", ".join(tasks), max_tokens=5, template="none"), "out")
    result = planned.execute(Scripted([r"\boxed{1}", "2"]))
    assert list(result["scores"]) == ["a", "b"] and planned.samples_total() == 16 == planned.samples_done()
    assert [r["seed"] for r in lines(planned.folder, "a")] != [r["seed"] for r in lines(planned.folder, "b")]


def test_a_missing_grader_is_known_before_anything_is_drawn(here, model_folder, monkeypatch):
    tasks = write_jsonl(here / "sums.jsonl", [{"prompt": "1 + 2 ?", "answer": "3"}])
    monkeypatch.setattr("bandpo.evals.problems.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="python-flint"):
        plan(settings(model=str(model_folder), tasks=tasks, max_tokens=5), "out")
    assert plan(settings(), "out").samples_total() == 40, "countdown needs none"


def test_batches_are_longest_first_and_whole():
    batches = plan_batches([2, 9, 9, 4], n=3, batch_size=5)
    assert [p for batch in batches for p, _ in batch] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 0, 0, 0]
    assert [len(batch) for batch in batches] == [5, 5, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n=0: expected at least 1"),
        ({"temperature": 0.0}, "temperature=0 with n=4: greedy samples are all alike, expected n=1"),
        ({"temperature": 0.001}, "temperature=0.001: expected 0 .greedy. or at least 0.01"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"top_p": 0.0}, "top_p=0.0: expected above 0"),
        ({"k": [5]}, "k=5: expected 1 <= k <= 4"),
        ({"dtype": "int8"}, "dtype='int8': expected one of auto"),
        ({"seed": -1}, "seed=-1: expected at least 0"),
        ({"tasks": " , "}, "tasks=' , ': expected names or files"),
        ({"tasks": "countdown,countdown"}, "countdown twice"),
        ({"tasks": "absent.jsonl"}, "'absent.jsonl': no such file"),
        ({"limit": 0}, "limit=0: expected at least 1"),
        ({"reward": "bandpo.rewards.math_reward"}, "reward='bandpo.rewards.math_reward': countdown has its own"),
        ({"template": "paper"}, "template='paper': countdown has its own"),
        ({"max_tokens": 8}, "max_tokens=8 of countdown: the model has 13 positions.*expected at most 7"),
        ({"model": "./absent"}, "model='./absent': no such folder"),
        ({"revision": "main"}, "countdown is an embedded task, expected a Hub id"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        plan(settings(**options), "out")


def test_a_chat_without_template_is_refused(here, model_folder):
    tasks = write_jsonl(here / "sums.jsonl", [{"prompt": "1 + 2 ?", "answer": "3"}])
    with pytest.raises(ValueError, match=r"model='countdown' has no chat template.*--plain"):
        plan(settings(tasks=tasks), "out")
    tasks = write_jsonl(here / "own.jsonl", [{"text": "1 + 2 ?"}])
    with pytest.raises(ValueError, match="expected one named 'prompt'"):
        plan(settings(tasks=tasks, reward="my_rewards.longest"), "out")
    tasks = write_jsonl(here / "own.jsonl", [{"prompt": "1 + 2 ?"}])
    with pytest.raises(ValueError, match="expected no template"):
        plan(settings(tasks=tasks, reward="my_rewards.longest", template="none"), "out")
    with pytest.raises(ValueError, match=r"revision='main'.*is a folder"):
        plan(settings(model=str(model_folder), revision="main"), "out")
