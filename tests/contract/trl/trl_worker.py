"""The only process, or one of two: losses on its share of a batch, then a short training run."""

import json
import sys
from pathlib import Path

import torch
import torch.distributed
from test_trl_reference import STEPS_PER_GENERATION, WINDOW
from torch.nn.parallel import DistributedDataParallel
from trl_tiny import SUPPORTED_LOSSES, BandGRPOConfig, loss_inputs, model, options, trainer, weights

torch.set_num_threads(1)
LOSS_TYPES = [loss_type for loss_type in SUPPORTED_LOSSES if loss_type != "bnpo"]


def half(inputs, rank, processes):
    """Rank r takes rows r, r + 2, ...; scalars go to all."""
    return {name: value[rank::processes] if value.dim() else value for name, value in inputs.items()}


def loss_and_gradients(folder, rank, processes, loss_type):
    policy = model(spread=0.5)
    inputs = loss_inputs(policy)
    config = BandGRPOConfig(
        **options(
            folder,
            loss_type=loss_type,
            band_delta=0.01,
            gradient_accumulation_steps=WINDOW,
            steps_per_generation=STEPS_PER_GENERATION,
        )
    )
    engine = trainer(config, policy)
    engine.current_gradient_accumulation_steps = WINDOW
    policy.train()
    wrapped = DistributedDataParallel(policy) if processes > 1 else policy
    loss = engine.compute_loss(wrapped, half(inputs, rank, processes))
    loss.backward()
    logs = {}
    engine.log(logs)
    band = {name: value for name, value in logs.items() if name.startswith("band/")}
    return loss.item(), [parameter.grad.flatten().tolist() for parameter in policy.parameters()], band


def training(folder):
    config = BandGRPOConfig(
        **options(
            folder,
            per_device_train_batch_size=8,
            max_steps=4,
            num_iterations=2,
            band_delta=0.0005,
            record_every=3,
        )
    )
    engine = trainer(config, model())
    engine.train()
    names = ("loss", "grad_norm", "clip_ratio/region_mean", "band/clip", "band/approx_kl")
    history = [{name: entry[name] for name in names} for entry in engine.state.log_history if "loss" in entry]
    final = torch.cat([value.flatten() for value in weights(engine.accelerator.unwrap_model(engine.model)).values()])
    return history, final.tolist()


def main(folder):
    from accelerate import PartialState

    state = PartialState(cpu=True)
    result = {
        "losses": {
            kind: loss_and_gradients(folder, state.process_index, state.num_processes, kind) for kind in LOSS_TYPES
        },
        "training": training(folder),
    }
    (Path(folder) / f"of{state.num_processes}_rank{state.process_index}.json").write_text(json.dumps(result))
    state.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
