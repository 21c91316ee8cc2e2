"""miles' own `train.py`: a tiny Qwen2 in its FSDP backend, trained with BandPO on what its checkpoints generate.

    BANDPO_SOURCES=DIR RANKS=1 python miles_trainer.py MODEL METHOD STEPS OUT.json

DIR holds miles. The flags are those of docs/engines/miles.md and of a small run. Their parsing, Ray actors, rollout
manager, FSDP2 with fp32 masters, packing, log-probs, loss and checkpoints are miles'. Ours is the rollout function, for
sglang.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import custom_run
import miles_on_cpu
import torch
from tiny import write_tokenizer

FLAGS = """
    --train-backend fsdp --attn-implementation sdpa --hf-checkpoint {model}
    --actor-num-gpus-per-node {ranks} --num-gpus-per-node {ranks}
    --rollout-function-path miles_trainer.generate --num-rollout {steps} --save {folder}/saved
"""


def generate(args, rollout_id, data_source, evaluation=False):
    """miles' rollout function: samples of the newest weights that miles saved."""
    from miles.utils.types import Sample
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
    from transformers import AutoModelForCausalLM

    policy = AutoModelForCausalLM.from_pretrained(args.hf_checkpoint, dtype=torch.bfloat16, attn_implementation="sdpa")
    if rollout_id:
        weights = Path(args.save, "weights.pt")
        dcp_to_torch_save(Path(args.save, f"iter_{rollout_id:07d}", "model"), weights)
        policy.load_state_dict(torch.load(weights)["model_state"]["model"])
    return custom_run.groups(policy, rollout_id, Sample)


def keep_no_cache(model):
    """Without a cache of keys, transformers' attention tells packed samples apart by their positions."""
    file = Path(model, "config.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "use_cache": False}))


def run(arguments, ranks):
    """What `python train.py` does."""
    from miles.utils.arguments import parse_args
    from train import train

    args = custom_run.parsed(parse_args, arguments)
    custom_run.start_ray("miles_on_cpu.begin", ranks)
    asyncio.run(train(args))


def main(model, method, steps, out):
    folder, ranks = Path(out).parent, int(os.environ["RANKS"])
    write_tokenizer(model)
    keep_no_cache(model)
    custom_run.environment(__file__, folder, ranks)
    miles_on_cpu.prepare()
    own = FLAGS.format(model=model, steps=steps, folder=folder, ranks=ranks)
    run(custom_run.flags("miles", method, own, folder), ranks)
    custom_run.write_found(folder, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
