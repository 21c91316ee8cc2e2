"""slime's own `train.py`: a tiny Qwen2 in Megatron, trained with BandPO on what the checkpoints it saves generate.

    BANDPO_SOURCES=DIR RANKS=2 python slime_trainer.py MODEL METHOD STEPS OUT.json

DIR holds slime and megatron-lm. The flags are those of docs/engines/slime.md and of a tiny model. Their parsing, Ray
actors, rollout manager, Megatron with its distributed optimizer, log-probs, loss and checkpoints in both formats are
slime's and Megatron's. Ours is the rollout function, for sglang.
"""

import os
import sys
from pathlib import Path

import custom_run
import slime_on_cpu
import torch
from tiny import VOCABULARY, write_tokenizer

FLAGS = """
    --hf-checkpoint {model} --load {model} --vocab-size {vocabulary} --make-vocab-size-divisible-by 1
    --num-layers 2 --hidden-size 32 --ffn-hidden-size 64 --num-attention-heads 2
    --group-query-attention --num-query-groups 2 --swiglu --disable-bias-linear --add-qkv-bias
    --normalization RMSNorm --norm-epsilon 1e-6 --attention-dropout 0 --hidden-dropout 0
    --position-embedding-type rope --rotary-base 10000 --max-position-embeddings 64 --seq-length 64
    --use-cpu-initialization --transformer-impl local --spec slime_layers layers
    --no-persist-layer-norm --no-gradient-accumulation-fusion --no-masked-softmax-fusion --no-rope-fusion
    --actor-num-gpus-per-node {ranks} --num-gpus-per-node {ranks} --tensor-model-parallel-size {ranks}
    --rollout-function-path slime_trainer.generate --num-rollout {steps}
    --save {folder}/saved --save-hf {folder}/weights-{{rollout_id}}
"""


def generate(args, rollout_id, data_source, evaluation=False):
    """slime's rollout function: samples of the newest weights that slime saved for sglang."""
    from slime.utils.types import Sample
    from transformers import AutoModelForCausalLM

    weights = args.save_hf.format(rollout_id=rollout_id - 1) if rollout_id else args.hf_checkpoint
    policy = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.bfloat16, attn_implementation="sdpa")
    return custom_run.groups(policy, rollout_id, Sample)


def run(arguments, ranks):
    """What `python train.py` does."""
    from megatron.training import arguments as of_megatron
    from slime.utils.arguments import parse_args
    from train import train

    of_megatron.get_device_arch_version = lambda: 10
    args = custom_run.parsed(parse_args, arguments)
    custom_run.start_ray("slime_on_cpu.begin", ranks)
    train(args)


def main(model, method, steps, out):
    folder, ranks = Path(out).parent, int(os.environ["RANKS"])
    write_tokenizer(model)
    custom_run.environment(__file__, folder, ranks)
    slime_on_cpu.prepare()
    own = FLAGS.format(model=model, steps=steps, folder=folder, ranks=ranks, vocabulary=VOCABULARY)
    run(custom_run.flags("slime", method, own, folder), ranks)
    custom_run.write_found(folder, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
