"""A fixed batch of Countdown answers: sampled ones, one that ends early, old log-probs that lie on every side."""

import copy
import functools

import torch

from bandpo.tasks import countdown
from bandpo.views.specs import parse_specs
from benchmarks.science.policies import Policies, load_policy
from benchmarks.science.rules import bounds, order, rules_of
from benchmarks.science.sampling import sample
from benchmarks.science.tasks import END, TASKS, counted
from benchmarks.science.update import Rollout

PROMPTS, EACH = 4, 8


def specs_in_order(text):
    return sorted(parse_specs(text), key=order)


def policies(runs):
    state, heads = load_policy(countdown.policy_path())
    return Policies([state] * runs, heads)


@functools.cache
def answers():
    """Prompts and answers, the log-probs they were drawn with, and advantages, a third of them 0."""
    generator = torch.Generator().manual_seed(1)
    prompts = TASKS["countdown"].training(PROMPTS, 5)
    uniform = torch.rand(1, PROMPTS * EACH, countdown.ANSWER_TOKENS, generator=generator)
    drawn = sample(policies(1), prompts.unsqueeze(0), uniform)
    ids = torch.cat([prompts.repeat_interleave(EACH, 0), drawn.ids[0]], -1)
    noise = torch.randn(drawn.logp[0].shape, generator=generator)
    old = (drawn.logp[0] + 0.5 * noise * (1 - drawn.logp[0].exp()).sqrt()).clamp_max(-1e-3)
    advantages = torch.randn(PROMPTS * EACH, generator=generator)
    advantages[::3] = 0.0
    return ids, old, advantages


def batch(ends_early=True):
    ids, old, advantages = copy.deepcopy(answers())
    if ends_early:
        ids[1, 9] = END
    return ids, counted(ids[:, 6:]), old, advantages


def rollout(specs, ends_early=True):
    """The same batch for every run, each with the bounds of its method; and its rules."""
    runs, rules = len(specs), rules_of(specs)
    ids, mask, old, advantages = (part.repeat(runs, *[1] * part.dim()) for part in batch(ends_early))
    rewards = advantages.view(runs, PROMPTS, EACH).repeat_interleave(EACH, 1)
    return Rollout(ids, mask, old, advantages, rewards, bounds(rules, old, 0.5)), rules


def in_order(runs):
    return torch.arange(PROMPTS * EACH).expand(runs, -1)
