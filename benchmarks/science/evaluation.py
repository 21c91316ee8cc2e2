"""Scores of all runs on the held-out problems."""

from __future__ import annotations

import torch
from torch import Tensor

from bandpo.evals.scores import problem_pass_at_k
from bandpo.tasks import countdown
from benchmarks.science.policies import Policies
from benchmarks.science.sampling import sample
from benchmarks.science.tasks import TIMES, counted, rewards, well_formed

_PROMPTS_AT_ONCE = 32


class Evaluator:
    """Samples of every held-out problem, from the same random numbers for every run and time.

    Args:
        prompts: (problems, length) tokens.
        samples: answers to each, at least 8.
    """

    def __init__(self, prompts: Tensor, samples: int):
        own = torch.Generator().manual_seed(0)
        self.prompts, self.samples = prompts, samples
        self.uniform = torch.rand(len(prompts), samples, countdown.ANSWER_TOKENS, generator=own).to(prompts.device)
        chances = [problem_pass_at_k(correct, samples, 8) for correct in range(samples + 1)]
        self.pass_at_8 = torch.tensor(chances, device=prompts.device)

    def __call__(self, policies: Policies) -> dict[str, Tensor]:
        """Return mean@n, pass@8, pass@n, entropy, the share of answers with the rare operator and of well-formed ones.

        Each has one value a run.
        """
        runs, parts = policies.runs, []
        for prompts, uniform in zip(
            self.prompts.split(_PROMPTS_AT_ONCE), self.uniform.split(_PROMPTS_AT_ONCE), strict=True
        ):
            drawn = sample(policies, prompts.expand(runs, -1, -1), uniform.flatten(0, 1).expand(runs, -1, -1))
            asked, mask = prompts.repeat_interleave(self.samples, dim=0).expand(runs, -1, -1), counted(drawn.ids)
            earned = rewards(asked, drawn.ids).view(runs, len(prompts), self.samples)
            uses = ((drawn.ids == TIMES) & mask).any(-1).float()
            entropy = (drawn.entropy * mask).sum(-1), mask.sum(-1)
            parts.append((earned.sum(-1), uses, well_formed(drawn.ids).float(), *entropy))
        correct, uses, formed, entropy, tokens = (torch.cat(each, 1) for each in zip(*parts, strict=True))
        return {
            f"mean@{self.samples}": correct.mean(1) / self.samples,
            "pass@8": self.pass_at_8[correct.long()].mean(1),
            f"pass@{self.samples}": (correct > 0).float().mean(1),
            "entropy": entropy.sum(1) / tokens.sum(1),
            "rare": uses.mean(1),
            "well_formed": formed.mean(1),
        }
