"""What every engine must do at first uses, told to its own loss through its adapter as that engine calls it."""

import warnings

import pytest
import torch
from independent import Batch

from bandpo.engines.common import first_calls

ROWS, TOKENS, VOCABULARY = 64, 12, 16


def sampled(temperature=1.0, shift=0.0):
    """Rows whose old and sampler's log-probs are at a temperature, and their ids behind a prompt of one token.

    Eight answers to each prompt; `shift` is how far the weights have moved since.
    """
    random = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(ROWS // 8, TOKENS, VOCABULARY, generator=random).repeat_interleave(8, 0)
    drawn = torch.log_softmax(logits / temperature, -1)
    ids = torch.multinomial(drawn.exp().flatten(0, 1), 1, generator=random).view(ROWS, TOKENS)
    new, old = (each.gather(-1, ids[..., None])[..., 0] for each in (torch.log_softmax(logits, -1), drawn))
    new = (new + shift).clamp(max=-1e-4).requires_grad_()
    old = old if temperature != 1.0 else (new.detach() - shift)
    mask = torch.arange(TOKENS) < TOKENS - torch.arange(ROWS)[:, None] % 3
    advantages = torch.randn(ROWS, 1, generator=random).expand(ROWS, TOKENS)
    prompts = VOCABULARY + torch.arange(ROWS)[:, None] // 8
    return Batch(new, old, old, advantages, mask), torch.cat([prompts, ids], 1)


def micro_batches(x, ids, count):
    """The rows in so many parts."""
    for rows in torch.arange(len(ids)).chunk(count):
        yield Batch(*(each[rows] for each in x)), ids[rows]


def optimizer_step():
    weight = torch.zeros(1, requires_grad=True)
    weight.grad = torch.ones(1)
    torch.optim.SGD([weight], lr=0.1).step()


class Run:
    """A training run in a process of its own, of which warnings and metrics are kept.

    Args:
        loss: (Batch, ids with the prompt) -> the engine's metrics of one micro-batch, None if it has none.
    """

    def __init__(self, loss, monkeypatch):
        monkeypatch.setattr(first_calls, "_of_engine", {})
        self.loss, self.said, self.metrics = loss, [], []

    def update(self, x, ids, micro=1):
        """One optimizer step on a mini-batch in so many micro-batches."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = [self.loss(*part) for part in micro_batches(x, ids, micro)]
            optimizer_step()
        self.said += [str(warning.message) for warning in caught]
        self.metrics.append(found)

    @property
    def warnings(self):
        return [text for text in self.said if "At the first use of a batch" in text]

    def errors(self, name):
        """The metric over the micro-batches of each update, None where it is not there."""
        return [[None if found is None else found.get(name) for found in of_update] for of_update in self.metrics]


def assert_seen(loss, monkeypatch, name="band/first_ratio_error", has_ids=False):
    """Assert all that is asked of an engine.

    Args:
        loss: as for `Run`.
        name: the metric's, None for an engine that has none.
        has_ids: whether the engine hands over token ids, so that a temperature is told from noise.
    """
    faulty = Run(loss, monkeypatch)
    for micro in (4, 1, 3, 2):
        faulty.update(*sampled(temperature=0.6), micro)
    (sentence,) = faulty.warnings
    assert "temperature" in sentence and ("1.6" in sentence) == has_ids, sentence
    clean = Run(loss, monkeypatch)
    clean.update(*sampled(), 3)
    for micro in (1, 4, 2):  # later mini-batches and epochs, whose weights have moved
        clean.update(*sampled(shift=-0.3), micro)
    assert not clean.warnings
    if name is not None:
        first, *later = clean.errors(name)
        assert first == pytest.approx([0.0] * 3, abs=1e-5) and not any(map(any, later)), clean.metrics
        assert all(value > 0.1 for value in faulty.errors(name)[0])
    rounded = Run(loss, monkeypatch)
    x, ids = sampled()
    for _ in range(2):
        rounded.update(x._replace(old=x.old.bfloat16(), rollout=x.rollout.bfloat16()), ids)
    assert sum("rounding fills up to" in text for text in rounded.said) == 1
    assert not any("logp_old is bfloat16" in text for text in rounded.said)
