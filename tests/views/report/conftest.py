"""Runs, comparisons and recorded batches as they lie on disk, small, and one whose every text is hostile."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import yaml

from bandpo.core.objective.metrics import bucket_names
from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.file import as_bytes
from bandpo.views.report.page import report

ACTIVE = '</script><script>window.hurt=1</script><img src=x onerror="window.hurt=1">'
HOSTILE = ACTIVE + "'\"&{{7*7}}%{x}$\x00\x1b[2J\u202e"
BROKEN = HOSTILE + "\ud800"
LONG = "long" * 25_000


def json_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def logged(step):
    """What TRL logs at a step, in part."""
    series = {"step": step, "reward": 0.1 + step / 1000, "entropy": 0.6 - step / 1000, "grad_norm": 0.2}
    series |= {"band/clip": 0.01, "band/clip/tokens": 700, "band/approx_kl": 0.01, "band/first_ratio_error": 0.0}
    for at, bucket in enumerate(bucket_names()):
        for side in ("clip_high", "clip_low"):
            series |= {f"band/{side}/{bucket}": at / 100, f"band/{side}/{bucket}/tokens": 100 if at else 0}
    return series


def scores(step, mean):
    named = {"mean@32": mean, "pass@32": 2 * mean, "entropy": 0.5}
    return {"step": step, **named, "errors": {"mean@32": 0.01, "pass@32": 0.02}, "problems": 128}


def write_run(folder: Path, config: Mapping = {"method": "band-kl", "max_steps": 100}, mean=0.2):
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(dict(config), allow_unicode=True), encoding="utf-8")
    (folder / "environment.json").write_text(json.dumps({"python": "3.11", "packages": {"torch": "2.13"}}))
    (folder / "metrics.jsonl").write_text(json_lines(logged(step) for step in range(10, 101, 10)))
    (folder / "evaluations.jsonl").write_text(json_lines([scores(0, 0.1), scores(50, 0.12), scores(100, mean)]))
    answers = [{"prompt": "1 2", "completion": "1 + 2", "reward": 1.0}] * 2
    (folder / "samples.jsonl").write_text(json_lines([*answers, {"prompt": "3 4", "completion": "3", "reward": 0.0}]))
    result = {"method": "band-kl", "hyperparameters": {"delta": 0.05}, "seed": 1, "steps": 100, "seconds": 61.0}
    result |= {"before": scores(0, 0.1), "after": scores(100, mean)}
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def batch(step, texts=("one", " two", "three\n", "four"), prompt="count"):
    g = torch.Generator().manual_seed(step)
    logp_old = torch.rand(8, 12, generator=g).clamp_min(1e-3).log()
    moved = torch.minimum(logp_old + 0.3 * torch.randn(8, 12, generator=g), 0.1 * logp_old)
    return TokenBatch(
        mask=torch.rand(8, 12, generator=g) > 0.2,
        logp=logp_old.clone() if step == 0 else moved,
        logp_old=logp_old,
        advantages=torch.randn(8, 1, generator=g).expand(8, 12),
        token_ids=torch.randint(0, len(texts), (8, 12), generator=g),
        groups=torch.arange(8) // 2,
        rewards=torch.arange(8) % 2.0,
        step=step,
        is_first_use=step == 0,
        settings={"method": "band-kl", "options": {"delta": 0.05}},
        texts=dict(enumerate(texts)),
        prompts=[f"{prompt} {row}" for row in range(8)],
    )


def write_batches(folder: Path, **given):
    folder.mkdir(parents=True)
    for step in (0, 10, 20):
        (folder / f"step_{step:05d}.safetensors").write_bytes(as_bytes(batch(step, **given)))
    return folder


def write_comparison(folder: Path, methods=("grpo", "band-kl")):
    folder.mkdir(parents=True)
    entry = {"values": [0.1, 0.12, 0.14], "mean": 0.12, "se": 0.0115}
    curve = {"step": [0, 50, 100], "mean@32": [0.1, 0.11, 0.12], "mean@32 se": [0.0, 0.01, 0.01]}
    gap = {"mean": 0.02, "se": 0.001, "low": 0.01, "high": 0.03, "p": 0.01}
    held = {
        "seeds": [1, 2, 3],
        "start": {"step": 0, "mean@32": 0.1},
        "methods": {method: {"mean@32": entry} for method in methods},
        "differences": [{"methods": list(methods[::-1]), "mean@32": gap}],
        "curves": dict.fromkeys(methods, curve),
        "config": {"model": methods[0]},
    }
    (folder / "results.json").write_text(json.dumps({**held, "environment": {}, "command": "bandpo compare"}))
    return folder


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder with a run that has recorded batches, a comparison, and batches alone."""
    place = tmp_path_factory.mktemp("report")
    write_batches(write_run(place / "run") / "batches")
    write_comparison(place / "compared")
    write_batches(place / "dumped")
    return place


@pytest.fixture(scope="session")
def page(place):
    return report([place / "run", place / "compared"])


@pytest.fixture(scope="session")
def hostile_page(tmp_path_factory):
    place = tmp_path_factory.mktemp("hostile")
    texts = (HOSTILE, LONG, "", "e\u0301\u0301" * 40, "\u05d0\u05d1", "\n\n")
    run = write_run(place / 'a "><img src=x onerror=window.hurt=1>', {"method": "band-kl", "note": HOSTILE})
    (run / "environment.json").write_text(json.dumps({BROKEN: BROKEN, "packages": {HOSTILE: LONG}}))
    (run / "metrics.jsonl").write_text(
        json_lines([{**logged(step), "band/clip_high/p<b>x": 0.5, "band/huge": 10**400} for step in (1, 2)])
    )
    (run / "evaluations.jsonl").write_text(json_lines([{**scores(step, 0.5), HOSTILE: 0.5} for step in (0, 1)]))
    answer = {"prompt": BROKEN, "completion": LONG, "reward": 1e300}
    (run / "samples.jsonl").write_text(json_lines([answer, {"prompt": [{"content": HOSTILE}], "completion": HOSTILE}]))
    result = {"method": HOSTILE, "hyperparameters": {HOSTILE: HOSTILE}, "seed": HOSTILE, "steps": HOSTILE}
    (run / "result.json").write_text(json.dumps(result))
    write_batches(run / "batches", texts=texts, prompt=HOSTILE)
    return report([run, write_comparison(place / "compared", methods=(HOSTILE, "band-kl"))])
