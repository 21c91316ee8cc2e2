"""At the first use of a batch OpenRLHF's old log-probs are the policy's, or a warning says why not."""

import first_uses
from test_openrlhf_loss import run, stock  # noqa: F401


def test_first_uses(stock, monkeypatch):  # noqa: F811
    first_uses.assert_seen(lambda x, ids: run(stock, x) and None, monkeypatch, name=None)
