"""miles' own `train.py` on a CPU, with its FSDP backend: the reward must rise, every step's loss be the formula's."""

from pathlib import Path

import pytest
import tiny
from custom_run_tests import CustomRunTests
from sources import checkout

pytestmark = [pytest.mark.exercises("whole trainer", version="0.1.0"), pytest.mark.slow]
SCRIPT = Path(__file__).with_name("miles_trainer.py")


@pytest.fixture(scope="module")
def needed():
    checkout("miles")
    for name in ("accelerate", "ray", "transformers"):
        pytest.importorskip(name, reason="miles' environment: make test-engines ENGINES=miles")


@pytest.fixture(scope="module", params=["band-kl", "grpo"])
def trained(request, needed, tmp_path_factory):
    run = tiny.trained(SCRIPT, tmp_path_factory.mktemp("miles"), request.param, RANKS="1")
    return request.param, 1, run


class TestMilesTrainer(CustomRunTests):
    name, script = "miles", SCRIPT
