"""At the first use of a batch prime-rl's log-probs and its sampler's are equal, or a warning says why not."""

import first_uses
from test_prime_rl_signature import engine, run  # noqa: F401


def test_first_uses(engine, monkeypatch):  # noqa: F811
    def loss(x, ids):
        _, metrics = run(engine, x)
        values = metrics.get("band/first_ratio_error")
        return {} if values is None else {"band/first_ratio_error": values.mean().item()}

    first_uses.assert_seen(loss, monkeypatch)
