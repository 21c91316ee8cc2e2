"""OpenRLHF's own `PolicyLoss` with our trust region, called as its actor trainer calls it."""

import importlib.metadata
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import openrlhf_protocol as protocol
import pytest
import torch
from independent import FINITE_GARBAGE, assert_close, batch, gradient, per_token
from snippets import blocks
from sources import execute, installed_file, stub

from bandpo.engines.openrlhf import adapter
from bandpo.engines.openrlhf.check import check

VARIANTS = [
    pytest.param("protocol", marks=pytest.mark.exercises("signature only", version="0.11.2")),
    pytest.param("installed", marks=pytest.mark.exercises("real function")),
]


@pytest.fixture(params=VARIANTS)
def stock(request, monkeypatch):
    """The class; OpenRLHF as a whole needs flash-attn, its loss file torch and one function more."""
    if request.param == "protocol":
        return protocol.PolicyLoss
    file = installed_file("openrlhf", "openrlhf/models/loss.py")

    def masked_mean(tensor, mask, dim=None):
        return tensor.mean(dim) if mask is None else (tensor * mask).sum(dim) / mask.sum(dim)

    stub(monkeypatch, "openrlhf.models.utils", masked_mean=masked_mean)
    return execute(monkeypatch, "openrlhf.models.loss", file).PolicyLoss


def run(stock, x, method="band-kl", options=None, counts=None, **settings):
    loss = adapter.policy_loss(stock, {"method": method, **(options or {})})(**settings)
    return loss(
        x.new,
        x.old,
        x.advantages,
        action_mask=x.mask.float(),
        rollout_log_probs=x.rollout,
        **(counts or {"dp_size": 1}),
    )


METHODS = ["band-kl", "grpo", "dual-clip", "sapo", "cispo", "gspo"]


@pytest.mark.parametrize("garbage", FINITE_GARBAGE)
@pytest.mark.parametrize("method", METHODS)
def test_token_level_loss_and_gradient(stock, method, garbage):
    x = batch(garbage)
    loss, clip_ratio, *_ = run(stock, x, method, counts={"dp_size": 2, "batch_num_tokens": 100})
    tokens = per_token(method, x)
    expected = tokens.sum() / 100 * 2
    assert_close(loss, expected, 1e-5)
    assert_close(gradient(loss, x.new), gradient(expected, x.new), 1e-5)
    if method != "dual-clip":  # which OpenRLHF does not count
        stopped = (gradient(tokens.sum(), x.new) == 0)[x.mask].float().mean()
        assert clip_ratio.item() == pytest.approx(stopped.item())


@pytest.mark.parametrize("method", METHODS)
def test_sequence_level_loss(stock, method):
    x = batch()
    loss, *_ = run(stock, x, method, token_level_loss=False, counts={"global_batch_size": 8})
    assert_close(loss, (per_token(method, x).sum(-1) / x.mask.sum(-1)).sum() / 8, 1e-5)


def test_grpo_is_the_stock_loss(stock):
    x = batch("noise")
    theirs = stock()(x.new, x.old, x.advantages, action_mask=x.mask.float())
    ours = run(stock, x, "grpo")
    assert len(ours) == len(theirs)
    for one, other in zip(ours[:3], theirs[:3], strict=True):
        assert_close(one, other)
    assert_close(gradient(ours[0], x.new), gradient(theirs[0], x.new))


def test_settings_are_put_back_and_the_dual_clip_kept(stock):
    x = batch()
    loss = adapter.policy_loss(stock, {"method": "grpo"})(dual_clip=3.0)
    found = loss(x.new, x.old, x.advantages, x.mask.float())[0]
    assert_close(found, per_token("dual-clip", x).sum() / x.mask.sum(), 1e-5)
    assert (loss.clip_eps_low, loss.clip_eps_high, loss.dual_clip) == (0.2, 0.2, 3.0)


def test_without_a_mask_and_in_bf16(stock):
    x = batch(dtype=torch.bfloat16)
    x = x._replace(new=x.new.detach().float().requires_grad_())
    assert_close(run(stock, x)[0], per_token("band-kl", x).sum() / x.mask.sum(), 1e-5)


def test_another_radius(stock):
    x = batch()
    found = run(stock, x, options={"band_delta": 0.01})[0]
    assert_close(found, per_token("band-kl", x, delta=0.01).sum() / x.mask.sum(), 1e-5)


@pytest.mark.parametrize(
    ("method", "settings", "words"),
    [
        ("dppo-tv", {}, "needs logp_rollout, which OpenRLHF does not hand"),
        ("clip-cov", {}, "needs the whole batch"),
        ("band-kl", {"policy_loss_type": "gspo"}, "policy_loss_type gspo"),
        ("band-kl", {"clip_eps_high": 0.28}, "eps_clip_low_high, high=0.28 has no effect"),
        ("dual-clip", {"dual_clip": 5.0}, "give one"),
        ("sapo", {"dual_clip": 3.0}, "dual_clip 3.0 with method='sapo'"),
    ],
)
def test_refusals(stock, method, settings, words):
    with pytest.raises(ValueError, match=words):
        run(stock, batch(), method, **settings)


@pytest.mark.parametrize("version", ["0.10.4", "0.11.3", "0.12.0"])
def test_other_releases_are_refused(version):
    with pytest.raises(RuntimeError, match=f"openrlhf {version}: this adapter is written for 0.11.0"):
        adapter.check_release(version)


def test_the_documented_command_runs_openrlhfs_own_main(monkeypatch, tmp_path):
    """OpenRLHF's command line finds our actor where it imports its own."""
    words = blocks("openrlhf", "bash")[0].replace("\\\n", " ").split("-m bandpo.engines.openrlhf ")[1]
    given, rest = words.split("' ", 1)
    argv = ["x", given.strip("'"), *rest.split()]
    assert json.loads(argv[1])["method"] == "band-kl"
    package = tmp_path / "openrlhf"
    for name in ("__init__.py", "cli/__init__.py", "trainer/__init__.py", "trainer/ray/__init__.py"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("")
    (package / "trainer/ray/ppo_actor.py").write_text("PolicyModelActor = 'stock'\n")
    (package / "cli/train_ppo_ray.py").write_text(
        "import sys\nfrom openrlhf.trainer.ray.ppo_actor import PolicyModelActor\n"
        "if __name__ == '__main__':\n    sys.seen = PolicyModelActor, sys.argv\n"
    )
    for name in [name for name in sys.modules if name.split(".")[0] == "openrlhf"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.11.2")
    monkeypatch.setattr(adapter, "policy_actor", lambda *given: given)
    adapter.main()
    actor, seen = sys.seen
    del sys.seen
    assert actor == ("stock", {"method": "band-kl", "band_delta": 0.05}) and seen[1:] == argv[2:]
    for name in [name for name in sys.modules if name.split(".")[0] == "openrlhf"]:
        monkeypatch.delitem(sys.modules, name)


def test_a_command_line_without_a_method_says_how(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "--train.batch_size", "8"])
    with pytest.raises(SystemExit, match="usage: python -m bandpo"):
        adapter.main()


ENGINE = """
import ray
from openrlhf_protocol import PolicyLoss

class ActorPPOTrainer:
    def __init__(self):
        self.actor_loss_fn = PolicyLoss()

@ray.remote(num_gpus=1)
class PolicyModelActor:
    def init_model_from_pretrained(self):
        self.trainer = ActorPPOTrainer()

    def apply(self, *tensors):
        return self.trainer.actor_loss_fn(*tensors)[0].item()
"""


@pytest.mark.exercises("signature only", version="0.11.2")
def test_the_actor_process_builds_our_loss(monkeypatch, tmp_path):
    """A Ray actor of our class, around an actor of ours that looks up PolicyLoss in its module as OpenRLHF's does."""
    ray = pytest.importorskip("ray", reason="ray is not installed")
    installed_file("openrlhf", "openrlhf/models/loss.py")
    package = tmp_path / "openrlhf" / "trainer" / "ray"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").write_text("")
    (package / "ppo_actor.py").write_text(ENGINE)
    for name in [name for name in sys.modules if name.split(".")[0] == "openrlhf"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    from openrlhf.trainer.ray import ppo_actor

    path = f"{tmp_path}:{Path(__file__).parent}"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)  # Ray is told of a GPU that is not there
    ray.init(num_cpus=1, num_gpus=1, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": path}})
    try:
        actor = adapter.policy_actor(ppo_actor.PolicyModelActor, {"method": "band-kl"}).remote()
        ray.get(actor.init_model_from_pretrained.remote())
        x = batch()
        found = ray.get(actor.apply.remote(x.new.detach(), x.old, x.advantages, x.mask.float()))
        assert found == pytest.approx((per_token("band-kl", x).sum() / x.mask.sum()).item(), rel=1e-5)
    finally:
        ray.shutdown()
        for name in [name for name in sys.modules if name.split(".")[0] == "openrlhf"]:
            monkeypatch.delitem(sys.modules, name)


def test_doctor():
    def levels(**changes):
        return [finding.level for finding in check({"bandpo.method": "band-kl", "train.max_epochs": 2, **changes})][1:]

    assert levels() == levels(**{"train.max_epochs": 1, "rollout.batch_size": 256}) == ["ok", "ok"]
    assert levels(**{"bandpo.method": "dppo-tv"}) == levels(**{"actor.eps_clip": 0.3}) == ["fail", "ok"]
    assert levels(**{"actor.policy_loss_type": "gspo"}) == ["fail", "ok"]
    sizes = {"train.max_epochs": 1, "rollout.batch_size": 128, "train.batch_size": 128}
    assert levels(**sizes) == ["ok", "fail"]


def test_choice_is_checked_against_any_settings():
    settings = SimpleNamespace(policy_loss_type="ppo", clip_eps_low=0.2, clip_eps_high=0.2, dual_clip=None)
    assert adapter.ADAPTER.objective_for({"method": "spo"}, settings).method.name == "cfpo"
