import math

import pytest
import torch

import bandpo

LOSSES = torch.tensor([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0], [5.0, 5.0, 5.0]])
MASK = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
# By hand: token sums 3 and 10, lengths 2 and 1, the third sequence is empty.
EXPECTED = {
    "token-mean": 13 / 3,
    "seq-mean-token-mean": (1.5 + 10) / 2,
    "seq-mean-token-sum": (3 + 10) / 2,
    "seq-mean-token-sum-norm": (3 + 10) / 8 / 2,
}


def options(name):
    return {"max_tokens": 8} if name == "seq-mean-token-sum-norm" else {}


def test_every_name_is_tested():
    assert tuple(EXPECTED) == bandpo.AGGREGATIONS


@pytest.mark.parametrize("name", EXPECTED)
def test_each_aggregation_is_what_its_formula_says(name):
    assert bandpo.aggregate(LOSSES, MASK, name, **options(name)).item() == pytest.approx(EXPECTED[name])


def test_the_default_is_the_mean_over_sequences_of_token_means():
    assert bandpo.aggregate(LOSSES, MASK).item() == pytest.approx(EXPECTED["seq-mean-token-mean"])


@pytest.mark.parametrize("name", EXPECTED)
def test_padding_permuting_and_what_is_masked_change_nothing(name):
    expected = bandpo.aggregate(LOSSES, MASK, name, **options(name))
    padded = torch.nn.functional.pad(LOSSES, (2, 3, 0, 2), value=math.nan)
    padded_mask = torch.nn.functional.pad(MASK, (2, 3, 0, 2))
    order = torch.tensor([2, 0, 1])
    poisoned = torch.where(MASK, LOSSES, math.inf)
    for losses, mask in ((padded, padded_mask), (LOSSES[order], MASK[order]), (poisoned, MASK)):
        torch.testing.assert_close(bandpo.aggregate(losses, mask, name, **options(name)), expected)


@pytest.mark.parametrize("name", EXPECTED)
def test_micro_batches_with_a_common_denominator_add_up_to_the_whole_batch(name):
    whole = bandpo.aggregate(LOSSES, MASK, name, **options(name))
    count = MASK.sum() if name == "token-mean" else (MASK.sum(-1) > 0).sum()
    for denominator in (count, count.item()):
        parts = [
            bandpo.aggregate(LOSSES[rows], MASK[rows], name, **options(name), denominator=denominator)
            for rows in (slice(0, 1), slice(1, 3))
        ]
        torch.testing.assert_close(sum(parts), whole)


@pytest.mark.parametrize("name", EXPECTED)
def test_nothing_unmasked_is_zero_with_zero_gradient(name):
    losses = LOSSES.clone().requires_grad_()
    loss = bandpo.aggregate(losses, torch.zeros_like(MASK), name, **options(name))
    loss.backward()
    assert loss.item() == 0
    assert (losses.grad == 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"aggregation": "mean"}, r"aggregation='mean': expected one of token-mean, seq-mean-token-mean, "),
        (
            {"aggregation": "seq-mean-token-sum-norm"},
            r"max_tokens=None with aggregation='seq-mean-token-sum-norm': expected a positive max_tokens",
        ),
        (
            {"aggregation": "token-mean", "max_tokens": 5},
            r"max_tokens=5 with aggregation='token-mean': expected no max_tokens, which only seq-mean-token-sum-norm",
        ),
        ({"aggregation": "seq-mean-token-sum-norm", "max_tokens": 0}, r"max_tokens=0: expected 1 <= max_tokens < inf"),
        ({"denominator": 0}, r"denominator=0: expected 0 < denominator < inf"),
    ],
)
def test_errors_name_the_value_and_what_was_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        bandpo.aggregate(LOSSES, MASK, **arguments)
