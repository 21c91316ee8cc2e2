"""What the adapter touches of verl, as read in 0.9.1: the adapter against a stand-in, and the stand-in against verl.

Files: verl/trainer/ppo/core_algos.py, verl/workers/utils/losses.py, verl/workers/config/actor.py.
"""

import dataclasses
import importlib.util
import inspect
import subprocess
import sys
import textwrap

import pytest

# A module and not a folder: this folder's parent is on the path.
HAS_VERL = getattr(importlib.util.find_spec("verl"), "origin", None) is not None
pytestmark = pytest.mark.exercises("signature only", version="0.9.1")

# ppo_loss calls a policy loss by these keywords, in these two shapes: (B, T) and a scalar with a dict of floats back.
LOSS = ("old_log_prob", "log_prob", "advantages", "response_mask", "loss_agg_mode", "config", "rollout_is_weights")
AGG_LOSS = (
    "loss_mat",
    "loss_mask",
    "loss_agg_mode",
    "dp_size",
    "batch_num_tokens",
    "global_batch_size",
    "loss_scale_factor",
)
CLIP = {"clip_ratio": 0.2, "clip_ratio_low": 0.2, "clip_ratio_high": 0.2, "clip_ratio_c": 3.0}

STAND_IN = """
    import dataclasses, sys, types

    def module(name, **content):
        sys.modules[name] = one = types.ModuleType(name)
        one.__path__ = []
        vars(one).update(content)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, one)
        return one

    def agg_loss(loss_mat, loss_mask, loss_agg_mode, dp_size=1, batch_num_tokens=None, global_batch_size=None,
                 loss_scale_factor=None):
        return loss_mat[loss_mask].sum() / batch_num_tokens * dp_size

    @dataclasses.dataclass
    class PolicyLossConfig:
        loss_mode: str = "vanilla"
        rollout_correction: dict = dataclasses.field(default_factory=dict)

        def get(self, name, default=None):
            return getattr(self, name, default)

    registry = {}
    module("verl", __version__="0.9.1")
    module("verl.trainer")
    module("verl.trainer.ppo")
    module("verl.trainer.ppo.core_algos", POLICY_LOSS_REGISTRY=registry, agg_loss=agg_loss,
           register_policy_loss=lambda name: lambda f: registry.setdefault(name, f))
    module("verl.workers")
    module("verl.workers.config", PolicyLossConfig=PolicyLossConfig)
"""


def fresh(code):
    """Standard output of a fresh process in which verl is the stand-in."""
    program = textwrap.dedent(STAND_IN) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_adapter_is_called_as_verl_calls_it():
    found = fresh(
        f"""
        import torch
        from bandpo.engines.verl import BandPolicyLossConfig

        class Actor(dict):
            policy_loss = BandPolicyLossConfig(band_delta=0.05, method_kwargs=dict(dual_clip=3.0))
            global_batch_info = dict(dp_size=2, batch_num_tokens=8, global_batch_size=4, loss_scale_factor=None)

        row = torch.tensor([[0.01, 0.9, 0.5]]).log()
        new = torch.tensor([[0.2, 0.9, 0.0]]).log().requires_grad_()
        values = [row, new, torch.tensor([[2.0, 1.0, 9.0]]), torch.tensor([[True, True, False]]), "token-mean",
                  Actor({CLIP!r}), torch.tensor([[0.5, 1.0, float("nan")]])]
        loss, metrics = registry["bandpo"](**dict(zip({LOSS!r}, values)))
        print(loss.item(), all(type(value) is float for value in metrics.values()))
        print(metrics["actor/pg_clipfrac"], metrics["actor/pg_clipfrac_lower"])
        """
    )
    # The first token is stopped at ratio 7.8098, the second is at ratio 1: (-2 * 7.8098 * 0.5 - 1) / 8 * 2.
    assert float(found[0]) == pytest.approx(-(7.8098 + 1) / 4, abs=1e-4)
    assert found[1:] == ["True", "0.5", "0.0"]


def test_an_older_verl_is_refused():
    found = fresh(
        """
        sys.modules["verl"].__version__ = "0.6.1"
        try:
            from bandpo.engines.verl import BandPolicyLossConfig
        except ImportError as error:
            print(str(error).replace(" ", "_"))
        """
    )
    assert "needs_verl_0.7_or_newer,_this_is_0.6.1" in found[0]


def test_without_verl_the_adapter_says_what_to_install():
    code = "import sys; sys.modules['verl'] = None; from bandpo.engines.verl import BandPolicyLossConfig"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert "ImportError: bandpo.engines.verl needs verl, see docs/engines/verl.md" in done.stderr


@pytest.mark.skipif(not HAS_VERL, reason="verl is not installed")
def test_verl_is_as_the_stand_in_says():
    from verl.trainer.ppo import core_algos
    from verl.workers.config import ActorConfig, PolicyLossConfig
    from verl.workers.utils import losses

    assert tuple(inspect.signature(core_algos.agg_loss).parameters) == AGG_LOSS
    assert tuple(inspect.signature(core_algos.get_policy_loss_fn("vanilla")).parameters) == LOSS
    source = inspect.getsource(losses.ppo_loss)
    assert all(f"{name}=" in source for name in LOSS)
    defaults = {field.name: field.default for field in dataclasses.fields(ActorConfig)}
    assert {name: defaults[name] for name in CLIP} == CLIP
    assert {"loss_mode", "rollout_correction"} <= {field.name for field in dataclasses.fields(PolicyLossConfig)}


FILES = {
    "__init__": "__version__ = '0.9.1'",
    "trainer/__init__": "",
    "trainer/ppo/__init__": "",
    "trainer/ppo/core_algos": """
        POLICY_LOSS_REGISTRY = {}
        def register_policy_loss(name):
            return lambda function: POLICY_LOSS_REGISTRY.setdefault(name, function)
        """,
    "workers/__init__": "",
    "workers/config": """
        class PolicyLossConfig:
            pass
        """,
}


@pytest.mark.parametrize("first", ["bandpo.engines.verl", "verl.trainer.ppo.core_algos"])
def test_importing_the_package_registers_the_loss_as_soon_as_there_is_a_registry(tmp_path, first):
    for name, text in FILES.items():
        path = tmp_path / "verl" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    code = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import {first}
        print("bandpo.engines.verl.adapter" in sys.modules)
        import bandpo.engines.verl
        from verl.trainer.ppo import core_algos
        print(core_algos.POLICY_LOSS_REGISTRY["bandpo"].__module__, core_algos.__spec__.loader is core_algos.__loader__)
        """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "bandpo.engines.verl.adapter", "True"], done.stderr
