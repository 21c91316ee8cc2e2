"""Scores of all runs on the held-out problems."""

from __future__ import annotations

import torch
from torch import Tensor

from bandpo.evals.scores import problem_pass_at_k
from benchmarks.science.policies import Policies
from benchmarks.science.sampling import sample
from benchmarks.science.tasks import END, Task, counted

_PROMPTS_AT_ONCE = 32


class Evaluator:
    """Samples of every held-out problem, from the same random numbers for every run and time.

    Args:
        task: whose problems they are.
        samples: answers to each, at least 8.
        device: where the policies are.
    """

    def __init__(self, task: Task, samples: int, device: str = "cpu"):
        own = torch.Generator().manual_seed(0)
        self.task, self.samples, self.problems = task, samples, task.held_out().to(device)
        self.uniform = torch.rand(len(self.problems), samples, task.answer_tokens, generator=own).to(device)
        chances = [problem_pass_at_k(correct, samples, 8) for correct in range(samples + 1)]
        self.pass_at_8 = torch.tensor(chances, device=device)

    def __call__(self, policies: Policies) -> dict[str, Tensor]:
        """Return mean@n, pass@8, pass@n, entropy, the share of answers that go the rare way and of well-formed ones.

        Each has one value a run.
        """
        runs, task, parts = policies.runs, self.task, []
        for problems, uniform in zip(
            self.problems.split(_PROMPTS_AT_ONCE), self.uniform.split(_PROMPTS_AT_ONCE), strict=True
        ):
            prompts = problems[:, : task.prompt_tokens].expand(runs, -1, -1)
            drawn = sample(policies, prompts, uniform.flatten(0, 1).expand(runs, -1, -1))
            asked, mask = problems.repeat_interleave(self.samples, dim=0).expand(runs, -1, -1), counted(drawn.ids)
            answers = torch.where(mask, drawn.ids, END)
            earned = task.rewards(asked, answers).view(runs, len(problems), self.samples)
            ways = task.is_rare(asked, answers).float(), task.is_well_formed(asked, answers).float()
            parts.append((earned.sum(-1), *ways, (drawn.entropy * mask).sum(-1), mask.sum(-1)))
        correct, rare, formed, entropy, tokens = (torch.cat(each, 1) for each in zip(*parts, strict=True))
        return {
            f"mean@{self.samples}": correct.mean(1) / self.samples,
            "pass@8": self.pass_at_8[correct.long()].mean(1),
            f"pass@{self.samples}": (correct > 0).float().mean(1),
            "entropy": entropy.sum(1) / tokens.sum(1),
            "rare": rare.mean(1),
            "well_formed": formed.mean(1),
        }
