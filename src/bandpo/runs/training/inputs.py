"""The data of a run, looked at as a whole: every row, every column a reward asks for, and whether there is enough."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bandpo.data.rows import BadRows, Inspection
from bandpo.engines.trl import BandGRPOConfig
from bandpo.runs.training.arguments import RunArguments
from bandpo.runs.training.datasets import dataset_parts
from bandpo.runs.training.rollouts import check_prompts, prompts_needed
from bandpo.runs.training.rows import Part, Rows, look, usable
from bandpo.store.reward_columns import check_columns
from bandpo.tasks import TASKS, Task

# A function behind the dotted path that it was named by.
NamedReward = tuple[str, Any]

logger = logging.getLogger("bandpo.runs")


@dataclass(frozen=True)
class Inputs:
    """The inputs of a run.

    Attributes:
        train: rows to train on.
        held_out: problems to evaluate on: rows, an embedded task's own, or None.
        left_out: rows that were left out of either since they cannot be used.
    """

    train: Rows
    held_out: Rows | Task | None
    left_out: int


def read_inputs(
    run: RunArguments, args: BandGRPOConfig, rewards: Sequence[NamedReward], *, is_evaluated: bool
) -> Inputs:
    """Read the data of a run and look at every row.

    Args:
        run: which data, and whether to go on without bad rows.
        args: the trainer's configuration, of which the size of a rollout counts.
        rewards: functions, each behind its dotted path; the first one grades evaluations.
        is_evaluated: whether this process evaluates.

    Raises:
        ValueError: a source that does not exist, a column that is missing or TRL's own, fewer prompts than a rollout
            takes; or `BadRows`, one page on all rows of all data sets that cannot be used.
    """
    parts = dataset_parts(run.dataset, run.dataset_split, count=prompts_needed(args), seed=args.seed)
    held_out = []
    if is_evaluated and run.eval_dataset is not None and run.eval_dataset not in TASKS:
        held_out = dataset_parts(run.eval_dataset, "test", option="eval_dataset")
    _check_columns(parts, rewards)
    functions = [reward for _, reward in rewards]
    _check_columns(held_out, rewards[:1])
    inspected, inspected_held_out = look(parts, functions), look(held_out, functions[:1])
    _check_found(run, inspected, inspected_held_out)
    train = usable(parts, inspected)
    check_prompts(args, run.dataset, len(train.data))
    left_out = sum(_rows_of(each) for each in (*inspected, *inspected_held_out))
    if left_out and args.process_index == 0:
        total = sum(each.count for each in (*inspected, *inspected_held_out))
        logger.warning("%d of %d rows are left out, since they cannot be used (--skip-bad-rows)", left_out, total)
    task = TASKS.get(run.eval_dataset or run.dataset) if is_evaluated else None
    return Inputs(train, usable(held_out, inspected_held_out) if held_out else task, left_out)


def _check_columns(parts: list[Part], rewards: Sequence[NamedReward]) -> None:
    for part in parts:
        for dotted, reward in rewards:
            check_columns(dotted, reward, part.label, part.rows.column_names)


def _check_found(run: RunArguments, *data_sets: list[Inspection]) -> None:
    """Raise BadRows where there are any and they may not be left out, or nothing else is there."""
    bad = [each for inspected in data_sets for each in inspected if each.bad]
    is_empty = any(inspected and all(_rows_of(each) == each.count for each in inspected) for inspected in data_sets)
    if is_empty:
        raise BadRows(bad, "Mend these rows: a data set is left without any.")
    if bad and not run.skip_bad_rows:
        raise BadRows(bad, "Mend these rows, or add --skip-bad-rows to go on without them.")


def _rows_of(inspection: Inspection) -> int:
    return len({entry.row for entry in inspection.bad})
