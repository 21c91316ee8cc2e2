"""Training runs: what they leave behind, and that neither kills nor evaluations change a weight."""

import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch
import yaml
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from bandpo.cli.options import parse_train
from bandpo.data.rows import BadRows
from bandpo.engines.trl import BandGRPOConfig
from bandpo.runs.training import RunArguments, plan, planning, resolved, updates_per_rollout
from bandpo.runs.training.rollouts import prompts_needed
from bandpo.runs.training.rows import TrainingRows
from bandpo.store.checkpoints import seal
from bandpo.store.folder import LostFolderError
from bandpo.store.mark import read_mark
from bandpo.store.reward_calls import RewardError
from bandpo.store.reward_columns import ROW
from bandpo.tasks import countdown

TIMINGS = {"step_time"}
PROMPTS = [problem.prompt for problem in countdown.training_problems(13, seed=3)]
OWN_REWARD = '''
import random
import re

def quick(completions, prompts, bonus, **_):
    """Varies within every group, and reads a column of the data."""
    return [sum(map(ord, text)) % 7 / 7 + extra for text, extra in zip(completions, bonus, strict=True)]

def noisy(completions, **_):
    return [random.random() for _ in completions]

def watching(completions, completion_ids, trainer_state, log_extra, log_metric, **_):
    log_metric("step", trainer_state.global_step)
    log_extra("length", [len(ids) for ids in completion_ids])
    return [len(ids) / 10 for ids in completion_ids]
'''


class StopAt(TrainerCallback):
    """As a kill would: leave training in the middle, without cleaning up."""

    def __init__(self, step):
        self.step = step

    def on_step_begin(self, args, state, control, **_):
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of the user's with a reward module and data in it, and the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("own_reward", None)
    (tmp_path / "own_reward.py").write_text(OWN_REWARD)
    rows = [{"prompt": prompt, "bonus": 0.01 * number} for number, prompt in enumerate(PROMPTS)]
    Dataset.from_list(rows).to_json(tmp_path / "own.jsonl")
    return tmp_path


def execute(options, out, stops=()):
    """Run to the end, by way of being stopped at these steps."""
    for stop in [*stops, None]:
        planned = plan(*parse_train([*options, "--output_dir", str(out), "--disable_tqdm", "true"]))
        if stop is not None:
            planned.trainer.add_callback(StopAt(stop))
        try:
            planned.execute()
        except KeyboardInterrupt:
            if stop is None:
                raise
            assert not (out / "result.json").exists()
    return outcome(out)


def records(path):
    lines = path.read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name not in TIMINGS} for line in lines]


def outcome(out):
    """Everything a run computed, apart from timings."""
    result = json.loads((out / "result.json").read_text())
    del result["seconds"]
    names = ("metrics.jsonl", "evaluations.jsonl", "samples.jsonl")
    return load_file(out / "model" / "model.safetensors"), result, {name: records(out / name) for name in names}


def assert_same(a, b):
    assert a[0].keys() == b[0].keys() and all(torch.equal(a[0][name], b[0][name]) for name in a[0])
    assert a[1:] == b[1:]


def differ(a, b):
    return any(not torch.equal(a[0][name], b[0][name]) for name in a[0])


def test_a_run_leaves_what_it_promises(tiny_run):
    out, printed = tiny_run
    names = {path.name for path in out.iterdir()}
    expected = {"config.yaml", "environment.json", "metrics.jsonl", "evaluations.jsonl", "samples.jsonl", "result.json"}
    assert expected | {"model", "checkpoint-4"} <= names
    assert "mean@2" in printed and "8 updates" in printed and "starting, writing to run/" in printed


def test_its_result(tiny_run):
    result = json.loads((tiny_run[0] / "result.json").read_text())
    assert result["method"] == "band-kl" and result["hyperparameters"]["delta"] == 0.05
    assert result["steps"] == 8 and result["seed"] == 42 and result["threads"] == 1 and 0 < result["seconds"] < 300
    assert result["before"]["step"] == 0 and result["after"]["step"] == 8
    scores = {"step", "mean@2", "pass@2", "entropy", "problems", "uses *", "well-formed", "errors"}
    assert result["before"].keys() == result["after"].keys() == scores
    assert result["before"]["problems"] == 128


def test_its_metrics(tiny_run):
    metrics = records(tiny_run[0] / "metrics.jsonl")
    assert [record["step"] for record in metrics] == [2, 4, 6, 8]
    for record in metrics:
        assert {"loss", "grad_norm", "learning_rate", "band/clip", "band/ratio", "entropy", "epoch"} <= record.keys()
    assert metrics[0]["band/ratio"] == pytest.approx(1, abs=1e-6) != metrics[-1]["band/ratio"]
    assert [record["epoch"] for record in metrics] == [0.25, 0.5, 0.75, 1.0]


def test_its_evaluations(tiny_run):
    evaluations = records(tiny_run[0] / "evaluations.jsonl")
    assert [record["step"] for record in evaluations] == [0, 4, 8]
    result = json.loads((tiny_run[0] / "result.json").read_text())
    assert evaluations[0] == result["before"] and evaluations[-1] == result["after"]


def test_its_samples_are_graded_answers_to_held_out_problems(tiny_run):
    samples = records(tiny_run[0] / "samples.jsonl")
    prompts = [problem.prompt for problem in countdown.held_out_problems()]
    assert [sample["prompt"] for sample in samples] == [prompt for prompt in prompts for _ in range(2)]
    for sample in samples:
        assert countdown.reward([sample["completion"]], [sample["prompt"]]) == [sample["reward"]]
    result = json.loads((tiny_run[0] / "result.json").read_text())
    assert result["after"]["mean@2"] == pytest.approx(sum(sample["reward"] for sample in samples) / 256)


def test_its_model_loads_and_is_not_the_one_it_started_from(tiny_run):
    model = AutoModelForCausalLM.from_pretrained(tiny_run[0] / "model")
    start = AutoModelForCausalLM.from_pretrained(countdown.policy_path())
    assert len(AutoTokenizer.from_pretrained(tiny_run[0] / "model")) == 104
    pairs = list(zip(model.parameters(), start.parameters(), strict=True))
    assert all(torch.isfinite(trained).all() for trained, _ in pairs)
    assert any(not torch.equal(trained, old) for trained, old in pairs)


def test_its_configuration_is_complete(tiny_run, tiny):
    run, args = parse_train([*tiny, "--output_dir", "elsewhere"])
    assert yaml.safe_load((tiny_run[0] / "config.yaml").read_text()) == resolved(run, args)


def test_the_last_step_writes_the_model_instead_of_a_checkpoint(tiny_run):
    assert not (tiny_run[0] / "checkpoint-8").exists()


def test_a_run_killed_in_the_middle_resumes_to_the_same_result(tiny_run, tiny, tmp_path, bandpo_here):
    """SIGKILL of the process, the same command again: weights, metrics and evaluations bit for bit."""
    command = ["train", *tiny, "--output_dir", "run", "--disable_tqdm", "true"]
    manifest = tmp_path / "run" / "checkpoint-4" / "manifest.json"
    with subprocess.Popen(
        [sys.executable, "-m", "bandpo", *command], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and not manifest.is_file():
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and not (tmp_path / "run" / "result.json").exists()
    again = bandpo_here(command, tmp_path)
    assert again.returncode == 0 and "resuming from checkpoint-4" in again.stdout
    assert_same(outcome(tmp_path / "run"), outcome(tiny_run[0]))


OWN = {
    "config": "countdown",
    "dataset": "own.jsonl",
    "reward": "own_reward.quick",
    "eval_dataset": "own.jsonl",
    "per_device_train_batch_size": 8,
    "num_generations": 4,
    "steps_per_generation": 2,
    "max_steps": -1,
    "num_train_epochs": 3,
    "eval_samples": 2,
    "evaluate_every": 2,
    "logging_steps": 3,
    "learning_rate": 1e-3,
}


def own(*others, **changes):
    """Options of a run on data of one's own, with other values; None leaves an option out."""
    options = {name: value for name, value in {**OWN, **changes}.items() if value is not None}
    return [*(part for name, value in options.items() for part in (f"--{name}", str(value))), *others]


@pytest.mark.filterwarnings("ignore:The trust region cannot act")
@pytest.mark.parametrize(
    ("options", "stops", "checkpoints"),
    [
        # 13 prompts are three rollouts an epoch, of four updates each: epochs end at 12, 24 and 36.
        ({"save_steps": 5}, [3, 18, 30], [8, 12, 16, 20, 28, 32]),
        pytest.param({"save_strategy": "epoch"}, [5, 13], [12, 24], marks=pytest.mark.slow),
        # Updates and rollouts end together every three updates; an epoch's last update is a short one.
        pytest.param(
            {"save_steps": 1, "gradient_accumulation_steps": 3, "logging_steps": 2},
            [2, 6],
            [4, 8],
            marks=pytest.mark.slow,
        ),
        # An update takes two rollouts.
        pytest.param(
            {"save_steps": 2, "gradient_accumulation_steps": 8, "lr_scheduler_type": "cosine"},
            [5],
            [2, 4],
            marks=pytest.mark.slow,
        ),
        (
            {"save_steps": 4, "beta": 0.04, "loss_type": "dapo", "temperature": 0.7, "num_train_epochs": 1},
            [7],
            [4, 8],
        ),
    ],
    ids=["epochs", "save each epoch", "uneven updates", "long updates", "reference model"],
)
def test_runs_resume_exactly_in_every_layout(here, options, stops, checkpoints):
    unbroken = execute(own(**options, save_total_limit=50), here / "unbroken")
    stopped = execute(own(**options, save_total_limit=50), here / "stopped", stops)
    assert_same(stopped, unbroken)
    assert unbroken[2]["metrics.jsonl"][-1]["grad_norm"] > 0
    steps = sorted(int(path.name.partition("-")[2]) for path in (here / "unbroken").glob("checkpoint-*"))
    assert steps[: len(checkpoints)] == checkpoints


def test_evaluation_does_not_change_training(here):
    """Not even with a reward that draws from Python's global random state."""
    options = {"reward": "own_reward.noisy", "num_train_epochs": 1}
    often = execute(own(**options, evaluate_every=1), here / "often")
    never = execute(own(**options, evaluate_every=1000), here / "never")
    assert len(often[2]["evaluations.jsonl"]) > len(never[2]["evaluations.jsonl"]) == 2
    assert not differ(often, never)
    assert often[2]["metrics.jsonl"] == never[2]["metrics.jsonl"]


def test_the_seed_decides_everything(tiny_run, tiny, tmp_path):
    again = execute(tiny, tmp_path / "again")
    assert_same(again, outcome(tiny_run[0]))
    assert differ(again, execute([*tiny, "--seed", "1"], tmp_path / "other"))
    assert differ(again, execute([*tiny, "--method", "clip-higher"], tmp_path / "method"))


def test_a_run_killed_before_its_first_checkpoint_starts_again(tiny_run, tiny, tmp_path):
    assert_same(execute(tiny, tmp_path / "run", stops=[3]), outcome(tiny_run[0]))


def test_a_run_killed_at_its_end_finishes(tiny_run, tiny, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("bandpo.store.folder.RunFolder.finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            execute(tiny, tmp_path / "run")
    assert not (tmp_path / "run" / "result.json").exists()
    assert_same(execute(tiny, tmp_path / "run"), outcome(tiny_run[0]))


LONGER = {"max_steps": 12, "save_total_limit": 5}


@pytest.fixture(scope="module")
def stopped(tiny_with, tmp_path_factory):
    """What a longer run ends with, and the folder of one that was stopped behind its second checkpoint."""
    parent = tmp_path_factory.mktemp("stopped")
    whole = execute(tiny_with(**LONGER), parent / "whole")
    planned = plan(*parse_train([*tiny_with(**LONGER), "--output_dir", str(parent / "run"), "--disable_tqdm", "true"]))
    planned.trainer.add_callback(StopAt(10))
    with pytest.raises(KeyboardInterrupt):
        planned.execute()
    return whole, parent / "run"


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "origin"),
    [
        (lambda run: (run / "checkpoint-8" / "optimizer.pt").unlink(), "checkpoint-4"),
        (lambda run: flip(run / "checkpoint-8" / "model.safetensors"), "checkpoint-4"),
        (lambda run: (run / "checkpoint-8" / "scheduler.pt").write_bytes(b""), "checkpoint-4"),
        (lambda run: [(run / f"checkpoint-{n}" / "trainer_state.json").write_text("[]") for n in (4, 8)], None),
        (lambda run: [(run / "checkpoint-best").mkdir(), (run / "evaluations.jsonl").write_text("")], "checkpoint-8"),
        (lambda run: [flip(run / "metrics.jsonl"), (run / "result.json").write_text("{")], "checkpoint-8"),
    ],
    ids=["no optimizer", "a flipped bit", "an empty scheduler", "none whole", "no evaluations", "damaged records"],
)
def test_a_damaged_run_ends_as_an_unbroken_one(stopped, tiny_with, tmp_path, damage, origin, capsys):
    whole, run = stopped
    shutil.copytree(run, tmp_path / "run")
    damage(tmp_path / "run")
    options = [*tiny_with(**LONGER), "--output_dir", str(tmp_path / "run"), "--disable_tqdm", "true"]
    planned = plan(*parse_train(options))
    assert origin == (planned.checkpoint and os.path.basename(planned.checkpoint))
    planned.execute()
    assert_same(outcome(tmp_path / "run"), whole)
    assert "passed over" in capsys.readouterr().err or origin == "checkpoint-8"
    checkpoints = sorted(path.name for path in (tmp_path / "run").glob("checkpoint-[0-9]*"))
    assert checkpoints == ["checkpoint-4", "checkpoint-8"] and planned.folder.last_checkpoint().endswith("checkpoint-8")


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_folder_deleted_in_the_middle_ends_the_run(tiny, tmp_path, is_replaced):
    class Delete(TrainerCallback):
        def on_step_begin(self, args, state, control, **_):
            if state.global_step == 3:
                shutil.rmtree(tmp_path / "run")
                if is_replaced:
                    (tmp_path / "run").mkdir()

    planned = plan(*parse_train([*tiny, "--output_dir", str(tmp_path / "run"), "--disable_tqdm", "true"]))
    planned.trainer.add_callback(Delete())
    with pytest.raises(LostFolderError, match="was deleted or replaced"):
        planned.execute()
    assert not (tmp_path / "run").exists() or not [*(tmp_path / "run").iterdir()]


@pytest.mark.parametrize("ending", ["SystemExit(0)", "SystemExit", "EOFError"])
def test_a_reward_cannot_end_a_run_quietly(here, ending):
    (here / "own_reward.py").write_text(f"def ending(completions, **_):\n    raise {ending}\n")
    arguments = own(reward="own_reward.ending", output_dir="run", disable_tqdm="true")
    planned = plan(*parse_train(arguments))
    with pytest.raises(RuntimeError, match=f"reward 'own_reward.ending' raised {ending.partition('(')[0]} at row"):
        planned.execute()


def test_only_the_newest_checkpoints_stay_and_folders_of_others(tiny_with, tmp_path):
    options = tiny_with(**{**LONGER, "save_total_limit": 1})
    (tmp_path / "run").mkdir()
    planned = plan(*parse_train([*options, "--output_dir", str(tmp_path / "run"), "--disable_tqdm", "true"]))
    for name in ("checkpoint-best", "checkpoint-1"):
        (tmp_path / "run" / name).mkdir()
    planned.execute()
    left = {path.name for path in (tmp_path / "run").glob("checkpoint-*")}
    assert left == {"checkpoint-8", "checkpoint-best", "checkpoint-1"}


def test_overwrite_starts_anew(tiny_run, tiny, tiny_with, tmp_path):
    execute(tiny_with(max_steps=4), tmp_path / "run")
    assert_same(execute([*tiny, "--overwrite"], tmp_path / "run"), outcome(tiny_run[0]))


def test_the_order_of_rows_is_that_of_trl(here, monkeypatch):
    """Rows are read once per rollout, and training sees what it would without that."""
    options = own(num_train_epochs=2)
    ours = execute(options, here / "ours")
    monkeypatch.setattr(planning, "TrainingRows", lambda data: data.add_column(ROW, list(range(len(data)))))
    assert_same(ours, execute(options, here / "plain"))


def test_rows():
    class Counting:
        def __init__(self):
            self.reads = []

        def __len__(self):
            return 9

        def __getitem__(self, index):
            return {"prompt": index}

        def __getitems__(self, indices):
            self.reads.append(indices)
            return [{"prompt": index} for index in indices]

    data = Counting()
    rows = TrainingRows(data)
    assert len(rows) == 9 and rows[4] == {"prompt": 4, ROW: 4}
    first = rows.__getitems__([1, 1, 2])
    first[0]["prompt"] = "changed"
    assert rows.__getitems__([1, 1, 2]) == [{"prompt": 1, ROW: 1}, {"prompt": 1, ROW: 1}, {"prompt": 2, ROW: 2}]
    assert rows.__getitems__([3]) == [{"prompt": 3, ROW: 3}]
    assert data.reads == [[1, 1, 2], [3]]


def test_a_reward_gets_in_evaluation_what_trl_gives_it(here):
    result = execute(own(reward="own_reward.watching", num_train_epochs=1), here / "run")
    assert result[1]["after"]["mean@2"] == pytest.approx(0.7)
    assert any("step" in record for record in result[2]["metrics.jsonl"])


def test_several_rewards(here):
    rewards = ["--reward", "own_reward.quick", "own_reward.noisy", "--reward_weights", "1.0", "0.5"]
    result = execute(own(*rewards, reward=None, num_train_epochs=1), here / "run")
    assert {"rewards/quick/mean", "rewards/noisy/mean"} <= result[2]["metrics.jsonl"][0].keys()


def test_prompts_of_different_lengths(here):
    rows = [{"prompt": " ".join("123456"[: 1 + number % 5]) + " ->", "bonus": 0.0} for number in range(8)]
    Dataset.from_list(rows).to_json(here / "own.jsonl")
    result = execute(own(num_train_epochs=1, max_completion_length=4), here / "run")
    assert result[1]["after"]["problems"] == 8


def test_without_held_out_problems_nothing_is_evaluated(here):
    folder = here / "run"
    planned = plan(*parse_train(own(eval_dataset=None, num_train_epochs=1, output_dir=folder, threads=1)))
    result = planned.execute()
    assert result["before"] is result["after"] is None
    assert not (folder / "samples.jsonl").exists() and (folder / "evaluations.jsonl").read_text() == ""


def arguments(**options):
    config = {
        "use_cpu": True,
        "bf16": False,
        "output_dir": "out",
        "per_device_train_batch_size": 8,
        "num_generations": 8,
    }
    return BandGRPOConfig(**{**config, **options})


@pytest.mark.parametrize(
    ("steps", "iterations", "accumulation", "updates"),
    [(8, 2, 1, 16), (8, 2, 4, 4), (6, 1, 4, 3), (1, 1, 1, 1), (4, 1, 8, 1), (3, 2, 4, 3)],
)
def test_updates_per_rollout(steps, iterations, accumulation, updates):
    layout = {"steps_per_generation": steps, "num_iterations": iterations, "gradient_accumulation_steps": accumulation}
    assert updates_per_rollout(arguments(**layout)) == updates
    # Counted one by one: the first update after which a rollout ends too.
    batches = (n for n in range(1, 1000) if n % accumulation == 0 and n % (steps * iterations) == 0)
    assert next(batches) // accumulation == updates


@pytest.mark.parametrize(
    ("options", "prompts"),
    [
        ({"max_steps": 2400, "steps_per_generation": 8, "num_iterations": 2}, 150 * 8),
        ({"max_steps": 1, "steps_per_generation": 8}, 8),
        ({"max_steps": 9, "steps_per_generation": 8}, 16),
        ({"max_steps": 10, "steps_per_generation": 4, "gradient_accumulation_steps": 8}, 20 * 4),
        ({"steps_per_generation": 8}, 150 * 8),
    ],
)
def test_the_task_makes_as_many_problems_as_a_run_uses(options, prompts):
    assert prompts_needed(arguments(**options)) == prompts


def test_each_problem_is_used_once(tiny_run):
    assert records(tiny_run[0] / "metrics.jsonl")[-1]["epoch"] == 1.0


@pytest.mark.parametrize(
    ("run", "options", "expected"),
    [
        ({"eval_samples": 0}, {}, "eval_samples=0: expected at least 1"),
        ({"eval_batch_size": 0}, {}, "eval_batch_size=0"),
        ({"evaluate_every": 0}, {}, "evaluate_every=0"),
        ({"threads": 0}, {}, "threads=0"),
        ({"dataset": "mine.jsonl"}, {}, "needs a reward"),
        ({}, {"save_only_model": True}, "save_only_model=True: expected False"),
        ({}, {"ignore_data_skip": True}, "ignore_data_skip=True: expected False"),
    ],
)
def test_settings_that_would_break_a_promise_are_refused(tmp_path, run, options, expected):
    with pytest.raises(ValueError, match=expected):
        plan(RunArguments(**run), arguments(output_dir=str(tmp_path / "run"), **options))
    assert not (tmp_path / "run").exists()


def test_nothing_is_claimed_before_the_sources_are_there(tmp_path):
    for run in ({"model": "./absent"}, {"reward": ["absent.fn"]}, {"eval_dataset": "absent.jsonl"}):
        with pytest.raises(ValueError, match="absent"):
            plan(RunArguments(**run), arguments(output_dir=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_a_reward_that_asks_for_a_column_the_data_lacks_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Dataset.from_list([{"prompt": "1 + 1", "solution": "2"}]).to_json("mine.jsonl")
    run = RunArguments(dataset="mine.jsonl", reward=["bandpo.rewards.math_reward"])
    expected = "reward='bandpo.rewards.math_reward' needs a column 'answer': dataset='mine.jsonl' has prompt, solution"
    with pytest.raises(ValueError, match=expected):
        plan(run, arguments(output_dir=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_answers_longer_than_the_models_positions_are_refused(tiny, tmp_path):
    with pytest.raises(ValueError, match="max_completion_length=13: expected less than 13"):
        plan(*parse_train([*tiny, "--max_completion_length", "13", "--output_dir", str(tmp_path / "run")]))


def test_a_checkpoint_of_other_processes_is_refused(tiny, tmp_path):
    execute_until = [*tiny, "--output_dir", str(tmp_path / "run"), "--disable_tqdm", "true"]
    planned = plan(*parse_train(execute_until))
    planned.trainer.add_callback(StopAt(6))
    with pytest.raises(KeyboardInterrupt):
        planned.execute()
    seal(tmp_path / "run" / "checkpoint-4", read_mark(tmp_path / "run"), processes=2)
    with pytest.raises(ValueError, match=r"checkpoint-4 was written by 2 processes, now 1"):
        plan(*parse_train(execute_until))


def test_threads(tiny, tmp_path):
    before = torch.get_num_threads()
    try:
        plan(*parse_train([*tiny, "--threads", "2", "--output_dir", str(tmp_path / "run")]))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_planning_draws_nothing_from_the_evaluation(tiny, tmp_path):
    random.seed(0)
    first = plan(*parse_train([*tiny, "--output_dir", str(tmp_path / "a")])).trainer.train_dataset.data["prompt"]
    random.seed(1)
    again = plan(*parse_train([*tiny, "--output_dir", str(tmp_path / "b")])).trainer.train_dataset.data["prompt"]
    assert list(first) == list(again)


@pytest.mark.slow
def test_two_processes(tiny, tmp_path, bandpo_command):
    """One process writes and evaluates, the problems are twice as many, and a kill resumes exactly.

    Through torchrun, since `accelerate launch --cpu --num_processes 2` starts one process without MPI.
    """
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "bandpo"]
    options = [*tiny, "--disable_tqdm", "true", "--output_dir"]
    done = subprocess.run(
        [*launch, "train", *options, "whole"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("starting, writing to whole/") == done.stdout.count("8 updates") == 1
    whole = outcome(tmp_path / "whole")
    assert [record["step"] for record in whole[2]["evaluations.jsonl"]] == [0, 4, 8]
    assert [record["step"] for record in whole[2]["metrics.jsonl"]] == [2, 4, 6, 8]
    assert whole[1]["steps"] == 8 and whole[2]["metrics.jsonl"][-1]["epoch"] == 1.0

    manifest = tmp_path / "cut" / "checkpoint-4" / "manifest.json"
    command = [*launch, "train", *options, "cut"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not manifest.is_file():
            time.sleep(0.001)
        for running in [*psutil.Process(process.pid).children(recursive=True), process]:
            running.kill()
    assert not (tmp_path / "cut" / "result.json").exists()
    alone = bandpo_command(["train", *options, "cut"], tmp_path)
    assert alone.returncode == 2 and "was written by 2 processes, now 1" in alone.stderr
    again = subprocess.run([*launch, "train", *options, "cut"], cwd=tmp_path, capture_output=True, timeout=300)
    assert again.returncode == 0
    assert_same(outcome(tmp_path / "cut"), whole)


FAULTS = [
    {"prompt": "3 7 11 2 -> 45", "answer": "45"},
    {"prompt": "", "answer": "45"},
    {"answer": "45"},
    {"prompt": 7, "answer": "45"},
    {"prompt": [], "answer": "45"},
    {"prompt": [{"role": "user", "content": "1 ->"}], "answer": "45"},
    {"prompt": [{"content": "1 ->"}], "answer": "45"},
    {"prompt": "1 2 3 4 -> 10"},
    {"prompt": "1 2 3 4 -> 10", "answer": ""},
    {"prompt": "1 2 3 4 -> 10", "answer": {"value": 10}},
    {"prompt": "1 2 3 4 -> 10", "answer": ["10", []]},
    {"prompt": " \t", "answer": None},
    *({"prompt": f"1 2 3 4 -> {n}", "answer": str(n)} for n in range(10, 14)),
]
STRICT = """
def strict(completions, answer, **_):
    return [float(len(text) % 2) for text in completions]

def check(answer):
    if not isinstance(answer, str) or not answer:
        raise ValueError(f"answer is {answer!r}: expected text")

strict.check_answer = check
"""


@pytest.fixture
def faulty(here):
    """Data with every kind of fault beside five good rows, and a reward that says what it reads."""
    (here / "strict_reward.py").write_text(STRICT)
    sys.modules.pop("strict_reward", None)
    (here / "faulty.jsonl").write_text("".join(json.dumps(row) + "\n" for row in FAULTS))
    return own(dataset="faulty.jsonl", reward="strict_reward.strict", eval_dataset=None, max_steps=2)


def test_every_bad_row_is_on_one_page_before_any_work(faulty, here, bandpo_here):
    done = bandpo_here(["train", *faulty, "--output_dir", "run"], here)
    lines = done.stderr.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("bandpo train: "))
    page = lines[at:]
    assert done.returncode == 2 and not (here / "run").exists() and "Traceback" not in done.stderr
    assert max(map(len, page)) <= 100 and len(page) <= 16
    assert page[0] == "bandpo train: dataset='faulty.jsonl': 11 of 16 rows cannot be used (the first row is row 0)"
    assert page[-1] == "Mend these rows, or add --skip-bad-rows to go on without them."
    for line in ("rows 1, 11: prompt is empty", "row 2: prompt is missing (null)", "row 3: prompt is an int, 7"):
        assert any(shown.strip().startswith(line) for shown in page)


def test_bad_rows_are_left_out_where_they_may_be(faulty, here, caplog):
    folder = here / "run"
    execute([*faulty, "--skip_bad_rows", "--eval_dataset", "faulty.jsonl"], folder)
    result = json.loads((folder / "result.json").read_text())
    assert result["rows_left_out"] == 22 and result["steps"] == 2 and result["before"]["problems"] == 5
    assert "22 of 32 rows are left out" in caplog.text
    assert yaml.safe_load((folder / "config.yaml").read_text())["skip_bad_rows"] is True


def test_a_data_set_without_a_good_row(faulty, here):
    (here / "faulty.jsonl").write_text("".join(json.dumps(row) + "\n" for row in FAULTS[1:5]))
    with pytest.raises(BadRows, match="none of its 4 rows can be used"):
        plan(*parse_train([*faulty, "--skip_bad_rows", "true", "--output_dir", "run"]))


def test_held_out_rows_are_looked_at_too(faulty, here):
    (here / "good.jsonl").write_text("".join(json.dumps(row) + "\n" for row in FAULTS[-4:]))
    options = own(dataset="good.jsonl", reward="strict_reward.strict", eval_dataset=None, output_dir="run", max_steps=2)
    assert plan(*parse_train(options)).left_out == 0
    with pytest.raises(BadRows, match=r"eval_dataset='faulty.jsonl': 11 of 16 rows"):
        plan(*parse_train([*options, "--overwrite", "--eval_dataset", "faulty.jsonl"]))
    (here / "bare.jsonl").write_text('{"prompt": "1 2 3 4 -> 10"}\n')
    with pytest.raises(ValueError, match=r"needs a column 'answer': eval_dataset='bare.jsonl' has prompt"):
        plan(*parse_train([*options, "--overwrite", "--eval_dataset", "bare.jsonl"]))


def test_fewer_prompts_than_a_rollout_takes_are_an_error(here):
    rows = [{"prompt": prompt, "bonus": 0.0} for prompt in PROMPTS[:4]]
    for count, fits in ((3, False), (4, True)):
        Dataset.from_list(rows[:count]).to_json(here / "own.jsonl")
        options = own("--overwrite", max_steps=5, output_dir="run")
        if fits:
            plan(*parse_train(options))
            continue
        with pytest.raises(ValueError, match=r"dataset='own.jsonl' has 3 rows and one rollout takes 4 prompts"):
            plan(*parse_train(options))
        assert not (here / "run").exists()


def test_a_run_that_ends_early_is_not_complete(here):
    class Ends(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            control.should_training_stop = state.global_step == 2

    planned = plan(*parse_train(own(output_dir="run", disable_tqdm="true")))
    planned.trainer.add_callback(Ends())
    with pytest.raises(RuntimeError, match="training ended after 2 of 36 updates: the run is not complete"):
        planned.execute()
    assert not (here / "run" / "result.json").exists() and not (here / "run" / "model").exists()


REWARDS = """
def never(completions, **_):
    return [None] * len(completions)

def sometimes(completions, **_):
    return [None if n % 2 else float(len(text) % 3) for n, text in enumerate(completions)]

def nan(completions, **_):
    return [float("nan")] * len(completions)

def infinite(completions, bonus, **_):
    return [float("inf") if extra > 0.05 else 0.0 for extra in bonus]

def raising(completions, bonus, **_):
    if max(bonus) > 0.05:
        raise KeyError("mine")
    return [0.0] * len(completions)

def leaving(completions, bonus, **_):
    raise SystemExit(0)

def ending(completions, bonus, **_):
    raise EOFError

async def later(completions, bonus, **_):
    return raising(completions, bonus)
"""


@pytest.fixture
def rewards(here):
    (here / "more_rewards.py").write_text(REWARDS)
    sys.modules.pop("more_rewards", None)
    return here


@pytest.mark.parametrize("name", ["never", "nan", "sometimes"])
def test_a_reward_that_does_not_apply_is_left_out(rewards, name, capsys):
    folder = rewards / "run"
    options = own(reward=f"more_rewards.{name}", max_steps=4, logging_steps=4, output_dir=folder, disable_tqdm="false")
    planned = plan(*parse_train(options))
    returned = planned.execute()
    result = json.loads((folder / "result.json").read_text())
    metrics = records(folder / "metrics.jsonl")
    assert result["steps"] == 4 and len(metrics) == 1
    if name == "sometimes":
        assert 0 <= result["after"]["mean@2"] <= 2 and all(record["reward"] is not None for record in metrics)
    else:
        assert result["after"]["mean@2"] is None and math.isnan(returned["after"]["mean@2"])
        assert all(record["reward"] is None for record in metrics) and "reward=–" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("raising", RewardError, r"reward 'more_rewards.raising' raised KeyError at row \d+ of own.jsonl: 'mine'"),
        ("later", RewardError, r"reward 'more_rewards.later' raised KeyError at row \d+ of own.jsonl"),
        ("leaving", RewardError, r"reward 'more_rewards.leaving' raised SystemExit at row \d+ of own.jsonl: 0"),
        ("ending", RewardError, r"reward 'more_rewards.ending' raised EOFError at row \d+ of own.jsonl"),
        ("infinite", ValueError, r"reward 'more_rewards.infinite' gave inf for row \d+ of own.jsonl"),
    ],
)
def test_a_reward_that_fails_in_training_names_its_row(rewards, name, error, said):
    options = own(reward=f"more_rewards.{name}", eval_dataset=None, output_dir="run", disable_tqdm="true")
    with pytest.raises(error, match=said) as caught:
        plan(*parse_train(options)).execute()
    row = int(re.search(r"row (\d+)", str(caught.value))[1])
    assert 0 <= row < 13 and (name in ("leaving", "ending") or row > 5), "rows from 6 on have a bonus above 0.05"
    assert not (rewards / "run" / "result.json").exists()


def test_a_reward_that_leaves_is_a_failure_of_the_command(rewards, bandpo_command):
    done = bandpo_command(["train", *own(reward="more_rewards.leaving", output_dir="run")], rewards)
    assert done.returncode == 1 and "reward 'more_rewards.leaving' raised" in done.stderr
    assert "more_rewards.py" in done.stderr and not (rewards / "run" / "result.json").exists()
