"""At the first use of a batch Trinity-RFT's old log-probs are the policy's, or a warning says why not."""

import pytest

pytest.importorskip(
    "trinity.algorithm.policy_loss_fn", reason="Trinity-RFT is not installed: make test-engines ENGINES=trinity_rft"
)

import first_uses
from test_trinity_rft_function import build, run

pytestmark = pytest.mark.exercises("real function")


def test_first_uses(monkeypatch):
    loss = build()
    first_uses.assert_seen(lambda x, ids: run(x, loss)[1], monkeypatch)
