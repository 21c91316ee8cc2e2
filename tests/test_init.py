import subprocess
import sys

import pytest

import bandpo

HEAVY = ("trl", "transformers", "scipy", "typer", "matplotlib", "datasets", "accelerate", "yaml", "mpmath")


def test_importing_bandpo_imports_nothing_heavier_than_torch():
    code = f"import sys, bandpo; print([name for name in {HEAVY!r} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_everything_public_exists():
    assert sorted(bandpo.__all__) == list(bandpo.__all__)
    assert all(hasattr(bandpo, name) for name in bandpo.__all__)


@pytest.mark.parametrize("name", [name for name in bandpo.__all__ if name != "AGGREGATIONS"])
def test_every_public_name_is_documented_with_an_example(name):
    assert ">>>" in (getattr(bandpo, name).__doc__ or "")
