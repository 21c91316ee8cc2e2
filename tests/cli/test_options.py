"""Options: flags over YAML over defaults, round trips, and errors that name option, value and expectation."""

import os
import sys

import pytest
import yaml

from bandpo.cli.options import parse_train, parser, recipes
from bandpo.runs.training import resolved


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe(here, content):
    path = here / "mine.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def error(*flags):
    with pytest.raises((ValueError, TypeError)) as caught:
        parse_train(list(flags))
    return str(caught.value)


def same(a, b):
    assert resolved(*a) == resolved(*b)


def test_the_recipe_is_countdown():
    run, args = parse_train([])
    assert (run.model, run.dataset) == ("countdown-2", "countdown") and args.method == "band-kl" and run.threads == 1
    assert args.max_steps == 2400 and args.use_cpu and not args.bf16
    same((run, args), parse_train(["--config", "countdown"]))


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (["--model", "countdown", "--dataset", "countdown"], "countdown"),
        (["--reward", "bandpo.tasks.countdown.reward"], "countdown"),
        (["--dataset", "mine.jsonl"], "general"),
        (["--model", "org/model"], "general"),
        (["--reward", "mine.fn"], "general"),
        (["--reward=mine.fn"], "general"),
    ],
)
def test_the_recipe_follows_from_what_is_named(flags, name):
    expected = yaml.safe_load(recipes()[name].read_text())
    _, args = parse_train(flags)
    assert args.learning_rate == expected["learning_rate"]
    assert args.max_completion_length == expected["max_completion_length"]


def test_every_recipe_parses_and_names_known_options_only():
    for name in recipes():
        run, args = parse_train(["--config", name, "--output_dir", "out"])
        content = yaml.safe_load(recipes()[name].read_text())
        for option, value in content.items():
            found = getattr(run, option) if hasattr(run, option) else getattr(args, option)
            assert found in (value, [value]) or (option == "report_to" and found == []), option


@pytest.mark.parametrize(
    "flags",
    [
        ["--learning_rate", "0.25"],
        ["--learning-rate", "0.25"],
        ["--learning_rate=0.25"],
        ["--learning-rate=2.5e-1"],
        ["--learning_rate", "0.25", "--learning-rate=0.25"],
    ],
)
def test_spellings_of_a_flag(flags):
    assert parse_train(flags)[1].learning_rate == 0.25


def test_a_value_may_hold_an_equals_sign_and_may_be_negative():
    run, args = parse_train(["--model=a=b", "--top_p=0.5", "--repetition_penalty", "1.5", "--entropy_coef=-0.5"])
    assert run.model == "a=b" and args.top_p == 0.5 and args.entropy_coef == -0.5


def test_flags_win_over_yaml_and_yaml_over_defaults(here):
    path = recipe(here, {"recipe": "none", "learning_rate": 0.5, "max_steps": 7, "use_cpu": True, "bf16": False})
    _, args = parse_train(["--config", path, "--max_steps", "9"])
    assert (args.learning_rate, args.max_steps, args.num_generations) == (0.5, 9, 8)
    same(parse_train([f"--config={path}"]), parse_train(["--config", path]))


def test_yaml_takes_numbers_as_yaml_writes_them(here):
    _, args = parse_train(
        ["--config", recipe(here, "learning_rate: 1e-4\nmax_steps: '12'\nuse_cpu: yes\nbf16: 'no'\n")]
    )
    assert args.learning_rate == 1e-4 and args.max_steps == 12 and args.use_cpu is True and args.bf16 is False


def test_yaml_sets_the_environment_and_says_so(here, monkeypatch):
    monkeypatch.delenv("BANDPO_MINE", raising=False)
    said = []
    path = recipe(here, "env:\n  BANDPO_MINE: yes\n")
    parse_train(["--config", path], said.append)
    assert os.environ.pop("BANDPO_MINE") == "yes"
    assert f"environment: {path} sets BANDPO_MINE=yes" in said


def test_lists_and_objects(here):
    path = recipe(
        here,
        {"reward": ["a.b", "c.d"], "reward_weights": [1.0, 0.5], "method_kwargs": {"max_ratio": 9}, "report_to": ["x"]},
    )
    run, args = parse_train(["--config", path])
    assert run.reward == ["a.b", "c.d"] and args.reward_weights == [1.0, 0.5]
    assert args.method_kwargs == {"max_ratio": 9} and args.report_to == ["x"]
    run, args = parse_train(["--reward", "a.b", "c.d", "--method_kwargs", '{"max_ratio": 9}'])
    assert run.reward == ["a.b", "c.d"] and args.hyperparameters()["max_ratio"] == 9


def test_without_accelerator_the_cpu_is_chosen_unless_somebody_chose(here, monkeypatch):
    path = recipe(here, {"max_steps": 1})
    _, args = parse_train(["--config", path])
    assert args.use_cpu and not args.bf16
    _, args = parse_train(["--config", path, "--use_cpu", "--bf16", "true"])
    assert args.use_cpu and args.bf16


def test_a_method_named_by_a_flag_takes_no_hyperparameters_of_the_recipes():
    run = ["--config", "general", "--use_cpu", "--bf16", "false"]
    assert parse_train(run)[1].hyperparameters()["max_ratio"] == 10.0
    assert parse_train([*run, "--method", "band-kl"])[1].hyperparameters()["max_ratio"] == 10.0
    assert parse_train([*run, "--method", "clip-higher"])[1].hyperparameters()["eps_high"] == 0.28
    assert parse_train([*run, "--method=band-tv"])[1].method_kwargs is None
    for flags in (["--method_kwargs", '{"delta": 0.1}'], ["--band_delta", "0.1"], ["--band-delta=0.1"]):
        assert parse_train([*run, *flags])[1].hyperparameters()["delta"] == 0.1


@pytest.mark.parametrize("more", [[], ["--method", "band-kl", "--seed", "3"]])
def test_the_paper_is_one_flag(here, more):
    ours = parse_train(["--paper", *more])[1]
    assert (ours.method, ours.band_delta, ours.method_kwargs) == (
        "band-kl",
        0.05,
        {"max_ratio": 10.0, "dual_clip": 10.0},
    )
    general = parse_train(
        ["--config", "general", "--model", "mine", "--dataset", "mine", "--reward", "bandpo.rewards.math"]
    )[1]
    assert (ours.method, ours.band_delta, ours.method_kwargs) == (
        general.method,
        general.band_delta,
        general.method_kwargs,
    )


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--paper", "--method", "grpo"], "--paper with --method grpo: it sets method=band-kl"),
        (["--band-delta", "0.1", "--paper"], "--paper with --band_delta 0.1: it sets band_delta=0.05"),
        (["--paper", "--method-kwargs", '{"max_ratio": 3}'], "--paper with --method_kwargs {'max_ratio': 3}"),
        (["--paper", "yes"], "--paper yes: expected no value"),
    ],
)
def test_the_paper_with_something_else_is_refused(here, flags, expected):
    assert expected in error(*flags)


def test_flags_replace_a_radius_in_the_recipes_method_kwargs(here):
    path = recipe(here, {"method": "band-kl", "method_kwargs": {"delta": 0.3, "max_ratio": 5.0}})
    options = parse_train(["--config", path, "--band_delta", "0.1"])[1].hyperparameters()
    assert options["delta"] == 0.1 and options["max_ratio"] == 5.0


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--method", "clip-higher", "--method_kwargs", '{"eps_high": 0.6}', "--seed", "3"],
        [
            "--band_delta",
            "0.02",
            "--learning_rate",
            "3e-7",
            "--lr_scheduler_type",
            "cosine",
            "--save_strategy",
            "epoch",
        ],
        ["--config", "general", "--model", "org/model", "--dataset", "d.jsonl", "--reward", "a.b", "c.d"],
        ["--reward_weights", "1.0", "0.5", "--eval_dataset", "held.jsonl", "--threads", "None", "--max_steps", "5"],
        ["--max_completion_length", "None", "--top_p", "0.9", "--use_cpu", "--scale_rewards", "none"],
        [
            "--gradient_accumulation_steps",
            "4",
            "--num_train_epochs",
            "0.5",
            "--max_steps",
            "-1",
            "--evaluate_every",
            "3",
        ],
        ["--generation_kwargs", '{"typical_p": 0.9}', "--logging_strategy", "epoch", "--save_steps", "0.1"],
        ["--method", "grpo", "--epsilon", "0.1", "--epsilon_high", "0.3", "--disable_tqdm", "true", "--beta", "0.04"],
        ["--report_to", "none", "--run_name", "it's: {mine}", "--shuffle_dataset", "false"],
    ],
    ids=lambda flags: " ".join(flags)[:40] or "none",
)
def test_the_resolved_options_are_a_recipe_of_the_same_run(here, flags):
    run, args = parse_train([*flags, "--output_dir", "out"])
    path = recipe(here, resolved(run, args))
    again = parse_train(["--config", path, "--output_dir", "out"])
    assert again[0] == run
    differing = {n for n in vars(args) if getattr(args, n) != getattr(again[1], n) and not n.startswith("_")}
    assert differing <= {"distributed_state", "deepspeed_plugin", "accelerator_config", "logging_dir"}, differing
    same(again, (run, args))


def test_the_folder_is_named_after_the_run_and_is_not_one_that_is_complete(here):
    assert parse_train([])[1].output_dir == "runs/band-kl-countdown-seed42"
    flags = ["--method", "grpo", "--seed", "3", "--dataset", "data/own.jsonl"]
    assert parse_train([*flags, "--config", "countdown"])[1].output_dir == "runs/grpo-own-seed3"
    for name in ("runs/band-kl-countdown-seed42", "runs/band-kl-countdown-seed42-2"):
        (here / name).mkdir(parents=True)
        assert parse_train([])[1].output_dir == name
        (here / name / "result.json").write_text("{}")
    assert parse_train([])[1].output_dir == "runs/band-kl-countdown-seed42-3"
    assert parse_train(["--config", recipe(here, {"output_dir": "there"})])[1].output_dir == "there"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--lerning_rate", "1"], "no option '--lerning_rate'; did you mean '--learning_rate'?"),
        (["--band-delt", "1"], "did you mean '--band-delta'?"),
        (["--xyzzy", "1"], "no option '--xyzzy'; `bandpo train --help-all` lists them"),
        (["--learning", "1"], "no option '--learning'"),
        (["stray"], "no option 'stray'"),
        (["--max_steps", "abc"], "--max_steps/--max-steps: invalid int value: 'abc'"),
        (["--max_steps", "1.5"], "invalid int value: '1.5'"),
        (["--max_steps"], "--max_steps/--max-steps: expected one argument"),
        (["--use_cpu", "perhaps"], "got perhaps but expected one of yes/no"),
        (["--lr_scheduler_type", "steep"], "invalid choice: 'steep'"),
        (["--method", "nope"], "nope"),
        (["--band_delta", "-1"], "band_delta=-1.0"),
        (["--method_kwargs", "{nope"], "method_kwargs='{nope'"),
        (["--method_kwargs", "[1]"], "a dict or a JSON object"),
        (["--method_kwargs", '{"nope": 1}'], "nope"),
        (["--config"], "--config: expected a file or a recipe's name"),
        (
            ["--config", "absent.yaml"],
            "--config absent.yaml: no such file, and no recipe of that name (countdown, general, paper)",
        ),
    ],
)
def test_flags_that_do_not_fit(flags, expected):
    assert expected in error(*flags)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a: b: c", "not YAML"),
        ("\tx", "not YAML"),
        ("just text", "expected lines of the form 'option: value'"),
        ("", "expected lines of the form"),
        ("- a\n- b", "expected lines of the form"),
        ({"lerning_rate": 1}, "no option 'lerning_rate'; did you mean 'learning_rate'?"),
        ({"learning-rate": 1}, "no option 'learning-rate'; did you mean 'learning_rate'?"),
        ({3: 4}, "no option 3"),
        ({"max_steps": "abc"}, "invalid int value: 'abc'"),
        ({"max_steps": 1.5}, "invalid int value: '1.5'"),
        ({"max_steps": [1, 2]}, "max_steps=[1, 2], expected one value"),
        ({"lr_scheduler_type": "steep"}, "invalid choice: 'steep'"),
        ({"use_cpu": "perhaps"}, "got perhaps"),
        ({"env": [1]}, "env=[1], expected names and values"),
    ],
)
def test_recipes_that_do_not_fit(here, content, expected):
    path = recipe(here, content)
    message = error("--config", path)
    assert message.startswith(f"--config {path}: ") and expected in message
    assert "\n" not in message


def test_a_recipe_that_is_no_text(here):
    (here / "mine.yaml").write_bytes(b"\xff\xfe\x00")
    assert "not YAML" in error("--config", "mine.yaml")


def test_help_lists_every_option_of_both():
    text = parser().format_help()
    for name in ("--model", "--evaluate_every", "--band_delta", "--learning_rate", "--num_generations", "--overwrite"):
        assert name in text
    assert text.startswith("usage: bandpo train [--config FILE]")


def test_parsing_reads_no_arguments_from_elsewhere(here, monkeypatch):
    (here / "tool.args").write_text("--max_steps 3")
    monkeypatch.setattr(sys, "argv", [str(here / "tool.py"), "--nonsense"])
    assert parse_train([])[1].max_steps == 2400


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("save_strategy: no", "save_strategy", "no"),
        ("eval_strategy: No", None, None),
        ("report_to: none", "report_to", []),
        ("scale_rewards: none", "scale_rewards", "none"),
        ("use_cpu: on", "use_cpu", True),
        ("band_metrics: off", "band_metrics", False),
        ("reward_weights: 0.5", "reward_weights", [0.5]),
        ("reward_weights: [1e-1]", "reward_weights", [0.1]),
        ("learning_rate: 1e-7", "learning_rate", 1e-7),
        ("entropy_coef: -1e-3", "entropy_coef", -1e-3),
        ("seed: 012", "seed", 12),
        ("max_steps: 1_000", "max_steps", 1000),
        ("run_name: 012", "run_name", "012"),
        ("run_name: 2026-01-02", "run_name", "2026-01-02"),
        ("run_name: 12:30", "run_name", "12:30"),
        ("run_name: no", "run_name", "no"),
        ("run_name: 1e5", "run_name", "1e5"),
        ("max_completion_length: 12", "max_completion_length", 12),
        ("band_delta: null", "band_delta", None),
        ("method_kwargs: {max_ratio: 1e1}", "method_kwargs", {"max_ratio": 10.0}),
        ("method_kwargs: '{\"max_ratio\": 9}'", "method_kwargs", {"max_ratio": 9}),
        ("chat_template_kwargs: {a: 1e-2, b: [no, 'no']}", "chat_template_kwargs", {"a": 0.01, "b": [False, "no"]}),
        ("lr_scheduler_kwargs: {min_lr: 1e-7}", "lr_scheduler_kwargs", {"min_lr": 1e-7}),
    ],
)  # fmt: skip
def test_a_line_of_yaml_has_its_options_own_type(here, line, name, value):
    path = recipe(here, line + "\n")
    if name is None:
        assert "invalid choice: 'No'" in error("--config", path)
        return
    _, args = parse_train(["--config", path])
    found = getattr(args, name)
    assert getattr(found, "value", found) == value and type(getattr(found, "value", found)) is type(value)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("seed: [1]", "seed=[1], expected one value"),
        ("seed: {a: 1}", "seed={'a': 1}, expected one value"),
        ("seed: null", "seed: null, expected a value"),
        ("seed: 12:30", "invalid int value: '12:30'"),
        ("model: [a, b]", "model=['a', 'b'], expected one value"),
        ("reward: {a: 1}", "reward={'a': 1}, expected one value"),
        ("reward: [[a]]", "expected texts or numbers in the list"),
        ("learning_rate: .nan", "invalid float value: '.nan'"),
        ("learning_rate: nan", "learning_rate: nan, expected a number"),
        ("method_kwargs: {delta: '", "not YAML"),
        ("recipe: contdown", "recipe='contdown', expected one of countdown, general, paper, none"),
        ("recipe: [countdown]", "recipe=['countdown'], expected one of"),
    ],
)
def test_a_line_of_another_type_is_refused(here, line, expected):
    path = recipe(here, line + "\n")
    assert error("--config", path).startswith(f"--config {path}: ") and expected in error("--config", path)


def test_a_file_lies_over_the_recipe_it_names_or_over_the_usual_one(here):
    said = []
    path = recipe(here, "learning_rate: 1e-4\nmax_steps: 4\n")
    _, args = parse_train(["--config", path], said.append)
    assert (args.learning_rate, args.max_steps, args.num_iterations, args.max_completion_length) == (1e-4, 4, 2, 7)
    assert said == [f"options: {path} over recipe countdown"]
    same(parse_train(["--config", path]), parse_train(["--learning_rate", "1e-4", "--max_steps", "4"]))
    own = recipe(here, "dataset: mine.jsonl\nreward: a.b\n")
    assert parse_train(["--config", own])[1].max_completion_length == 4096
    assert parse_train(["--config", path, "--model", "org/model"])[1].max_completion_length == 4096
    named = recipe(here, "recipe: paper\nmax_steps: 4\nuse_vllm: false\n")
    assert parse_train(["--config", named])[1].num_train_epochs == 10
    alone = recipe(here, "recipe: none\nmax_steps: 4\n")
    assert parse_train(["--config", alone])[1].num_iterations == 1


def test_a_method_of_the_file_takes_no_hyperparameters_of_the_recipe_below(here):
    path = recipe(here, "recipe: general\nmethod: clip-higher\n")
    assert parse_train(["--config", path])[1].method_kwargs is None
    path = recipe(here, "recipe: general\nband_delta: 0.1\n")
    assert parse_train(["--config", path])[1].hyperparameters()["delta"] == 0.1


def test_a_list_option_given_again_grows():
    run, args = parse_train(["--reward", "a.b", "--seed", "1", "--reward", "c.d", "e.f", "--report_to", "x", "y"])
    assert run.reward == ["a.b", "c.d", "e.f"] and args.report_to == ["x", "y"]


@pytest.mark.parametrize(
    "name", ["LD_PRELOAD", "PATH", "PYTHONPATH", "HOME", "ld_preload", "HF_PLUGIN_PATH", "VLLM_PLUGINS"]
)
def test_a_recipe_sets_nothing_that_loads_code(here, name, monkeypatch):
    before = os.environ.get(name)
    path = recipe(here, {"env": {name: "x"}})
    assert f"env: {name!r} is not for a recipe to set" in error("--config", path)
    assert os.environ.get(name) == before


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("env: {HF_X: [1]}", "env: HF_X=[1], expected one text or number"),
        ("env: {HF_X: null}", "expected one text or number"),
        ("env: 3", "env=3, expected names and values"),
        ('env: {HF_X: "a\\0b"}', "expected no NUL character"),
    ],
)
def test_an_environment_of_another_form_is_refused(here, content, expected):
    assert expected in error("--config", recipe(here, content))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--temperature", "0"], "temperature=0.0: expected at least 0.001"),
        (["--learning_rate", "inf"], "learning_rate=inf: expected at least 0, at most 1,000"),
        (["--gradient_accumulation_steps", "0"], "gradient_accumulation_steps=0: expected at least 1"),
        (["--per_device_train_batch_size", "999999999999"], "expected at least 1, at most 1,000,000"),
        (["--threads", "100000"], "threads=100000: expected at least 1, at most 4,096"),
        (["--seed", "-1"], "seed=-1: expected at least 0"),
        (["--method_kwargs", "[" * 5000], "a dict or a JSON object"),
        (["--method_kwargs", '{"a":' * 5000], "method_kwargs="),
        (["--generation_kwargs", '{"a": NaN}'], "generation_kwargs['a']: nan"),
        (["--beta=-1"], "beta=-1.0: expected a finite number, at least 0"),
        (["--adam_beta2", "1.5"], "adam_beta2=1.5: expected at least 0, at most 0.999999999"),
        (["--num_generations", "1"], "num_generations=1: expected at least 2"),
        (["--max_steps", "0"], "max_steps=0: expected at least 1, or -1"),
        (["--vllm_gpu_memory_utilization", "2"], "vllm_gpu_memory_utilization=2.0: expected above 0, at most 1"),
        (["--num_train_epochs", "1e300"], "num_train_epochs=1e+300: expected above 0"),
        (["--pad_to_multiple_of", "0"], "pad_to_multiple_of="),
        (["--scale_rewards", "x"], "scale_rewards='x': expected one of 'group', 'batch', 'none'"),
        (["--generation_kwargs", '{"temperature": 2}'], "expected the option temperature"),
        (["--generation_kwargs", '{"typical": 2}'], "did you mean 'typical_p'?"),
        (["--method_kwargs", '{"max_ratio": 10, "max_ratio": 20}'], "'max_ratio' a second time"),
        (["--chat_template_kwargs", '{"a": {"b": 1, "b": 2}}'], "'b' a second time"),
        (["--output_dir", ""], "output_dir='': expected a folder"),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_named(flags, expected):
    assert expected in error(*flags)
