"""Actors of a run of NeMo-RL's: its DTensor worker, which writes down what its loss saw, and an environment."""

import functools
import json
import os

import cuda_as_cpu
import ray
import torch
from nemo_rl.environments.interfaces import EnvironmentInterface, EnvironmentReturn
from nemo_rl.models.policy.workers.dtensor_policy_worker import DTensorPolicyWorkerImpl, dtensor_params_generator

GOOD = {f"w{i}" for i in range(2, 6)}


class Watched:
    """A loss that appends what it was handed, and what it said, to a file; else the loss itself."""

    def __init__(self, loss, file):
        self.loss, self.file = loss, file

    def __getattr__(self, name):
        return getattr(self.loss, name)

    def __call__(self, next_token_logprobs, data, global_valid_seqs, global_valid_toks):
        loss, metrics = self.loss(
            next_token_logprobs, data=data, global_valid_seqs=global_valid_seqs, global_valid_toks=global_valid_toks
        )
        shifted = {name: data[name][:, 1:] for name in ("prev_logprobs", "advantages", "token_mask")}
        seen = {"new": next_token_logprobs, "tokens": global_valid_toks, "loss": loss, **shifted}
        row = {name: value.tolist() for name, value in seen.items()}
        band = {name: value for name, value in metrics.items() if name.startswith("band/")}
        with open(self.file, "a") as file:
            file.write(json.dumps({**row, **band, "class": type(self.loss).__name__}) + "\n")
        return loss, metrics


class CpuWorker(DTensorPolicyWorkerImpl):
    """NeMo-RL's worker, with its weights to be asked for and its loss watched."""

    def train(self, data, loss_fn, **options):
        return super().train(data, Watched(loss_fn, os.environ["BANDPO_SEEN"]), **options)

    def weights(self):
        return {name: tensor.clone() for name, tensor in dtensor_params_generator(self.model, torch.float32)}


def on_the_cpu(function):
    """The method, with what it sends "to cuda" on the CPU: Ray runs each in any of its threads."""

    @functools.wraps(function)
    def redirected(*arguments, **options):
        with cuda_as_cpu.Redirected():
            return function(*arguments, **options)

    return redirected


for name in ("__init__", "get_logprobs", "prepare_for_lp_inference", "prepare_for_training", "train"):
    setattr(CpuWorker, name, on_the_cpu(getattr(CpuWorker, name)))
Worker = ray.remote(CpuWorker)


@ray.remote
class Environment(EnvironmentInterface):
    """Rewards the share of good words; one turn."""

    def __init__(self, config):
        self.length = config["length"]

    def step(self, message_log_batch, metadata):
        answers = [log[-1]["content"].split() for log in message_log_batch]
        rewards = torch.tensor([sum(word in GOOD for word in words) / self.length for words in answers])
        return EnvironmentReturn(
            observations=[{"role": "environment", "content": ""} for _ in answers],
            metadata=metadata,
            next_stop_strings=[None] * len(answers),
            rewards=rewards,
            terminateds=torch.ones(len(answers), dtype=torch.bool),
            answers=None,
        )

    def shutdown(self):
        pass

    def global_post_process_and_metrics(self, batch):
        return batch, {}
