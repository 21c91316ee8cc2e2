"""Paired comparison: the right differences of the right problems, and folders that do not belong together."""

import json

import pytest

from bandpo.evals.comparing import compare
from bandpo.evals.generation.protocol import Sample
from bandpo.evals.planning import plan
from bandpo.evals.run import samples_file
from bandpo.evals.settings import EvalSettings
from bandpo.store.seal import SEAL


class Solver:
    """Answers countdown's problem i rightly in a share of its samples."""

    def __init__(self, tokenizer, share):
        self.tokenizer, self.share = tokenizer, share

    def generate(self, requests, sampling, max_tokens):
        return [self.sample(request) for request in requests]

    def sample(self, request):
        solved = request.seed % 100 < 100 * self.share
        text = solve(self.tokenizer.decode(request.prompt)) if solved else "1"
        return Sample([1, 2], text, False, 0.4 if solved else 0.8)


def solve(prompt):
    """A right answer by trying all."""
    from itertools import permutations, product

    from bandpo.tasks.countdown import Problem, evaluate_left_to_right

    problem = Problem.parse(prompt)
    for numbers in permutations(problem.numbers):
        for operators in product("+-*", repeat=3):
            if evaluate_left_to_right(numbers, operators) == problem.target:
                return " ".join(f"{n} {o}" for n, o in zip(numbers, operators, strict=False)) + f" {numbers[-1]}"
    raise AssertionError(prompt)


@pytest.fixture
def evaluated(tmp_path, monkeypatch):
    """(name, share of right answers, options) -> folder of a finished evaluation."""
    monkeypatch.chdir(tmp_path)

    def run(name, share, **options):
        planned = plan(EvalSettings(**{"n": 4, "limit": 20, **options}), name)
        planned.execute(Solver(planned.tokenizer, share))
        return tmp_path / name

    return run


def by_hand(folder, key):
    rows = [[] for _ in range(20)]
    for line in (folder / samples_file("countdown")).read_text().splitlines():
        record = json.loads(line)
        rows[record["problem"]].append(record[key])
    return rows


def test_differences_are_those_of_the_same_problems(evaluated):
    a, b = evaluated("a", 0.7), evaluated("b", 0.3)
    result = compare(a, b)["differences"]["countdown"]
    means = [[sum(row) / 4 for row in by_hand(folder, "reward")] for folder in (a, b)]
    entry = result["mean@4"]
    assert (entry["a"], entry["b"]) == (pytest.approx(sum(means[0]) / 20), pytest.approx(sum(means[1]) / 20))
    assert entry["difference"] == pytest.approx(entry["a"] - entry["b"]) and entry["difference"] > 0.2
    assert 0 < entry["low"] < entry["difference"] < entry["high"] and entry["p"] < 0.001
    entropy = result["entropy"]
    assert entropy["a"] == pytest.approx(sum(map(sum, by_hand(a, "entropy_sum"))) / 160)
    assert entropy["difference"] < 0 and entropy["p"] < 0.001
    length = result["length"]
    assert length["difference"] == 0 and length["p"] == 1.0 and length["why"] == "no problem differs"
    back = compare(b, a)["differences"]["countdown"]["mean@4"]
    assert back["difference"] == pytest.approx(-entry["difference"]) and back["p"] == pytest.approx(entry["p"], rel=0.5)


def test_the_same_evaluation_does_not_differ(evaluated):
    a = evaluated("a", 0.5)
    assert all(e["p"] == 1.0 and e["difference"] == 0 for e in compare(a, a)["differences"]["countdown"].values())


@pytest.mark.parametrize("options", [{"seed": 5}, {"batch_size": 3}])
def test_what_does_not_change_the_question_may_differ(evaluated, options):
    assert compare(evaluated("a", 0.5), evaluated("b", 0.5, **options))["differences"]["countdown"]


@pytest.mark.parametrize(
    ("options", "name"),
    [({"n": 3, "k": [1]}, "k=.*"), ({"limit": 19}, "countdown.problems=20"), ({"temperature": 0.5}, "temperature=1.0")],
)
def test_other_problems_or_settings_are_refused(evaluated, options, name):
    with pytest.raises(ValueError, match=f"a has {name}.*expected the same problems and settings"):
        compare(evaluated("a", 0.5), evaluated("b", 0.5, **options))


def test_folders_that_hold_no_finished_evaluation_are_refused(evaluated, tmp_path):
    a = evaluated("a", 0.5)
    with pytest.raises(ValueError, match="absent: no evaluation here"):
        compare(a, tmp_path / "absent")
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "config.yaml").write_text("method: grpo\n")
    with pytest.raises(ValueError, match="train: no evaluation here"):
        compare(tmp_path / "train", a)
    plan(EvalSettings(n=4, limit=20), "begun")
    with pytest.raises(ValueError, match="begun: not finished"):
        compare(a, tmp_path / "begun")
    path = evaluated("cut", 0.5) / samples_file("countdown")
    (path.parent / SEAL).unlink()
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(ValueError, match="has 79 samples: expected 80"):
        compare(a, tmp_path / "cut")


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("countdown.samples.jsonl", lambda text: text[: len(text) // 2], "samples: expected 80, each once"),
        ("countdown.samples.jsonl", lambda text: text + text.splitlines()[0], "80 samples: expected 80, each once"),
        ("countdown.samples.jsonl", lambda text: text.replace('"correct"', '"corrupt"', 1), "has 79 samples"),
        ("countdown.samples.jsonl", lambda text: text.replace('"problem": 0', '"problem": 99'), "has 76 samples"),
        ("config.yaml", lambda text: "a: [", "config.yaml is damaged .not YAML"),
        ("config.yaml", lambda text: "- a", "config.yaml is damaged .no mapping"),
        ("config.yaml", lambda text: text.replace("\nn: 4", ""), "it lacks n"),
        ("config.yaml", lambda text: text.replace("countdown.problems:", "problems:"), r"it lacks countdown\.problems"),
        ("result.json", lambda text: "{", "result.json is damaged"),
        ("result.json", lambda text: "", "result.json is damaged"),
    ],
)
@pytest.mark.parametrize("has_seal", [True, False])
def test_damaged_evaluations_are_not_compared(evaluated, name, change, expected, has_seal):
    """With a seal any change of a sample is seen; without one, of an older release, what is no sample."""
    a, b = evaluated("a", 0.5), evaluated("b", 0.9)
    if not has_seal:
        (a / SEAL).unlink()
    elif name == samples_file("countdown"):
        expected = "countdown.samples.jsonl is damaged"
    (a / name).write_text(change((a / name).read_text()))
    with pytest.raises(ValueError, match=expected):
        compare(a, b)
