"""Loss and gradient of every method at the authors' hyperparameters, as numbers.

Every row is one token of old probability p that has moved to q = r p, once with A = 2 and once with A = -2. p is rare,
middle or likely; r is below the method's lower bound, inside, or above its upper bound, where q <= 1 lets it get there.
The numbers were computed with mpmath to 40 digits from the formulas that stand above each table, which are those of
the papers and of the authors' code (the reference named in the registry), band bounds by bisection of
p f(r) + (1 - p) f((1 - r p)/(1 - p)) = .05; no code of this library took part.
"""

import math

import pytest
import torch

import bandpo
from tests.core.batches import NAMES
from tests.methods import ENTRIES
from tests.methods.quatro import UNIT_RADIUS

ROWS = [(name, *line.split()) for name in NAMES for line in ENTRIES[name].values.strip().splitlines()]


def loss_and_gradient(logp, *args, **options):
    logp = logp.clone().requires_grad_()
    out = bandpo.policy_loss(logp, *args, aggregation="seq-mean-token-sum", **options)
    out.loss.backward()
    return out.per_token, logp.grad


@pytest.mark.parametrize(("name", "p", "r", "good", "good_gradient", "bad", "bad_gradient"), ROWS)
def test_loss_and_gradient_are_the_numbers_computed_by_hand(name, p, r, good, good_gradient, bad, bad_gradient):
    p, q = float(p), float(p) * float(r)
    old, logp = (torch.tensor([[math.log(x)]], dtype=torch.float64) for x in (p, q))
    # What the method does not divide by must not matter: the other log-probs are far away.
    other = {"logp_rollout": old} if bandpo.get_method(name).anchor == "rollout" else {"logp_rollout": old - 3}
    old = old if bandpo.get_method(name).anchor == "old" else old - 3
    given = ENTRIES[name].value_inputs(p, q)
    for advantage, loss, gradient in ((2.0, good, good_gradient), (-2.0, bad, bad_gradient)):
        advantages, mask = torch.tensor([advantage], dtype=torch.float64), torch.ones(1, 1)
        found = loss_and_gradient(logp, old, advantages, mask, method=name, **other, **given)
        assert [x.item() for x in found] == pytest.approx([float(loss), float(gradient)], rel=2e-9, abs=1e-12)
        assert (found[1].item() == 0) == (float(gradient) == 0)


# Four tokens with mean advantage 0 and mean log-prob -2: covariances A (logp + 2) = 3, 2, -2, -1.
LOGP = torch.tensor([[-1.0, -3.0, -1.0, -3.0]], dtype=torch.float64)
LOG_RATIO = torch.tensor([[-0.2, 0.5, 0.0, -0.5]], dtype=torch.float64)
ADVANTAGES = torch.tensor([[3.0, -2.0, -2.0, 1.0]], dtype=torch.float64)
FOUR = [(name, *case) for name in NAMES for case in ENTRIES[name].four_tokens]


@pytest.mark.parametrize(("name", "options", "loss", "gradient"), FOUR)
def test_methods_of_a_whole_batch_give_the_numbers_computed_by_hand(name, options, loss, gradient):
    found = loss_and_gradient(LOGP, LOGP - LOG_RATIO, ADVANTAGES, torch.ones(1, 4), method=name, **options)
    for values, expected in zip(found, (loss, gradient), strict=True):
        assert values[0].tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_gspo_moves_a_response_as_one_token():
    """Ratios .9996 and 1.0006 of two tokens: s = √(.9996 · 1.0006), 1.0000998, is inside though both tokens are not."""
    logp = torch.tensor([[-1.0, -2.0]], dtype=torch.float64)
    ratio = torch.tensor([[0.9996, 1.0006]], dtype=torch.float64)
    mean = 1.00009987501249  # √(.9996 · 1.0006)
    for advantage in (2.0, -2.0):
        inputs = logp, logp - ratio.log(), torch.tensor([advantage], dtype=torch.float64), torch.ones(1, 2)
        for found in loss_and_gradient(*inputs, method="gspo"):
            assert found[0].tolist() == pytest.approx([-advantage * mean] * 2, rel=1e-13)


def test_quatro_moves_an_answer_as_one_token():
    """Ratios 1.5 and .8 of two tokens: ρ = 1.2, and with λ = 1 every token has gradient -ρ (A - log ρ)."""
    logp = torch.tensor([[-1.0, -2.0]], dtype=torch.float64)
    ratio = torch.tensor([[1.5, 0.8]], dtype=torch.float64)
    inputs = logp, logp - ratio.log(), torch.tensor([0.5], dtype=torch.float64), torch.ones(1, 2)
    rewards = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    loss, gradient = loss_and_gradient(*inputs, method="quatro", group_rewards=rewards, delta=UNIT_RADIUS)
    expected = -1.2 * (0.5 - 0.1823215567939546)
    assert gradient[0].tolist() == pytest.approx([expected] * 2, rel=1e-9)
    assert loss[0].tolist() == pytest.approx([-expected, -2 * expected], rel=1e-9)
