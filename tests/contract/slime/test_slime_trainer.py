"""slime's own `train.py` on a CPU, with real Megatron: the reward must rise, every step's loss be the formula's."""

from pathlib import Path

import pytest
import tiny
from custom_run_tests import CustomRunTests
from sources import checkout

pytestmark = [pytest.mark.exercises("whole trainer", version="0.3.1"), pytest.mark.slow]
SCRIPT = Path(__file__).with_name("slime_trainer.py")


@pytest.fixture(scope="module")
def needed():
    checkout("slime")
    checkout("megatron-lm")
    for name in ("megatron.core", "ray", "transformers"):
        pytest.importorskip(name, reason="slime's environment: make test-engines ENGINES=slime")


@pytest.fixture(scope="module", params=[("band-kl", 2), ("grpo", 1)], ids=["band-kl on 2 ranks", "grpo"])
def trained(request, needed, tmp_path_factory):
    method, ranks = request.param
    return method, ranks, tiny.trained(SCRIPT, tmp_path_factory.mktemp("slime"), method, RANKS=str(ranks))


class TestSlimeTrainer(CustomRunTests):
    name, script = "slime", SCRIPT

    def test_ranks_share_the_vocabulary(self, trained):
        _, ranks, run = trained
        assert {row["logits"] for row in run["losses"]} == {tiny.VOCABULARY // ranks}
