"""slime's own policy loss, run by our custom loss with per-token bounds, on logits of concatenated samples.

How it calls a custom loss, and what its own does with the clip settings, as of commit 624b824a, after 0.3.1:
slime/backends/megatron_utils/loss.py (`loss_function` line 1283, `policy_loss_function` 934), cp_utils.py
(`get_sum_of_sample_mean` 47) and slime/utils/ppo_utils.py (`compute_policy_loss` 133). Up to the tag v0.3.1 its loss
does not read its own --eps-clip-c.
"""

import pytest
import sample_losses
import torch
from custom_loss import CustomLossTests
from sources import both, checkout, execute, stub

from bandpo.engines.slime.check import check


@pytest.fixture(params=both("0.3.1"))
def engine(request, monkeypatch):
    if request.param == "protocol":
        return stub(monkeypatch, "slime.backends.megatron_utils.loss", **vars(sample_losses))
    folder = checkout("slime")
    parallel = {"context_parallel_world_size": 1, "tensor_model_parallel_group": None, "context_parallel_rank": 0}
    mpu = stub(monkeypatch, "megatron.core.mpu", **{f"get_{n}": lambda v=v: v for n, v in parallel.items()})
    stub(monkeypatch, "megatron.core", mpu=mpu).__path__ = []
    monkeypatch.setattr(torch, "compile", lambda function=None, **_: function or (lambda inner: inner))
    stub(monkeypatch, "slime.utils.distributed_utils", distributed_masked_whiten=None)
    stub(monkeypatch, "slime.utils.types", RolloutBatch=dict)
    stub(monkeypatch, "slime.utils.misc", load_function=None)
    execute(monkeypatch, "slime.utils.ppo_utils", folder / "slime/utils/ppo_utils.py")
    execute(monkeypatch, "slime.backends.megatron_utils.cp_utils", folder / "slime/backends/megatron_utils/cp_utils.py")
    return execute(monkeypatch, "slime.backends.megatron_utils.loss", folder / "slime/backends/megatron_utils/loss.py")


class TestSlime(CustomLossTests):
    name, path, check = "slime", "bandpo.engines.slime.loss", staticmethod(check)
    own_flags = {"rollout_top_p": 1.0}  # noqa: RUF012
