"""What a run is made of, checked before the model's weights are loaded and the run's folder is touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig

from bandpo.data.reading import first_line
from bandpo.engines.trl import BandGRPOConfig
from bandpo.rewards.functions import grader_limits
from bandpo.runs.training.arguments import RunArguments, check_settings, resolved
from bandpo.runs.training.held_out import Evaluator
from bandpo.runs.training.inputs import Inputs, read_inputs
from bandpo.runs.training.rows import check_lengths
from bandpo.store.folder import RunFolder
from bandpo.store.sources import model_source, reward_source
from bandpo.tasks import TASKS


@dataclass(frozen=True)
class Sources:
    """The parts of a run, looked at and ready.

    Attributes:
        rewards: functions, each behind its dotted path.
        model: where it is.
        tokenizer: of the model.
        inputs: rows to train on.
        evaluator: of held-out problems, None where there are none.
    """

    rewards: list[tuple[str, Any]]
    model: str
    tokenizer: Any
    inputs: Inputs
    evaluator: Evaluator | None


def check(run: RunArguments, args: BandGRPOConfig) -> Sources:
    """Check everything that can be checked without loading the model's weights or touching the run's folder.

    Args:
        run: model, data, rewards and evaluation.
        args: the trainer's configuration, with the method; the run is to live in `args.output_dir`.

    Raises:
        ValueError: a source that does not exist, a folder that holds another run, settings that contradict, fewer
            prompts than one rollout takes; or `BadRows`, rows that cannot be used.
    """
    check_settings(run, args)
    grader_limits()
    if run.threads is not None:
        torch.set_num_threads(run.threads)
    rewards = [(dotted, reward_source(dotted)) for dotted in run.reward]
    model, tokenizer = model_source(run.model)
    is_main = args.process_index == 0
    has_held_out = is_main and (run.eval_dataset is not None or run.dataset in TASKS)
    inputs = read_inputs(run, args, rewards, is_evaluated=has_held_out)
    evaluator = None
    if inputs.held_out is not None:
        sizes = {"samples": run.eval_samples, "batch_size": run.eval_batch_size}
        evaluator = Evaluator(args, tokenizer, rewards[0][1], inputs.held_out, **sizes)
    _check_length(model, args, tokenizer, inputs, is_embedded=run.dataset in TASKS)
    RunFolder(str(args.output_dir)).check_claim(resolved(run, args), run.overwrite)
    return Sources(rewards, model, tokenizer, inputs, evaluator)


def _check_length(source: str, args: BandGRPOConfig, tokenizer: Any, inputs: Inputs, *, is_embedded: bool) -> None:
    """Raise ValueError where an answer, alone or behind a prompt, would not fit into the model's positions."""
    options = {**args.model_init_kwargs} if isinstance(args.model_init_kwargs, dict) else {}
    options = {name: options[name] for name in ("revision", "trust_remote_code") if name in options}
    try:
        config = AutoConfig.from_pretrained(source, **options)
    except (OSError, ValueError) as error:
        raise ValueError(f"model={source!r}: no configuration of a model, {first_line(error)}") from error
    positions, longest = getattr(config, "max_position_embeddings", None), args.max_completion_length
    if positions is not None and longest is not None and longest >= positions:
        raise ValueError(f"max_completion_length={longest}: expected less than {positions}, the model's positions")
    if positions is not None and longest is not None and not is_embedded:
        check_lengths(inputs.train, tokenizer, positions - longest)
