"""ROLL's own loss_func, run by our worker class on logits."""

import json
from types import SimpleNamespace

import pytest
import roll_protocol as protocol
import torch
from independent import Batch, assert_close, band_kl, gradient, per_token
from snippets import blocks
from sources import anything, both, checkout, execute, stub

from bandpo.engines.roll import adapter
from bandpo.engines.roll.check import WORKER, check

VOCABULARY = 6


@pytest.fixture(params=both("0.3.0"))
def worker_class(request, monkeypatch):
    """Our class, as ROLL finds it by its dotted name."""
    adapter._worker_class.cache_clear()
    if request.param == "protocol":
        stub(monkeypatch, "roll.pipeline.rlvr.actor_worker", ActorWorker=protocol.ActorWorker)
    else:
        folder = checkout("roll") / "roll"

        anything(
            monkeypatch,
            "roll.configs.base_config",
            "roll.pipeline.rlvr.rlvr_config",
            "roll.platforms",
            "roll.utils.kl_controller",
            "roll.pipeline.agentic.utils",
            "roll.distributed.scheduler.protocol",
            "tensordict",
        )
        stub(monkeypatch, "roll.utils.logging", get_logger=lambda: None)
        stub(monkeypatch, "roll.pipeline.base_worker", ActorWorker=protocol.ActorWorker)
        execute(monkeypatch, "roll.utils.functionals", folder / "utils/functionals.py")
        execute(monkeypatch, "roll.utils.train_infer_corrections", folder / "utils/train_infer_corrections.py")
        execute(monkeypatch, "roll.pipeline.rlvr.actor_worker", folder / "pipeline/rlvr/actor_worker.py")
    yield adapter.BandActorWorker
    adapter._worker_class.cache_clear()


class Strategy:
    """ROLL's strategy as far as the loss uses it; counts how often the log-probs are computed."""

    def __init__(self):
        self.calls = 0

    def op_compute_log_probs(self, logits, input_ids, attention_mask):
        self.calls += 1
        log_p = torch.log_softmax(logits[:, :-1].float(), -1).gather(-1, input_ids[:, 1:, None])[..., 0]
        return log_p * attention_mask[:, 1:]


def configuration(**changes):
    is_weight = SimpleNamespace(enabled=changes.pop("is_weight", False))
    defaults = {
        "importance_sampling": "token",
        "use_pg_clip_range": False,
        "pg_clip": 0.2,
        "pg_clip_low": 0.2,
        "pg_clip_high": 0.2,
        "dual_clip_loss": False,
        "loss_agg_mode": "seq-mean-token-mean",
        "enable_old_logprobs_recompute": True,
        "use_kl_loss": False,
        "rl_loss_coef": 1.0,
        "entropy_loss_coef": 0.0,
        "difficulty_loss_weight": False,
        "length_loss_weight": False,
        "train_infer_correction": SimpleNamespace(is_weight=is_weight),
    }
    return SimpleNamespace(**{**defaults, **changes})


class Rows:
    """A micro-batch of rows with prompts in front, and the same as a padded batch of responses."""

    def __init__(self, hole=0.0, seed=0, rows=4, length=10):
        random = torch.Generator().manual_seed(seed)
        self.logits = (2 * torch.randn(rows, length, VOCABULARY, generator=random)).requires_grad_()
        ids = torch.randint(VOCABULARY, (rows, length), generator=random)
        response = (torch.arange(length) >= 3) & (torch.arange(length) < length - torch.arange(rows)[:, None])
        mask = response[:, 1:]
        new = torch.log_softmax(self.logits[:, :-1].double(), -1).gather(-1, ids[:, 1:, None])[..., 0]

        def near(spread):
            moved = (new.detach() + spread * torch.randn(new.shape, generator=random)).clamp(max=-1e-3)
            return torch.where(mask, moved, hole).float()

        advantages = torch.randn(rows, 1, generator=random).expand_as(new)
        self.padded = Batch(new, near(0.5), near(0.6), advantages, mask)
        weight = torch.exp(self.padded.old - self.padded.rollout).clamp(max=2.0)
        self.data = SimpleNamespace(
            batch={
                "input_ids": ids,
                "response_mask": response.long(),
                "advantages": advantages,
                "old_log_probs": self.padded.old,
                "ref_log_probs": self.padded.old,
                "infer_logprobs": self.padded.rollout,
                "train_infer_is_weight": torch.where(mask, weight, 0.0),
            },
            non_tensor_batch={},
            meta_info={"batch_num_tokens": {"response_mask": 50}, "global_valid_samples": {"response_mask": 7}},
        )

    def run(self, worker_class, method="band-kl", options=None, **changes):
        config = SimpleNamespace(system_envs={"BANDPO": json.dumps({"method": method, **(options or {})})})
        worker = worker_class(config)
        worker.initialize(configuration(**changes))
        worker.strategy = self.strategy = Strategy()
        return worker.loss_func(self.data, self.logits)

    def expected(self, method, anchor="old", mode="seq-mean-token-mean", weight=1.0, **options):
        tokens = per_token(method, self.padded, anchor, **options) * weight
        if mode == "token-mean":
            return tokens.sum() / 50
        return (tokens.sum(-1) / self.padded.mask.sum(-1)).sum() / 7


METHODS = ["band-kl", "grpo", "dual-clip", "dppo-tv", "sapo", "cispo", "gspo"]


@pytest.mark.parametrize("mode", ["seq-mean-token-mean", "token-mean"])
@pytest.mark.parametrize("hole", [0.0, 1.5])
@pytest.mark.parametrize("method", METHODS)
def test_loss_and_gradient_under_rolls_denominators(worker_class, method, hole, mode):
    rows = Rows(hole)
    loss, metrics = rows.run(worker_class, method, loss_agg_mode=mode)
    expected = rows.expected(method, "rollout" if method == "dppo-tv" else "old", mode)
    assert_close(loss, expected, 1e-5)
    assert_close(gradient(loss, rows.logits), gradient(expected, rows.logits), 1e-5)
    assert rows.strategy.calls == 1
    assert {"actor/ppo_ratio_high_clipfrac@sum", "actor/band/clip@mean"} <= metrics.keys()


def test_shares_of_clipped_tokens_count_by_the_bounds(worker_class):
    rows = Rows()
    _, metrics = rows.run(worker_class)
    x, (_, high) = rows.padded, band_kl(rows.padded.old.clamp(max=-1e-3), 0.05)
    above = (torch.exp(x.new - x.old) > high) & x.mask
    assert metrics["actor/ppo_ratio_high_clipfrac@sum"] == pytest.approx(above.sum().item() / 50)


@pytest.mark.parametrize("method", ["band-kl", "sapo"])
def test_rolls_importance_weights_multiply_the_loss(worker_class, method):
    rows = Rows()
    loss, _ = rows.run(worker_class, method, is_weight=True)
    expected = rows.expected(method, weight=rows.data.batch["train_infer_is_weight"])
    assert_close(loss, expected, 1e-5)
    assert_close(gradient(loss, rows.logits), gradient(expected, rows.logits), 1e-5)


def test_the_dual_clip_of_the_configuration_is_kept(worker_class):
    rows = Rows()
    loss, _ = rows.run(worker_class, "grpo", use_pg_clip_range=True, dual_clip_loss=True, pg_clip=1.0)
    assert_close(loss, rows.expected("dual-clip"), 1e-5)


def test_anchor_on_the_sampler_and_other_radius(worker_class):
    rows = Rows()
    loss, _ = rows.run(worker_class, options={"anchor": "rollout", "band_delta": 0.02})
    assert_close(loss, rows.expected("band-kl", "rollout", delta=0.02), 1e-5)


def test_nothing_of_rolls_is_changed(worker_class):
    rows = Rows()
    before = dict(rows.data.batch)
    rows.run(worker_class, "sapo")
    assert all(rows.data.batch[name] is value for name, value in before.items())


def test_the_class_is_found_by_name_and_dispatched_as_rolls(worker_class):
    assert adapter.BandActorWorker is worker_class
    assert f"{worker_class.__module__}.{worker_class.__qualname__}" == WORKER
    assert worker_class.initialize.dispatched == "one to all"
    with pytest.raises(AttributeError, match="no attribute 'BandCritic'"):
        adapter.__getattr__("BandCritic")


@pytest.mark.parametrize(
    ("method", "options", "changes", "words"),
    [
        ("clip-cov", {}, {}, "needs the whole batch"),
        ("quatro", {}, {}, "needs group_rewards, which ROLL does not hand"),
        ("band-kl", {}, {"importance_sampling": "seq"}, "importance_sampling='seq'"),
        ("band-kl", {}, {"pg_clip": 0.3}, "pg_clip=0.3 has no effect"),
        ("band-kl", {}, {"use_pg_clip_range": True, "pg_clip_high": 0.28}, "pg_clip_high=0.28 has no effect"),
        ("dual-clip", {}, {"dual_clip_loss": True}, "give one"),
        ("sapo", {}, {"dual_clip_loss": True}, "dual_clip_loss=True with method='sapo'"),
        ("dppo-tv", {}, {"is_weight": True}, "counts the mismatch twice"),
    ],
)
def test_refusals_when_the_worker_starts(worker_class, method, options, changes, words):
    with pytest.raises(ValueError, match=words):
        Rows().run(worker_class, method, options, **changes)


@pytest.mark.parametrize("text", [None, "band-kl", "[1]"])
def test_a_missing_choice_is_named(worker_class, text):
    worker = worker_class(SimpleNamespace(system_envs={} if text is None else {"BANDPO": text}))
    with pytest.raises(ValueError, match=r"actor_train\.system_envs\.BANDPO=.*expected a JSON object"):
        worker.initialize(configuration())


def test_the_documented_configuration(worker_class):
    yaml = pytest.importorskip("yaml")
    actor = yaml.safe_load(blocks("roll", "yaml")[0])["actor_train"]
    assert actor["worker_cls"] == WORKER
    rows = Rows()
    worker = worker_class(SimpleNamespace(system_envs=actor["system_envs"]))
    worker.initialize(configuration())
    worker.strategy = Strategy()
    assert_close(worker.loss_func(rows.data, rows.logits)[0], rows.expected("band-kl"), 1e-5)


def test_doctor():
    good = {"actor_train.worker_cls": WORKER, "actor_train.system_envs.BANDPO": '{"method": "band-kl"}'}

    def levels(**changes):
        return [finding.level for finding in check({"ppo_epochs": 2, **good, **changes})][1:]

    assert levels() == levels(ppo_epochs=1, async_generation_ratio=1) == ["ok", "ok", "ok"]
    read = {"actor_train.system_envs.BANDPO": "", "actor_train.system_envs.BANDPO.method": "band-kl"}
    assert levels(**read) == ["ok", "ok", "ok"]
    assert levels(**{"actor_train.worker_cls": None}) == ["fail", "ok", "ok"]
    assert levels(pg_clip=0.3) == levels(**{"actor_train.system_envs.BANDPO": "x"}) == ["ok", "fail", "ok"]
    assert levels(ppo_epochs=1) == ["ok", "ok", "warn"]
