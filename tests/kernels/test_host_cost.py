"""What a loss on a CUDA device costs the host, held on a machine without one: launches, transfers, Python calls."""

import pytest

pytest.importorskip("triton", reason="Triton is not installed")

from benchmarks.host_cost import SETTINGS, cost, stubbed, work

# Launches and transfers of forward and backward pass together. With metrics there is one transfer more, of all their
# sums at once, which is no operator of torch.
MOST = {
    "loss": (2, 0),
    "loss, token-mean": (2, 0),
    "loss, checked": (2, 1),
    "loss with metrics": (3, 0),
    "loss with metrics, checked": (3, 1),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("method", ["band-kl", "grpo", "band-tv"])
def test_two_launches_and_a_short_path(setting, method):
    with stubbed() as stub:
        found = cost(work(SETTINGS[setting], method), stub)
    launches, transfers = MOST[setting]
    assert (found.launches, found.transfers) == (launches, transfers)
    assert found.calls <= (40 if "checked" not in setting else 50)


def test_options_of_the_method_and_of_the_average_cost_nothing_more():
    options = {"delta": 0.03, "max_ratio": 10.0, "dual_clip": 3.0, "denominator": 7.0, "aggregation": "token-mean"}
    with stubbed() as stub:
        found = cost(work({**options, "metrics": False, "check": False}), stub)
    assert (found.launches, found.transfers) == (2, 0) and found.calls <= 40


def test_what_the_kernel_does_not_serve_takes_the_long_way():
    with stubbed() as stub:
        found = cost(work({"metrics": False, "check": False}, "band-mirror"), stub)
    assert stub.launches == 0 and found.launches > 20
