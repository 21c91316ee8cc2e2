"""Held-out problems of a run: drawn and graded between rollouts, always with the same seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bandpo.engines.trl import BandGRPOConfig
from bandpo.runs.training.evaluation import Evaluation, evaluate
from bandpo.runs.training.rows import Rows
from bandpo.tasks import Task


class Evaluator:
    """A scorer of a model on the held-out problems, always with the same sampling seed.

    Args:
        args: the trainer's configuration: length, temperature, chat template.
        tokenizer: of the model.
        reward: TRL's signature.
        problems: rows of a data set, or an embedded task with its own.
        samples: answers per problem.
        batch_size: answers generated at once.
    """

    def __init__(
        self, args: BandGRPOConfig, tokenizer: Any, reward: Any, problems: Rows | Task, *, samples: int, batch_size: int
    ):
        self.args, self.tokenizer, self.reward = args, tokenizer, reward
        self.count, self.batch_size = samples, batch_size
        self.task = problems if isinstance(problems, Task) else None
        self.columns: Mapping[str, Sequence[Any]]
        if isinstance(problems, Task):
            self.columns = problems.held_out()
            self.places = [f"problem {row} of {problems.name}" for row in range(len(self.columns["prompt"]))]
        else:
            self.columns = problems.data[:]
            self.places = [problems.place(row) for row in range(len(problems.data))]
        self.latest: Evaluation | None = None

    def __call__(self, model: Any, state: Any) -> dict[str, float]:
        """Return the scores of the model; `state` is the trainer's, which rewards get too."""
        template: Any = self.args.chat_template_kwargs
        self.latest = evaluate(
            getattr(model, "module", model),
            self.tokenizer,
            self.columns,
            self.reward,
            samples=self.count,
            max_new_tokens=self.args.max_completion_length or 256,
            temperature=self.args.temperature,
            batch_size=self.batch_size,
            chat_template_kwargs=template,
            places=self.places,
            trainer_state=state,
            log_extra=_log_nothing,
            log_metric=_log_nothing,
        )
        described = self.task.describe([t for texts in self.latest.texts for t in texts]) if self.task else {}
        return {**self.latest.summary(), **described}

    def samples(self, per_problem: int = 4) -> list[dict[str, Any]]:
        """Return a few answers of each problem from the latest evaluation."""
        if self.latest is None:
            return []
        prompts = self.columns["prompt"]
        return [
            {"prompt": prompts[i], "completion": texts[j], "reward": self.latest.rewards[i, j].item()}
            for i, texts in enumerate(self.latest.texts)
            for j in range(min(per_problem, len(texts)))
        ]


def _log_nothing(name: str, value: Any) -> None:
    """Ignore metrics that a reward logs during evaluation."""
