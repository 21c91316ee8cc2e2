"""What our trainer adds to a micro-batch of TRL's, counted without a GPU, and the table of it on the page."""

import json

import pytest
import torch
from torch.torch_version import TorchVersion

pytest.importorskip("triton", reason="Triton is not installed")
pytest.importorskip("trl", reason="TRL is not installed: pip install 'bandpo[train]'")

from benchmarks.trl_launches import ARMS, PAGE, RESULT, START, STOCK, measured, table

# More launches than stock TRL's; no value more is read back.
MOST = {
    "band-kl, no `band/*` metrics": 6,
    "band-kl": 12,
    "band-mirror": 12,
    "dcpo, dual clip": 24,
    "band-kl, first use of a batch": 78,
}


def of_clamp(arm):
    """What the backward pass of TRL's clamp takes more where its limits are tensors, from torch 2.15 on."""
    if TorchVersion(torch.__version__) < "2.15":
        return 0
    return 8 if "dual clip" in arm else 6


@pytest.fixture(scope="module")
def stock():
    return measured(STOCK)


@pytest.mark.parametrize("arm", MOST)
def test_a_few_launches_more_than_stock_trl_and_no_transfer(stock, arm):
    found = measured(arm)
    assert found.launches - stock.launches <= MOST[arm] + of_clamp(arm)
    assert found.transfers == stock.transfers


def test_the_table_is_what_was_measured():
    rows = json.loads(RESULT.read_text(encoding="utf-8"))["rows"]
    assert rows.keys() == ARMS.keys()
    assert START + table(rows) in PAGE.read_text(encoding="utf-8")
    for arm, most in MOST.items():
        assert rows[arm]["more launches"] == most and rows[arm]["more transfers"] == 0
