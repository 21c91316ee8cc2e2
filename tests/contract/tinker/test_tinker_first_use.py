"""At the first call of a process tinker's log-probs are the sampler's; its optimizer is elsewhere, so no other is."""

import first_uses
import pytest
from test_tinker_loss import run

from bandpo.engines.tinker import band_loss

pytestmark = pytest.mark.exercises("signature only", version="0.38.0")


def test_first_uses(monkeypatch):
    loss = band_loss()
    name = "band/first_ratio_error:mean"

    def metrics(x, ids):
        return run(loss, x)[2]

    faulty = first_uses.Run(metrics, monkeypatch)
    for micro in (2, 1, 3):
        faulty.update(*first_uses.sampled(temperature=0.6), micro)
    assert len(faulty.warnings) == 1
    errors = faulty.errors(name)
    assert errors[0][0] > 0.1 and not any(errors[0][1:]) and not any(map(any, errors[1:]))
    clean = first_uses.Run(metrics, monkeypatch)
    clean.update(*first_uses.sampled())
    clean.update(*first_uses.sampled(shift=-0.3), 4)
    assert not clean.warnings and clean.errors(name)[0] == pytest.approx([0.0], abs=1e-5)
