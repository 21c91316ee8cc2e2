"""docs/metrics.md defines every metric that a loss or a first use returns, once."""

import re
from pathlib import Path

import pytest
import torch

import bandpo
from bandpo.core.objective.metrics import bucket_names
from bandpo.microscope.alignment.first_ratio import first_ratio_metrics

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (.+?) \| .+ \| .+ \|$", PAGE.split("<!-- table")[1].split("<!-- end")[0], re.MULTILINE)
DEFINED = [name for row in ROWS if row not in ("name", "---") for name in re.split(r", ", row)]


def returned(method):
    logp = torch.full((4, 3), -1.0)
    known = bandpo.get_method(method).inputs
    inputs = {name: needed.made_up(logp, logp) for name, needed in known.items() if name != "entropy"}
    given = {"entropy": torch.ones(4, 3), "logp_rollout": logp, "logp_ref": logp, "beta": 0.1, **inputs}
    out = bandpo.policy_loss(logp, logp, torch.ones(4), torch.ones(4, 3), method=method, **given)
    return set(out.metrics) | set(first_ratio_metrics(logp, logp, torch.ones(4, 3)))


@pytest.mark.parametrize("method", bandpo.methods())
def test_every_metric_of_a_method_is_defined(method):
    buckets = {f"clip_{side}/{name}" for side in ("high", "low") for name in bucket_names()}
    assert returned(method) - set(DEFINED) - buckets == set()


def test_no_metric_is_defined_twice_or_never_returned():
    names = [name for name in DEFINED if "/" not in name]
    everything = set().union(*map(returned, ("band-kl", "dual-clip", "sapo", "two-sided")))
    assert len(names) == len(set(names)) and set(names) <= everything | {"dual_clip"}
    assert f"/{bucket_names()[0]} ... {bucket_names()[-1]}" in PAGE
