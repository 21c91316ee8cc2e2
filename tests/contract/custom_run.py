"""What runs of `train.py` share, of slime and of its forks: flags, rollouts, and what was written down.

Reward: share of a response's tokens below `GOOD`.
"""

import json
import os
import shlex
import sys
from pathlib import Path

import torch
from snippets import blocks
from tiny import answers, log_probs

GOOD, GROUP, GROUPS, LENGTH, UPDATES, DELTA = 4, 8, 4, 8, 4, 0.002
FLAGS = f"""
    --debug-train-only --distributed-backend gloo --advantage-estimator grpo
    --rollout-batch-size {GROUPS} --n-samples-per-prompt {GROUP} --rollout-max-response-len {LENGTH}
    --micro-batch-size 4 --data-pad-size-multiplier 1 --lr 5e-3 --lr-decay-style constant --weight-decay 0
    --save-interval 1 --no-save-optim --disable-rollout-global-dataset --data-source-path builtins.repr
"""


def flags(engine, method, own, folder):
    """A command line: those flags, the engine's own, and what its page tells users to add, with this method."""
    import yaml

    config, file = yaml.safe_load(blocks(engine, "yaml")[0]), folder / "band.yaml"
    config["bandpo"] = {"method": method, **({"band_delta": DELTA} if method == "band-kl" else {})}
    file.write_text(yaml.safe_dump(config))
    documented = blocks(engine, "bash")[0].replace("\\\n", " ").replace("band.yaml", str(file))
    return shlex.split(FLAGS + own + documented)


def groups(policy, seed, sample):
    """Answers of a model of transformers', as a rollout function returns them: groups of the engine's samples."""
    torch.manual_seed(seed)
    ids = answers(policy, torch.arange(2, 2 + GROUPS).repeat_interleave(GROUP)[:, None], LENGTH)
    log_p = log_probs(policy, ids)
    reward = (ids[:, 1:] < GOOD).float().mean(1)
    samples = [
        sample(
            index=i,
            group_index=i // GROUP,
            rollout_id=i,
            tokens=tokens,
            response_length=LENGTH,
            reward=reward[i].item(),
            rollout_log_probs=log_p[i].tolist(),
            status=sample.Status.COMPLETED,
        )
        for i, tokens in enumerate(ids.tolist())
    ]
    return [samples[i : i + GROUP] for i in range(0, len(samples), GROUP)]


def environment(script, folder, ranks):
    """What Ray's processes find in theirs: the modules beside the script, where to write, and so many GPUs."""
    paths = [str(Path(script).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ |= {
        "WATCHED": str(folder),
        "PYTHONPATH": os.pathsep.join(paths),
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, range(ranks))),
    }


def parsed(parse_args, arguments):
    """The command line as `train.py` parses it."""
    sys.argv = ["train.py", *arguments]
    return parse_args()


def start_ray(begin, ranks):
    """A cluster that believes to have that many GPUs, each of whose processes begins with that function."""
    import ray

    hook = {"worker_process_setup_hook": begin}
    ray.init(num_cpus=8, num_gpus=ranks, include_dashboard=False, log_to_driver=False, runtime_env=hook)


def write_found(folder, out):
    """Write what the watched processes did, and the names of the checkpoints in `saved`."""
    found = {name: [json.loads(line) for line in (folder / name).open()] for name in ("logged", "losses")}
    found["saved"] = sorted(path.name for path in (folder / "saved").glob("iter_*"))
    Path(out).write_text(json.dumps(found))
