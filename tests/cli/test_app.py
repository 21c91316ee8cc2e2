"""The commands as a user types them: help, results, and mistakes that end in one line and exit code 2."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml
from datasets import Dataset
from typer.testing import CliRunner

from bandpo.cli.app import app
from bandpo.store.mark import write_mark
from bandpo.tasks import countdown

COMMANDS = ("", "train", "compare", "methods", "bounds", "match", "atlas")
OWN_REWARD = """
def fn(completions, prompts, label, **_):
    return [float(text.startswith(first)) for text, first in zip(completions, label, strict=True)]

not_a_function = 3
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("my_rewards", None)
    (tmp_path / "my_rewards.py").write_text(OWN_REWARD)
    return tmp_path


@pytest.fixture
def run(here):
    """(words or arguments) -> result of the command; signal handlers are left as they were."""
    handler = signal.getsignal(signal.SIGTERM)
    yield lambda *words: CliRunner().invoke(app, shlex.split(words[0]) if len(words) == 1 else [*map(str, words)])
    signal.signal(signal.SIGTERM, handler)


def mistake(result, command="train"):
    """The one line that a user's mistake ends in."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("bandpo ")]
    assert line.startswith(f"bandpo {command}: ") and result.stderr.rstrip().endswith(line)
    return line


def examples(text):
    return re.findall(r"Example:\s+(bandpo .*)", text)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_fits_a_screen_and_shows_an_example(run, command, flag):
    result = run(f"{command} {flag}")
    lines = result.stdout.rstrip().splitlines()
    assert result.exit_code == 0 and len(lines) <= 40 and max(map(len, lines)) <= 80
    assert len(examples(result.stdout)) == (command != "")
    if command == "":
        assert all(name in result.stdout for name in COMMANDS)


def test_no_command_shows_help(run):
    assert "Usage:" in run("").output


def test_examples_of_train_work_as_typed(run):
    (example,) = examples(run("train --help").stdout)
    result = run(example.removeprefix("bandpo ") + " --dry-run")
    assert result.exit_code == 0
    assert yaml.safe_load(result.stdout)["method"] == "clip-higher"


def test_examples_of_compare_work_as_typed(run, monkeypatch):
    started = []
    monkeypatch.setattr("bandpo.runs.comparison.run_all", lambda *given: started.append(given) or ["it: stopped"])
    (example,) = examples(run("compare --help").stdout)
    assert run(example.removeprefix("bandpo ")).exit_code == 1
    specs, seeds, *_ = started[0]
    assert [spec.label for spec in specs] == ["grpo", "band-kl:delta=0.02"] and seeds == [0, 1, 2]


def test_help_all_lists_every_option(run):
    result = run("train --help-all")
    assert result.exit_code == 0
    for name in ("--evaluate_every", "--num_generations", "--lr_scheduler_type", "--band_delta", "--threads"):
        assert name in result.stdout


def test_dry_run_prints_a_recipe_of_the_same_run_and_does_nothing_else(run, here):
    command = "train --method clip-higher --method-kwargs '{\"eps_high\": 0.6}' --learning_rate=2e-4 --seed 3 --dry-run"
    first = run(command)
    assert first.exit_code == 0 and not (here / "runs").exists()
    assert yaml.safe_load(first.stdout)["output_dir"] == "runs/clip-higher-countdown-seed3"
    (here / "mine.yaml").write_text(first.stdout)
    assert run("train --config mine.yaml --dry-run").stdout == first.stdout
    assert yaml.safe_load(run("train --config mine.yaml --seed 4 --dry-run").stdout)["seed"] == 4


def test_a_dry_run_makes_every_check_of_the_run(run, own_data):
    for options, expected in (
        ("--dataset absent.jsonl --reward my_rewards.fn", "dataset='absent.jsonl': no such file"),
        ("--dataset own.jsonl --reward my_rewards.fn", "max_completion_length=4096: expected less than 13"),
        ("--reward bandpo.tasks.countdown.reward --reward_weights 1 2", "reward_weights has 2 numbers and reward 1"),
        ("--max_steps 999999999", "expected 10,000,000 at most"),
    ):
        assert expected in mistake(run(f"train {options} --dry-run"))
        assert expected in mistake(run(f"train {options}"))
    (own_data / "taken").mkdir()
    (own_data / "taken" / "thesis.tex").touch()
    assert "is not empty and holds no run" in mistake(run("train --output_dir taken --dry-run"))
    assert sorted(path.name for path in (own_data / "taken").iterdir()) == ["thesis.tex"]


def test_a_dry_run_says_that_the_region_cannot_act(run):
    idle = run("train --num_iterations 1 --steps_per_generation 1 --dry-run")
    assert idle.exit_code == 0 and "warning: The trust region cannot act" in idle.stderr
    assert "warning" not in run("train --dry-run").stderr


def test_limits_of_the_grader_are_checked_before_a_run(run, monkeypatch):
    for name, value in (("TIMEOUT", "1e300"), ("TIMEOUT", "nan"), ("MEMORY_MB", "1"), ("WORKERS", "many")):
        monkeypatch.setenv(f"BANDPO_GRADER_{name}", value)
        assert f"BANDPO_GRADER_{name}='{value}': expected" in mistake(run("train --dry-run"))
        monkeypatch.delenv(f"BANDPO_GRADER_{name}")


def test_a_short_run_says_what_to_expect_and_how_sure_it_is(run, here, tiny):
    result = run("train", *tiny, "--output_dir", "[x]")
    assert result.exit_code == 0, result.output
    shown = " ".join(result.stdout.split())
    assert " ± 0." in shown and "standard error over the" in shown and "a short run:" in shown
    assert "writing to [x]/" in shown and "model and metrics in [x]/" in shown


def test_the_configuration_of_a_run_is_a_recipe_of_it(run, here, tiny_run):
    shutil.copy(tiny_run[0] / "config.yaml", here / "config.yaml")
    printed = yaml.safe_load(run("train --config config.yaml --output_dir x --dry-run").stdout)
    assert {k: v for k, v in printed.items() if k != "output_dir"} == yaml.safe_load((here / "config.yaml").read_text())


def test_the_module_and_the_script_are_the_command(tmp_path, bandpo_command):
    done = bandpo_command(["--help"], tmp_path)
    assert done.returncode == 0 and "Usage: bandpo" in done.stdout
    script = shutil.which("bandpo", path=str(tmp_path.joinpath(sys.executable).parent))
    if script is None:
        pytest.skip("bandpo is not installed beside this Python")
    again = subprocess.run([script, "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert again.stdout == done.stdout


def test_without_the_extra_it_says_what_to_install(tmp_path):
    code = "import sys; sys.modules['typer'] = None; from bandpo.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip() == "bandpo: the command line needs typer: pip install 'bandpo[cli]'"


@pytest.fixture
def own_data(here):
    """Prompts of different lengths with a column that the reward reads."""
    rows = [{"prompt": " ".join("123456"[: 1 + i % 6]) + " ->", "label": str(1 + i % 3)} for i in range(16)]
    Dataset.from_list(rows).to_json(here / "own.jsonl")
    Dataset.from_list(rows).to_parquet(here / "own.parquet")
    Dataset.from_list(rows[:5]).to_json(here / "held_out.jsonl")
    shutil.copytree(countdown.policy_path(), here / "policy")
    return here


SMALL = (
    "--max_completion_length 4 --per_device_train_batch_size 8 --num_generations 4 --steps_per_generation 2 "
    "--gradient_accumulation_steps 1 --max_steps 4 --eval_samples 2 --logging_steps 1 --threads 1"
)


@pytest.mark.parametrize("name", ["own.jsonl", "own.parquet"])
def test_own_data_model_and_reward(run, own_data, name):
    result = run(
        f"train --dataset {name} --model policy --reward my_rewards.fn --eval_dataset held_out.jsonl {SMALL} "
        "--output_dir out"
    )
    assert result.exit_code == 0, result.output
    written = json.loads((own_data / "out" / "result.json").read_text())
    assert written["steps"] == 4 and written["after"]["problems"] == 5
    config = yaml.safe_load((own_data / "out" / "config.yaml").read_text())
    assert config["dataset"] == name and config["method_kwargs"] == {"max_ratio": 10.0, "dual_clip": 10.0}
    samples = [json.loads(line) for line in (own_data / "out" / "samples.jsonl").read_text().splitlines()]
    assert len(samples) == 10
    again = run("train --config out/config.yaml --output_dir out")
    assert "holds a finished run: choose another output_dir, or move this one aside by --overwrite" in mistake(again)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--dataset noprompt.jsonl --reward my_rewards.fn", "dataset='noprompt.jsonl' has columns question: expected"),
        ("--dataset absent.jsonl --reward my_rewards.fn", "dataset='absent.jsonl': no such file"),
        ("--dataset notes.txt --reward my_rewards.fn", "dataset='notes.txt': expected a file ending in .jsonl"),
        ("--dataset org/data --reward my_rewards.fn", "dataset='org/data': not loaded"),
        ("--dataset own.jsonl", "dataset='own.jsonl' needs a reward: expected --reward"),
        ("--dataset own.jsonl --reward my_rewards.absent", "reward='my_rewards.absent'"),
        ("--dataset own.jsonl --reward absent.fn", "reward='absent.fn': No module named 'absent'"),
        ("--dataset own.jsonl --reward my_rewards.not_a_function", "is a int: expected a function"),
        ("--dataset own.jsonl --reward my_rewards.fn --model ./absent", "model='./absent': no such folder"),
        ("--dataset own.jsonl --reward my_rewards.fn --model org/model", "model='org/model': not loaded"),
        ("--dataset own.jsonl --reward my_rewards.fn --eval_dataset x.jsonl", "eval_dataset='x.jsonl': no such file"),
        ("--dataset own.jsonl --reward my_rewards.fn", "max_completion_length=4096: expected less than 13"),
        ("--config absent.yaml", "--config absent.yaml: no such file"),
        ("--config notes.txt", "--config notes.txt: expected lines of the form"),
        ("--lerning_rate 1", "no option '--lerning_rate'; did you mean '--learning_rate'?"),
        ("--max_steps abc", "invalid int value: 'abc'"),
        ("--seed abc", "invalid int value: 'abc'"),
        ("--method nope", "nope"),
        ("--band_delta -1", "band_delta=-1.0"),
        ("--method grpo --band_delta 0.1", "band_delta=0.1"),
        ("--eval_samples 0", "eval_samples=0: expected at least 1"),
        ("--num_generations 7", "7"),
        ("--output_dir notes.txt", "output_dir='notes.txt' is a file"),
        ("--output_dir taken", "output_dir='taken' is not empty and holds no run"),
    ],
)
def test_mistakes_are_one_line(run, own_data, options, expected):
    (own_data / "noprompt.jsonl").write_text('{"question": "x"}\n')
    (own_data / "notes.txt").write_text("hello")
    (own_data / "taken").mkdir()
    (own_data / "taken" / "thesis.tex").touch()
    assert expected in mistake(run(f"train {options}"))
    assert not list(own_data.rglob("result.json"))


def test_an_unfinished_run_with_other_options_is_refused_by_name(run, here, tiny):
    (here / "out").mkdir()
    config = yaml.safe_load(run("train", *tiny, "--dry-run").stdout)
    del config["output_dir"]
    write_mark(here / "out")
    (here / "out" / "config.yaml").write_text(yaml.safe_dump({**config, "learning_rate": 0.5}))
    assert "learning_rate=0.5, now 0.001" in mistake(run("train", *tiny, "--output_dir", "out"))


def test_a_finished_run_is_refused(tiny_run, tiny, run):
    message = mistake(run("train", *tiny, "--output_dir", tiny_run[0]))
    assert "holds a finished run: choose another output_dir, or move this one aside by --overwrite" in message


def test_a_mistake_in_a_real_process(tmp_path, bandpo_command):
    done = bandpo_command(["methods", "band_kl"], tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr + done.stdout
    assert done.stderr.splitlines()[-1].startswith("bandpo methods: no method 'band_kl'")


def _as_in_a_terminal():
    """A shell that starts tests in the background has them ignore SIGINT, and all that they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_says_how_to_go_on(tmp_path, tiny_with):
    command = [sys.executable, "-m", "bandpo", "train", *tiny_with(max_steps=100_000), "--output_dir", "out"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, preexec_fn=_as_in_a_terminal, **pipes) as process:
        while process.poll() is None and not any(tmp_path.glob("out/checkpoint-*/manifest.json")):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in printed
    assert re.search(r"bandpo train: stopped; the same command resumes from checkpoint-\d+ \(output_dir out\)", printed)


def test_ctrl_c_before_a_checkpoint(run, here, tiny, monkeypatch):
    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("bandpo.runs.training.Plan.execute", stop)
    result = run("train", *tiny, "--output_dir", "out")
    assert result.exit_code == 130 and "no checkpoint was written yet (output_dir out)" in result.stderr


def test_an_error_of_the_users_reward_keeps_its_traceback(run, own_data):
    (own_data / "my_rewards.py").write_text("def fn(**_):\n    raise LookupError('mine')\n")
    result = run(f"train --dataset own.jsonl --model policy --reward my_rewards.fn {SMALL} --output_dir out")
    assert "reward 'my_rewards.fn' raised LookupError at row" in str(result.exception)
    assert isinstance(result.exception.__cause__, LookupError)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--seeds x", "--seeds 'x': expected a count (5), a range (100-109) or a list (1,2,5)"),
        ("--seeds 0", "--seeds '0'"),
        ("--methods nope", "nope"),
        ("--methods grpo,grpo", "expected different methods"),
        ("--methods clip-higher:eps_high", "expected METHOD:NAME=VALUE"),
        ("--methods clip-higher:nope=1", "nope"),
        ("--methods band-kl:delta=-1", "delta"),
        ("--lerning_rate 1", "no option '--lerning_rate'; did you mean '--learning_rate'?"),
        ("--learning_rate fast", "invalid float value: 'fast'"),
        ("--config absent.yaml", "--config absent.yaml: no such file"),
        ("--dry-run", "no option '--dry-run'"),
        ("--methods grpo,band-kl --band_delta 0.1", "band_delta=0.1"),
        ("--seed 3", "--seed: expected --methods, --seeds and --out"),
        ("--output_dir=x", "--output_dir: expected --methods"),
        ("--method grpo", "--method: expected --methods"),
        ("--jobs 0", "--jobs 0: expected at least 1"),
    ],
)
def test_mistakes_in_a_comparison_are_one_line_and_start_nothing(run, here, monkeypatch, options, expected):
    monkeypatch.setattr("bandpo.runs.comparison.scheduler._start", lambda *_: pytest.fail("a run was started"))
    assert expected in mistake(run(f"compare {options} --out out"), "compare")


def test_a_comparison_of_other_options_in_the_same_folder_is_refused(run, here, monkeypatch):
    monkeypatch.setattr("bandpo.runs.comparison.scheduler._start", lambda *_: pytest.fail("a run was started"))
    folder = here / "out" / "grpo" / "seed-1"
    folder.mkdir(parents=True)
    command = "train --method grpo --seed 1 --learning_rate 0.5 --disable_tqdm true --output_dir out/grpo/seed-1"
    config = yaml.safe_load(run(f"{command} --dry-run").stdout)
    del config["output_dir"]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "result.json").write_text("{}")
    result = run("compare --methods grpo --seeds 0-1 --learning_rate 0.25 --out out")
    expected = (
        "out/grpo/seed-1 holds a run with learning_rate=0.5, now 0.25: expected the same options or another --out"
    )
    assert expected in mistake(result, "compare")


def test_a_comparison_with_failed_runs_names_them(run, monkeypatch):
    monkeypatch.setattr("bandpo.runs.comparison.run_all", lambda *_: ["out/grpo/seed-0: boom"])
    result = run("compare --methods grpo --seeds 1")
    assert result.exit_code == 1 and "1 runs failed:\nout/grpo/seed-0: boom" in result.stderr


def test_ctrl_c_in_a_comparison(run, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("bandpo.runs.comparison.run_all", stop)
    result = run("compare --methods grpo --seeds 1 --out there")
    assert result.exit_code == 130 and "the same command goes on where it was (out there)" in result.stderr
