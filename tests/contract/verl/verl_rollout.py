"""A rollout of verl's for CPUs, named "cpu": a Ray actor with the model in transformers, in the place of a vLLM server.

verl imports this module in every process (VERL_USE_EXTERNAL_MODULES=verl_rollout) and finds in it what it lacks on a
CPU: the platform and the FSDP engine of `verl_cpu`, one process group of gloo, and this rollout.
"""

from __future__ import annotations

import asyncio
import collections
import hashlib
import os

import ray
import torch
import verl_cpu

verl_cpu.register()

from verl.workers.rollout import base  # noqa: E402  (asks which platform there is)
from verl.workers.rollout.replica import RolloutReplica, RolloutReplicaRegistry, TokenOutput  # noqa: E402

NAME = "cpu"
init_process_group = torch.distributed.init_process_group
verl_cpu.register_engine()


def one_backend(*arguments, backend=None, **options):
    """Make a process group of gloo where verl asks for gloo twice, for the CPU and for the device."""
    backend = "gloo" if backend == "cpu:gloo,cpu:gloo" else backend
    return init_process_group(*arguments, backend=backend, **options)


torch.distributed.init_process_group = one_backend


def server_name(replica):
    return f"rollout_server_{replica}"


def noise(key, shape):
    """Exponential noise that is the same whenever the key is."""
    seed = int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:7], "big")
    return torch.empty(shape).exponential_(generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def sampled(model, prompts, keys, temperature, length):
    """Tokens and their log-probs, both (n, length), after prompts of one length.

    A row's draws are those of its key: what the most likely of log-prob - log(noise) is, is drawn by probability.
    """
    sequences = torch.tensor(prompts)
    draws = torch.stack([noise(key, (length, model.config.vocab_size)) for key in keys])
    log_probs = []
    for position in range(length):
        logp = (model(sequences).logits[:, -1].float() / temperature).log_softmax(-1)
        tokens = (logp - draws[:, position].log()).argmax(-1, keepdim=True)
        log_probs.append(logp.gather(-1, tokens))
        sequences = torch.cat([sequences, tokens], -1)
    return sequences[:, -length:].tolist(), torch.cat(log_probs, -1).tolist()


class Server:
    """What verl's client and its weight sync call: requests are gathered and answered a batch at a time."""

    def __init__(self, path, replica, length):
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(1)
        self.model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
        self.replica, self.length, self.step = replica, length, 0
        self.waiting, self.seen, self.answering = [], collections.Counter(), None

    async def generate(self, prompt_ids, sampling_params, request_id, **_):
        """Response of one prompt; the draws depend on the step, the prompt and how often it was asked in this step."""
        cut = sampling_params.get("top_p", 1.0) != 1.0 or sampling_params.get("top_k", -1) != -1
        if cut or not sampling_params["temperature"] > 0:
            raise ValueError(f"sampling parameters {sampling_params}: this rollout draws from the whole vocabulary")
        prompt, answer = tuple(prompt_ids), asyncio.get_running_loop().create_future()
        key = (self.replica, self.step, prompt, self.seen[prompt])
        self.seen[prompt] += 1
        self.waiting.append((prompt, key, sampling_params["temperature"], answer))
        if self.answering is None or self.answering.done():
            self.answering = asyncio.create_task(self.answer())
        return await answer

    async def answer(self):
        while self.waiting:
            await asyncio.sleep(0.05)  # until the requests of a step are here
            batches = collections.defaultdict(list)
            for prompt, key, temperature, answer in self.waiting:
                batches[len(prompt), temperature].append((prompt, key, answer))
            self.waiting = []
            for (_, temperature), batch in batches.items():
                prompts, keys, answers = zip(*batch, strict=True)
                found = sampled(self.model, prompts, keys, temperature, self.length)
                for answer, tokens, log_probs in zip(answers, *found, strict=True):
                    answer.set_result(self.output(tokens, log_probs))

    def output(self, tokens, log_probs):
        end = self.model.config.eos_token_id
        length = tokens.index(end) + 1 if end in tokens else len(tokens)
        return TokenOutput(
            token_ids=tokens[:length],
            log_probs=log_probs[:length],
            stop_reason="completed",
            num_preempted=0,
            extra_fields={"global_steps": self.step},
        )

    async def update_weights(self, weights, step):
        missing, unknown = self.model.load_state_dict(weights, strict=False)
        if unknown or set(missing) - {"lm_head.weight"}:  # which is tied
            raise ValueError(f"weights of the trainer: {missing} are missing, {unknown} unknown")
        self.step = self.step if step is None else step
        self.seen.clear()

    async def nothing(self, *_, **__):
        pass

    wake_up = sleep = abort_all_requests = resume_generation = clear_kv_cache = nothing
    release_kv_cache = resume_kv_cache = start_profile = stop_profile = nothing


class Replica(RolloutReplica):
    async def launch_servers(self):
        actor = ray.remote(Server).options(name=server_name(self.replica_rank), num_cpus=0, max_concurrency=1000)
        self._server_handle = actor.remote(self.model_config.path, self.replica_rank, self.config.response_length)
        self._server_address = server_name(self.replica_rank)
        self.servers = [self._server_handle]


class ServerAdapter(base.BaseRollout):
    """The trainer's side: hands the weights of a worker to the server of the same rank."""

    sleep_level = 2

    def __init__(self, config, model_config, device_mesh, replica_rank=-1):
        super().__init__(config, model_config, device_mesh)

    async def resume(self, tags):
        pass

    async def release(self):
        pass

    async def update_weights(self, weights, global_steps=None, **_):
        from verl.workers.rollout.utils import ensure_async_iterator

        state = {name: tensor.detach().clone() async for name, tensor in ensure_async_iterator(weights)}
        server = ray.get_actor(server_name(os.environ["RANK"]))
        await server.update_weights.remote(state, global_steps)


RolloutReplicaRegistry.register(NAME, lambda: Replica)
base._ROLLOUT_REGISTRY[(NAME, "async")] = f"{__name__}.{ServerAdapter.__name__}"
