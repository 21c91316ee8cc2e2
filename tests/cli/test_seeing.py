"""The commands that show methods, as a user types them: what they print and write, and mistakes in one line."""

import json
import re
import shlex
import sys
import time

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import bandpo
from bandpo.cli.app import app


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda words: CliRunner().invoke(app, shlex.split(words))


def mistake(result, command):
    """The one line that a user's mistake ends in."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"bandpo {command}: ")
    return line


@pytest.mark.parametrize("command", ["methods", "bounds", "match"])
def test_examples_work_as_typed(run, tmp_path, command):
    (example,) = re.findall(r"Example:\s+bandpo (.*)", run(f"{command} --help").stdout)
    assert run(example).exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == (["b.png"] if command == "bounds" else [])


def test_methods_lists_every_method_once(run):
    result = run("methods")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    for name, method in bandpo.methods().items():
        (line,) = [line for line in lines if re.match(rf" {re.escape(name)} ", line)]
        assert ("*" in line[:22]) == method.ours and ("?" in line[:22]) == bool(method.experimental)


@pytest.mark.parametrize("name", [*bandpo.methods(), "spo", "band-alpha=1.5"])
def test_one_method_is_shown_whole(run, name):
    result, method = run(f"methods {name}"), bandpo.get_method(name)
    shown = " ".join(result.stdout.split())
    assert result.exit_code == 0 and len(result.stdout.splitlines()) <= 40
    for said in (method.summary, method.formula, method.citation, method.experimental):
        assert said.replace(" ", "") in shown.replace(" ", "")
    for option in method.hyperparameters:
        assert f"option {option} = " in shown
    for needed in method.inputs:
        assert f"{needed}, " in shown


def test_json_is_the_registry(run):
    assert json.loads(run("methods --json").stdout).keys() == bandpo.methods().keys()
    assert json.loads(run("methods --json grpo").stdout)["hyperparameters"]["eps_low"] == 0.2


def test_an_unknown_method_is_answered_with_the_nearest(run):
    assert "no method 'clip-hihger'; did you mean clip-higher or" in mistake(run("methods clip-hihger"), "methods")
    assert "see `bandpo methods`" in mistake(run("methods xyzzy"), "methods")


def test_bounds_prints_what_band_gives(run):
    result = run("bounds --methods band-kl,grpo --p 0.1,0.5 --delta 0.05")
    assert result.exit_code == 0
    assert re.search(r"band-kl +│ 0.1 +│ 0.313 .. 2.20 +│ 0.0313 .. 0.220 +│ -0.0687 .. \+0.120", result.stdout)
    assert re.search(r"grpo +│ 0.1 +│ 0.800 .. 1.20", result.stdout)


def test_delta_is_for_the_methods_that_give_none(run):
    shown = run("bounds --methods band-tv,band-tv:delta=0.3 --p 0.5 --delta 0.1").stdout
    assert "0.400 .. 0.600" in shown and "0.200 .. 0.800" in shown
    assert "0.350 .. 0.650" in run("bounds --methods dppo-tv --p 0.5").stdout
    assert (
        run("bounds --methods flex-entropy:progress=0.9 --p 0.1").stdout != run("bounds --methods flex-entropy").stdout
    )


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_bounds_are_drawn(run, tmp_path, suffix):
    result = run(f"bounds --methods band-kl,clip-higher,dcpo --draw b.{suffix}")
    assert result.exit_code == 0 and f"drawn in b.{suffix}" in result.stdout
    assert (tmp_path / f"b.{suffix}").stat().st_size > 5000


def test_match_prints_both_tables(run):
    result = run("match")
    assert result.exit_code == 0 and max(map(len, result.stdout.splitlines())) <= 80
    assert "ε that δ = 0.05 equals" in result.stdout and "δ that ε = 0.2 and 0.28 equals" in result.stdout
    only = run("match --delta 0.1 --divergence tv --p 0.5").stdout
    assert re.search(r"tv +below +0.200", only) and "δ that" not in only
    only = run("match --eps 0.2 --divergence tv,alpha=2 --p 0.5").stdout
    assert re.search(r"tv +0.8 +0.100", only) and re.search(r"alpha=2 +0.8 +0.0200", only) and "ε that" not in only
    everything = run("match --divergence all").stdout
    assert all(re.search(rf" {name} ", everything) for name in bandpo.divergences())


@pytest.fixture
def batch(tmp_path):
    g = torch.Generator().manual_seed(0)
    logp_old = -3 * torch.rand(8, 50, generator=g) - 0.5
    logp = logp_old + 0.2 * torch.randn(8, 50, generator=g).clamp(-2, 2)
    arrays = {"logp": logp, "logp_old": logp_old, "advantages": torch.randn(8, generator=g)}
    np.savez(tmp_path / "b.npz", **{name: tensor.numpy() for name, tensor in arrays.items()})
    return arrays


@pytest.mark.parametrize("goal", ["--like clip-higher", "--like dppo-tv:delta=0.02", "--clip-fraction 0.05"])
def test_matched_radii_stop_what_they_are_said_to(run, batch, goal):
    result = run(f"match --batch b.npz {goal}")
    assert result.exit_code == 0, result.output
    goal = float(re.search(r"stop ([\d.]+)% of 400 tokens", result.stdout)[1])
    specs = re.findall(r"│ (\S+:\S+) +│ +([\d.]+)%", result.stdout)
    assert len(specs) == len(bandpo.divergences()) + 2
    for spec, said in specs:
        name, *options = spec.split(":")
        options = {key: float(value) for key, value in (option.split("=") for option in options)}
        out = bandpo.policy_loss(**batch, mask=torch.ones(8, 50), method=name, **options)
        stopped = 100 * bandpo.metric_means(out.metrics)["clip"]
        assert stopped == pytest.approx(float(said), abs=0.006) and stopped == pytest.approx(goal, abs=0.26)


def test_the_way_to_record_a_batch_works_as_shown(run, batch, tmp_path):
    shown = run("match --help").stdout
    lines = re.findall(r"^ (given = .*|bandpo.record.*?) *$", shown, re.MULTILINE)
    assert len(lines) == 2
    folder = tmp_path / "mine"
    exec("\n".join(lines), {**batch, "bandpo": bandpo, "mask": torch.ones(8, 50), "FOLDER": folder})
    while not list(folder.glob("*.safetensors")):  # a thread writes it
        time.sleep(0.01)
    assert run("match --batch mine --like clip-higher").exit_code == 0


def test_atlas_is_written(run, tmp_path, monkeypatch):
    few = [bandpo.get_method(name) for name in ("grpo", "cfpo")]
    monkeypatch.setattr("bandpo.cli.atlas.by_family", lambda: few)
    (example,) = re.findall(r"Example:\s+bandpo (.*)", run("atlas --help").stdout)
    result = run(example)
    assert result.exit_code == 0 and re.search(r"2 methods in atlas.html \(\d\.\d MB\)", result.stdout)
    assert (tmp_path / "atlas.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("bounds --methods nope", "method='nope'"),
        ("bounds --methods cispo", "method 'cispo' has no bounds"),
        ("bounds --methods quatro", "depends on group_rewards"),
        ("bounds --methods grpo --delta 0.1", "--delta 0.1: expected a method that takes a radius among grpo"),
        ("bounds --delta -1", "delta=-1.0"),
        ("bounds --methods band-tv --delta 2", "delta=2.0"),
        ("bounds --p 0,0.5", "--p 0,0.5: expected numbers between 0 and 1"),
        ("bounds --p half", "--p half: expected numbers"),
        ("bounds --methods grpo:eps_low", "expected METHOD:NAME=VALUE"),
        ("bounds --methods grpo:nope=1", "takes no 'nope'"),
        ("bounds --draw b.gif", "draw='b.gif': expected a file ending in .png, .svg, .pdf"),
        ("bounds --draw absent/b.png", "absent/b.png"),
        ("match --eps 2", "--eps 2: expected numbers between 0 and 1"),
        ("match --p 1", "--p 1: expected numbers between 0 and 1"),
        ("match --divergence nope", "divergence='nope': expected one of kl"),
        ("match --delta 0", "delta=0.0: expected 0 < delta"),
        ("match --clip-fraction 0.05", "--clip-fraction 0.05: expected also --batch FILE"),
        ("match --like grpo", "--like grpo: expected also --batch FILE"),
        ("match --batch b.npz", "--batch b.npz: expected also one of --clip-fraction and --like"),
        ("match --batch b.npz --like grpo --clip-fraction 0.1", "expected also one of"),
        ("match --batch b.npz --like grpo --p 0.5", "--p 0.5: expected without it"),
        ("match --batch absent.npz --like grpo", "batch: absent.npz: no such file"),
        ("match --batch b.npz --like nope", "method='nope'"),
        ("match --batch b.npz --like grpo,dcpo", "--like grpo,dcpo: expected one method"),
        ("match --batch b.npz --like no-clip", "--like no-clip: it stops none of the 400 tokens"),
        ("match --batch b.npz --like tre", "'tre' needs logits"),
        ("match --batch b.npz --clip-fraction 0.9", "share 0.9 of 400 tokens: expected at most"),
        ("match --batch b.npz --clip-fraction 2", "--clip-fraction 2: expected a share above 0 and below 1"),
        ("atlas --out atlas.txt", "out='atlas.txt': expected a file ending in .html"),
        ("atlas --out absent/atlas.html", "out='absent/atlas.html': no folder 'absent'"),
    ],
)
def test_mistakes_are_one_line(run, batch, tmp_path, command, expected):
    assert expected in mistake(run(command), command.split()[0])
    assert [path.name for path in tmp_path.iterdir()] == ["b.npz"]


@pytest.mark.parametrize("missing", ["plotly", "jinja2"])
def test_without_the_extra_it_says_what_to_install(run, tmp_path, monkeypatch, missing):
    for name in [missing, *(name for name in sys.modules if name.startswith(f"{missing}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "bandpo.views.atlas", raising=False)
    result = run("atlas")
    assert result.exit_code == 1 and not list(tmp_path.iterdir())
    assert result.stderr.strip() == f"bandpo atlas: needs {missing}: pip install 'bandpo[view]'"
