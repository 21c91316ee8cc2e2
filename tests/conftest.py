"""What every test runs under: one thread, no Hub, no accelerator, Triton interpreted; and one tiny run for many."""

import os

os.environ |= {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "",
    "COLUMNS": "80",
    "TRITON_INTERPRET": "1",
}

import subprocess
import sys

import pytest
import torch

from bandpo.core.regions.dispatch import has_triton

if not has_triton():
    # One that no kernel can be built with is none: what imports it is skipped.
    sys.modules["triton"] = None

TINY = {
    "per_device_train_batch_size": 16,
    "num_generations": 8,
    "steps_per_generation": 2,
    "max_steps": 8,
    "evaluate_every": 1,
    "eval_samples": 2,
    "logging_steps": 2,
    "save_steps": 4,
    "learning_rate": 1e-3,
}


def pytest_configure(config):
    # Recipes name the option that every supported transformers has, not its newest spelling.
    config.addinivalue_line("filterwarnings", "ignore:.*gradient_checkpointing.*:FutureWarning")


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, and the current one, whose modules no other test imports."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture(scope="session")
def one_line():
    """(function, its arguments) -> the one line, with what was expected, of the ValueError it raises."""

    def refusal(function, *arguments, **options):
        with pytest.raises(ValueError) as caught:
            function(*arguments, **options)
        text = str(caught.value)
        assert "\n" not in text and "expected" in text
        return text

    return refusal


@pytest.fixture(scope="session")
def tiny():
    """Options of `bandpo train` under which the embedded task takes a second."""
    return [f"--{name}={value}" for name, value in TINY.items()]


@pytest.fixture(scope="session")
def tiny_with():
    """(changes by name) -> those options with other values; an option given twice would be refused."""
    return lambda **changes: [f"--{name}={value}" for name, value in {**TINY, **changes}.items()]


@pytest.fixture(scope="session")
def bandpo_command():
    """(arguments, folder) -> the finished `python -m bandpo` process."""

    def run(arguments, folder, **options):
        command = [sys.executable, "-m", "bandpo", *map(str, arguments)]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, **options)

    return run


@pytest.fixture(scope="session")
def bandpo_here():
    """The same in this process, where what it imports is there already; an error that it does not expect is raised."""
    from typer.testing import CliRunner

    from bandpo.cli.app import app

    def run(arguments, folder):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            done = CliRunner().invoke(app, [*map(str, arguments)], prog_name="bandpo", catch_exceptions=False)
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, bandpo_here, tiny):
    """Folder and standard output of a whole run that nothing interrupted."""
    parent = tmp_path_factory.mktemp("tiny")
    done = bandpo_here(["train", *tiny, "--output_dir", "run"], parent)
    assert done.returncode == 0, done.stderr
    return parent / "run", done.stdout
