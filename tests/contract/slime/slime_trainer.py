"""slime's own `train.py`: a tiny Qwen2 in Megatron, trained with BandPO on what the checkpoints it saves generate.

    BANDPO_SOURCES=DIR RANKS=2 python slime_trainer.py MODEL METHOD STEPS OUT.json

DIR holds slime and megatron-lm. The flags are those of docs/engines/slime.md and of a tiny model. Their parsing, Ray
actors, rollout manager, Megatron with its distributed optimizer, log-probs, loss and checkpoints in both formats are
slime's and Megatron's. Ours is the rollout function, for sglang. Reward: share of a response's tokens below `GOOD`.
"""

import json
import os
import shlex
import sys
from pathlib import Path

import slime_on_cpu
import torch
from snippets import blocks
from tiny import VOCABULARY, answers, write_tokenizer

GOOD, GROUP, GROUPS, LENGTH = 4, 8, 4, 8
MODEL = """
    --num-layers 2 --hidden-size 32 --ffn-hidden-size 64 --num-attention-heads 2
    --group-query-attention --num-query-groups 2 --swiglu --disable-bias-linear --add-qkv-bias
    --normalization RMSNorm --norm-epsilon 1e-6 --attention-dropout 0 --hidden-dropout 0
    --position-embedding-type rope --rotary-base 10000 --max-position-embeddings 64 --seq-length 64
    --make-vocab-size-divisible-by 1
"""
ON_A_CPU = """
    --distributed-backend gloo --use-cpu-initialization --transformer-impl local --spec slime_layers layers
    --no-persist-layer-norm --no-gradient-accumulation-fusion --no-masked-softmax-fusion --no-rope-fusion
"""
RUN = """
    --debug-train-only --advantage-estimator grpo --micro-batch-size 4 --data-pad-size-multiplier 1
    --lr 5e-3 --lr-decay-style constant --weight-decay 0 --save-interval 1 --no-save-optim
    --rollout-function-path slime_trainer.generate --disable-rollout-global-dataset --data-source-path builtins.repr
"""


def flags(model, method, steps, ranks, folder):
    """The command line, with a configuration file and places for checkpoints in that folder."""
    import yaml

    config, file = yaml.safe_load(blocks("slime", "yaml")[0]), folder / "band.yaml"
    config["bandpo"] = {"method": method, **({"band_delta": 0.002} if method == "band-kl" else {})}
    file.write_text(yaml.safe_dump(config))
    documented = blocks("slime", "bash")[0].replace("\\\n", " ").replace("band.yaml", str(file))
    own = f"""
        --hf-checkpoint {model} --load {model} --vocab-size {VOCABULARY}
        --save {folder}/saved --save-hf {folder}/weights-{{rollout_id}} --num-rollout {steps}
        --rollout-batch-size {GROUPS} --n-samples-per-prompt {GROUP} --rollout-max-response-len {LENGTH}
        --actor-num-gpus-per-node {ranks} --num-gpus-per-node {ranks} --tensor-model-parallel-size {ranks}
    """
    return shlex.split(MODEL + ON_A_CPU + RUN + own + documented)


def generate(args, rollout_id, data_source, evaluation=False):
    """slime's rollout function: groups of samples of the newest weights that slime saved for sglang."""
    from slime.utils.types import Sample
    from transformers import AutoModelForCausalLM

    weights = args.save_hf.format(rollout_id=rollout_id - 1) if rollout_id else args.hf_checkpoint
    policy = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.bfloat16, attn_implementation="sdpa")
    torch.manual_seed(rollout_id)
    ids = answers(policy, torch.arange(2, 2 + GROUPS).repeat_interleave(GROUP)[:, None], LENGTH)
    with torch.no_grad():
        log_p = torch.log_softmax(policy(ids).logits[:, :-1].float(), -1).gather(-1, ids[:, 1:, None])[..., 0]
    reward = (ids[:, 1:] < GOOD).float().mean(1)
    return [
        Sample(
            index=i,
            rollout_id=i,
            tokens=tokens,
            response_length=LENGTH,
            reward=reward[i].item(),
            rollout_log_probs=log_p[i].tolist(),
            status=Sample.Status.COMPLETED,
        )
        for i, tokens in enumerate(ids.tolist())
    ]


def run(arguments, ranks):
    """What `python train.py` does, with a cluster that has as many GPUs as it is told."""
    import ray
    from megatron.training import arguments as megatron
    from slime.utils.arguments import parse_args
    from train import train

    megatron.get_device_arch_version = lambda: 10
    sys.argv = ["train.py", *arguments]
    args = parse_args()
    begin = {"worker_process_setup_hook": "slime_on_cpu.begin"}
    ray.init(num_cpus=8, num_gpus=ranks, include_dashboard=False, log_to_driver=False, runtime_env=begin)
    train(args)
    ray.shutdown()


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def main(model, method, steps, out):
    folder, ranks = Path(out).parent, int(os.environ["RANKS"])
    write_tokenizer(model)
    os.environ |= {
        "WATCHED": str(folder),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ["PYTHONPATH"]]),
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, range(ranks))),
    }
    slime_on_cpu.prepare()
    run(flags(model, method, steps, ranks, folder), ranks)
    saved = sorted(file.name for file in (folder / "saved").iterdir())
    found = {"logged": lines(folder / "logged"), "losses": lines(folder / "losses"), "saved": saved}
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
