"""miles' own policy loss, run by our custom loss with per-token bounds, on logits of concatenated samples.

How it calls a custom loss, and what its own does with the clip settings, as of commit 31f1ca96, version 0.1.0:
miles/backends/training_utils/loss.py (`loss_function` line 123), loss_hub/losses.py (`policy_loss_function` 64,
`get_loss_function` 508), loss_hub/math_utils.py (`compute_policy_loss` 254) and cp_utils.py.
"""

import pytest
import sample_losses
import torch
from custom_loss import CustomLossTests
from sources import anything, both, checkout, execute, stub

from bandpo.engines.miles.check import check

PACKAGE = "miles.backends.training_utils"


@pytest.fixture(params=both("0.1.0"))
def engine(request, monkeypatch):
    """The module that the adapter imports; miles' files one by one, on one rank that needs no process group."""
    if request.param == "protocol":
        return stub(monkeypatch, f"{PACKAGE}.loss_hub.losses", **vars(sample_losses))
    folder = checkout("miles")
    monkeypatch.setattr(torch, "compile", lambda function=None, **_: function or (lambda inner: inner))
    stub(monkeypatch, "miles.utils.misc", load_function=None)
    stub(monkeypatch, "miles.utils.types", RolloutBatch=dict)
    anything(monkeypatch, "miles.utils.test_utils.det_process_group")
    groups = execute(
        monkeypatch, "miles.utils.ft_utils.process_group_utils", folder / "miles/utils/ft_utils/process_group_utils.py"
    )

    def own(name):
        return execute(
            monkeypatch, f"{PACKAGE}.{name}", folder / PACKAGE.replace(".", "/") / f"{name.replace('.', '/')}.py"
        )

    parallel = own("parallel")
    one = groups.GroupInfo(rank=0, size=1, group=None)
    names = ("intra_dp", "intra_dp_cp", "cp", "tp", "pp", "ep", "etp", "indep_dp")
    parallel.set_parallel_state(parallel.ParallelState(**dict.fromkeys(names, one)))
    for name in ("cp_utils", "loss_hub.corrections", "loss_hub.math_utils", "loss_hub.logit_processors"):
        own(name)
    return own("loss_hub.losses")


class TestMiles(CustomLossTests):
    name, path, check = "miles", "bandpo.engines.miles.loss", staticmethod(check)
    own_flags = {  # noqa: RUF012
        "skip_actor_forward_only": False,
        "true_on_policy_mode": True,
        "qkv_format": "thd",
        "observe_training_entropy": False,
    }
