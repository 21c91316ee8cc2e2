"""At the first use of a batch SkyRL's old log-probs are the policy's, or a warning says why not."""

import pytest

pytest.importorskip("skyrl.train.config", reason="SkyRL is not installed: make test-engines ENGINES=skyrl")

import first_uses
from test_skyrl_function import config, run

pytestmark = pytest.mark.exercises("real function")


def test_first_uses(monkeypatch):
    algorithm = config()
    first_uses.assert_seen(lambda x, ids: run(x, algorithm)[1], monkeypatch)
