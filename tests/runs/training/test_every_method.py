"""`bandpo train --method NAME` on the embedded task, for every name in the registry, a few updates each.

One method of each kind is trained here, the others among the slow tests; TRL's own tests train every name.
"""

import json

import pytest

import bandpo
from bandpo.cli.options import parse_train
from bandpo.runs.training import plan


def kind(name):
    """What a method asks of a training run."""
    method = bandpo.get_method(name)
    return method.family, method.anchor, method.scope, *method.inputs


NAMES = [*bandpo.methods(), "band-alpha=1.5"]
FIRST = {kind(name): name for name in reversed(NAMES)}
CASES = [name if FIRST[kind(name)] == name else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]


@pytest.mark.parametrize("method", CASES)
def test_trains_the_embedded_task(tmp_path, tiny_with, method):
    few = {"max_steps": 4, "logging_steps": 1, "evaluate_every": 100, "disable_tqdm": "true", "eval_samples": 1}
    few["per_device_train_batch_size"] = 64  # enough answers for one of them to be right
    run, args = parse_train([*tiny_with(**few), "--method", method, "--output_dir", f"{tmp_path}/run"])
    result = plan(run, args).execute()
    assert (result["method"], result["steps"]) == (method, 4)
    assert result["hyperparameters"].keys() == bandpo.get_method(method).hyperparameters.keys()
    assert json.loads((tmp_path / "run" / "result.json").read_text())["after"]["mean@1"] >= 0
    logged = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert max(entry["grad_norm"] for entry in logged) > 0
