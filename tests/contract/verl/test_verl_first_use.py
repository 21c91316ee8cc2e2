"""At the first use of a batch verl's old log-probs are the policy's, or a warning says why not."""

import pytest

pytest.importorskip("verl.trainer", reason="verl is not installed: make test-engines ENGINES=verl")

import first_uses
from test_verl_function import actor

from bandpo.engines.verl import BandPolicyLossConfig, bandpo_loss

pytestmark = pytest.mark.exercises("real function")


def test_first_uses(monkeypatch):
    config = actor(BandPolicyLossConfig())

    def loss(x, ids):
        given = {"old_log_prob": x.old, "log_prob": x.new, "advantages": x.advantages, "response_mask": x.mask}
        return bandpo_loss(**given, config=config)[1]

    first_uses.assert_seen(loss, monkeypatch, name="actor/band/first_ratio_error")
