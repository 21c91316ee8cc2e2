"""Draws against exact probabilities; numbers of a sample's own."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bandpo.evals.generation.sampling import EntropyRecorder, SeededChoice, choose, sample_seed, uniforms


def test_numbers_are_uniform_and_never_one():
    drawn = np.concatenate([uniforms(seed, 50) for seed in range(400)])
    assert stats.kstest(drawn, "uniform").pvalue > 1e-3
    assert drawn.min() >= 0 and drawn.max() < 1
    assert np.corrcoef(drawn[:-1], drawn[1:])[0, 1] == pytest.approx(0, abs=0.03)


def test_every_sample_has_a_seed_of_its_own():
    seeds = {sample_seed(s, t, p, i) for s in (0, 1) for t in ("a", "b") for p in range(30) for i in range(20)}
    assert len(seeds) == 2 * 2 * 30 * 20 and all(0 <= seed < 2**63 for seed in seeds)
    assert sample_seed(0, "countdown", 0, 0) == 3865901398646391393, "saved evaluations would not resume"


def test_draws_follow_the_distribution():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -3.0, float("-inf")])
    drawn = choose(logits.repeat(20_000, 1), torch.from_numpy(uniforms(11, 20_000))).numpy()
    expected = logits.softmax(-1).double().numpy()[:5] * 20_000
    assert drawn.max() < 5, "a token of probability 0 was drawn"
    assert stats.chisquare(np.bincount(drawn, minlength=5), expected).pvalue > 1e-3


@given(st.lists(st.one_of(st.floats(-40, 40), st.just(float("-inf"))), min_size=2, max_size=30), st.floats(0, 1))
def test_a_token_of_probability_zero_is_never_drawn(logits, number):
    scores = torch.tensor([[*logits, 0.0]])
    number = min(number, 1 - 2**-53)
    chosen = int(choose(scores, torch.tensor([number], dtype=torch.float64)))
    assert chosen < scores.shape[1] and scores.double().softmax(-1)[0, chosen] > 0


def test_a_row_draws_the_same_in_any_batch():
    torch.manual_seed(0)
    logits = torch.randn(6, 50)
    alone = [SeededChoice([seed], 3, torch.device("cpu"))(None, logits[seed : seed + 1]) for seed in range(6)]
    together = SeededChoice(range(6), 3, torch.device("cpu"))(None, logits)
    assert torch.equal(torch.cat(alone), together)
    assert (together == 0).sum(-1).tolist() == [1] * 6


def test_entropy_is_that_of_the_tempered_distribution():
    torch.manual_seed(0)
    scores = torch.randn(5, 40)
    expected = torch.distributions.Categorical(logits=scores.double() / 0.6).entropy()
    recorder = EntropyRecorder(0.6)
    assert recorder(None, scores) is scores and recorder.table(1).shape == (5, 1)
    assert torch.allclose(recorder.table(1)[:, 0].double(), expected, atol=1e-5)
    certain = EntropyRecorder(1.0)
    certain(None, torch.tensor([[0.0, float("-inf")]]))
    assert certain.table(1).tolist() == [[0.0]]
