"""verl's real `TrainingWorker` with FSDP2 over gloo, on one and two ranks: the loop closed, the reward must rise."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("verl.plugin.platform", reason="verl 0.9 is not installed, whose platform can be a CPU")

pytestmark = [pytest.mark.exercises("real worker"), pytest.mark.slow]

WORKER = Path(__file__).with_name("verl_worker.py")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Folder of a random Qwen2 of a few thousand parameters."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=32,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


def trained(model, out, ranks, method, steps):
    """What rank 0 wrote, after all ranks have ended well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    arguments = [sys.executable, "-W", "ignore", str(WORKER), str(model), method, str(steps), str(out)]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(ranks), "VERL_PLATFORM": "cpu"}
    shared |= {"LOCAL_WORLD_SIZE": str(ranks), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    processes = []
    for rank in range(ranks):
        environment = {**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        processes.append(subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True))
    try:
        errors = [process.communicate(timeout=400)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert not any(process.returncode for process in processes), "\n".join(error[-3000:] for error in errors)
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def on_one_rank(model, tmp_path_factory):
    return trained(model, tmp_path_factory.mktemp("one") / "out.json", 1, "band-kl", 12)


def test_the_reward_rises_on_one_rank(on_one_rank):
    rewards = on_one_rank["rewards"]
    assert on_one_rank["engine"] == "FSDPEngineWithLMHead" and on_one_rank["sharded"].startswith("FSDP")
    assert sum(rewards[:2]) / 2 < 0.25  # by chance 4/32
    assert sum(rewards[-3:]) / 3 > 0.5


def test_the_region_acts_from_the_second_update_of_a_batch(on_one_rank):
    clipped = on_one_rank["clipped"]
    assert all(len(updates) == 4 and updates[0] == 0 for updates in clipped)
    assert max(map(max, clipped)) > 0.02
    assert 0 < on_one_rank["metrics"]["actor/band_bound_low"][0] < 1


def test_the_first_update_of_every_batch_is_a_first_use_and_no_other(on_one_rank):
    first_uses = on_one_rank["first_uses"]
    assert len(first_uses) == 12 and all(len(errors) == 1 and errors[0] < 1e-4 for errors in first_uses)


def test_two_ranks_are_one_rank(model, on_one_rank, tmp_path):
    found = trained(model, tmp_path / "out.json", 2, "band-kl", 12)
    assert found["first"]["loss"] == pytest.approx(on_one_rank["first"]["loss"], abs=1e-5)
    assert found["first"]["grad_norm"] == pytest.approx(on_one_rank["first"]["grad_norm"], rel=1e-4)
    rewards = found["rewards"]
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.1


def test_external_lib_registers_the_loss_when_the_model_is_configured(model):
    code = (
        "from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY as known\n"
        "from verl.workers.config import HFModelConfig\n"
        "before = 'bandpo' in known\n"
        f"HFModelConfig(path={str(model)!r}, load_tokenizer=False, external_lib='bandpo.engines.verl')\n"
        "print(before, 'bandpo' in known)"
    )
    environment = {**os.environ, "VERL_USE_EXTERNAL_PLUGINS": "none"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["False", "True"], done.stderr
