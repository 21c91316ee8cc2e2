"""Oracles and measures shared by the tests of the core."""

import math

import pytest
import torch
from torch.torch_version import TorchVersion

from benchmarks import oracle

# Before, dynamo takes no `_replace` of a NamedTuple, and vmap no view of other bits.
IS_WHOLE, OF_WHOLE = TorchVersion(torch.__version__) >= "2.8", "one graph, and vmap: from torch 2.8 on"
of_whole = pytest.mark.skipif(not IS_WHOLE, reason=OF_WHOLE)

# Reference bounds of δ = 0.05 by fp64 bisection, ratios: p, KL low, KL high, TV low, TV high, χ² low, χ² high.
REFERENCE = (
    (1e-4, 2.6e-218, 494.60388, 0, 501, 0, 23.359562),
    (1e-3, 7.09902e-23, 53.548087, 0, 51, 0, 8.0675314),
    (0.01, 0.00249739, 7.8098463, 0, 6, 0, 3.2248595),
    (0.05, 0.162022, 2.9812499, 0, 2, 0.0253206, 1.9746794),
    (0.08, 0.261696, 2.4105538, 0.375, 1.625, 0.241712, 1.7582875),
    (0.1, 0.312784, 2.200786, 0.5, 1.5, 0.329180, 1.6708204),
    (0.2, 0.475941, 1.7176785, 0.75, 1.25, 0.552786, 1.4472136),
    (0.3, 0.570872, 1.5153228, 0.833333, 1.1666667, 0.658435, 1.3415650),
    (0.5, 0.691516, 1.3084843, 0.9, 1.1, 0.776393, 1.2236068),
    (0.7, 0.779147, 1.1839118, 0.928571, 1.0714286, 0.853615, 1.1463850),
    (0.9, 0.866579, 1.0763573, 0.944444, 1.0555556, 0.925464, 1.0745356),
    (0.95, 0.895724, 1.0441041, 0.947368, 1.0526316, 0.948701, 1.0512989),
    (0.99, 0.931214, 1.0100758, 0.949495, 1 / 0.99, 0.977527, 1 / 0.99),
    (0.999, 0.947399, 1.001001, 0.949950, 1 / 0.999, 0.992925, 1 / 0.999),
)

LOGPS = (-95.0, -60.5, -50.0, -20.0, -9.0, -5.0, -3.0, -1.0, -0.7, -0.5, -0.1, -0.01, -1e-4, -1e-7, -1e-12)


def ulp(x: float, dtype: torch.dtype) -> float:
    """Spacing of `dtype` at x."""
    info = torch.finfo(dtype)
    return 2.0 ** (max(math.frexp(x)[1] - 1, round(math.log2(info.tiny))) + round(math.log2(info.eps)))


def ulp_error(found: torch.Tensor, truth: oracle.Bound) -> float:
    """Distance of one value to the truth in units of the last place of its dtype; inf where only one is -inf."""
    if math.isinf(truth.high) or torch.isinf(found):
        return 0.0 if found.item() == truth.high else math.inf
    return abs(found.double().item() - truth.high - truth.low) / ulp(truth.high, found.dtype)


def logps(dtype: torch.dtype, points=LOGPS) -> torch.Tensor:
    return torch.tensor(points, dtype=torch.float64).to(dtype)


def underflows(truth: oracle.Bound, dtype: torch.dtype) -> bool:
    return truth.high < (-103.98 if dtype == torch.float32 else -745.14)
