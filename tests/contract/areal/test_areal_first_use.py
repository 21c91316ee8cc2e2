"""At the first use of a batch AReaL's proximal log-probs are the policy's, or a warning says why not."""

import first_uses
import pytest
from test_areal_loss import engine, run  # noqa: F401


@pytest.mark.parametrize("packed", [False, True])
def test_first_uses(engine, monkeypatch, packed):  # noqa: F811
    def loss(x, ids):
        run(engine, x, packed=packed)
        return engine.kept["scalar"].pop()

    first_uses.assert_seen(loss, monkeypatch)
