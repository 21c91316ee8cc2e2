"""Old log-probs in 16 bits are said, with what their rounding does; nothing else is."""

import math
import warnings

import pytest
import torch

import bandpo
from bandpo.core.objective.inputs import PrecisionWarning


def said(**options):
    dtype = options.pop("dtype")
    logp = torch.full((1, 2), -1.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bandpo.policy_loss(logp, logp.to(dtype), torch.ones(1), torch.ones(1, 2), **options)
    return [str(warning.message) for warning in caught if warning.category is PrecisionWarning]


@pytest.mark.parametrize(("dtype", "digits"), [(torch.bfloat16, 8), (torch.float16, 11)])
def test_sixteen_bits_are_said_with_the_largest_error_of_a_rare_token(dtype, digits):
    (text,) = said(dtype=dtype)
    ulp = 2.0 ** (math.floor(math.log2(-math.log(0.01))) + 1 - digits)
    assert f"{100 * math.expm1(ulp / 2):.1f} %" in text


@pytest.mark.parametrize(
    "options", [{"dtype": torch.float32}, {"dtype": torch.float64}, {"dtype": torch.bfloat16, "check": False}]
)
def test_nothing_else_is_said(options):
    assert said(**options) == []
