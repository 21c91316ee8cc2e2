"""The study of `benchmarks/science` on the device: its first rollout beside the CPU's, and runs a minute."""

from __future__ import annotations

from bandpo.views.specs import parse_specs
from benchmarks.gpu.record import Record
from benchmarks.gpu.setting import Setting
from benchmarks.science.run import STACK_SIZE
from benchmarks.science.speed import METHODS, START, stacked
from benchmarks.science.stack import Run, Settings, Stack


def measure(setting: Setting, record: Record) -> None:
    """Compare the first rollout, then time a stack."""
    size, rollouts = (4, 1) if setting.is_small else (STACK_SIZE["cuda"], 3)
    here, there = (_first_rewards(device) for device in (setting.device, "cpu"))
    worst = max(abs(one - other) for one, other in zip(here, there, strict=True))
    record.add("study_reward", worst, f"{len(here)} runs")
    found = stacked(size, rollouts, setting.device)
    record.note("seconds", found)
    record.add("study_rate", 60 / found["seconds"], f"stacks of {size}")


def _first_rewards(device: str) -> list[float]:
    """Return the mean reward of every run's first rollout and updates."""
    specs = parse_specs(METHODS)
    runs = [Run(spec, 1e-4, seed, START) for seed, spec in enumerate(specs)]
    return Stack(runs, Settings(updates=16), device).rollout()["reward"].tolist()
