"""What slime and its forks must all do with our custom loss: the tests of a class, of which an engine has its own.

    class TestSlime(CustomLossTests):
        name, path, check, own_flags = "slime", "bandpo.engines.slime.loss", staticmethod(check), {...}

with a fixture `engine` in its module, the engine's module of losses.
"""

import re
import shlex

import pytest
import torch
from independent import assert_close, gradient, per_token
from sample_losses import Samples, flags
from snippets import blocks

from bandpo.engines.common import first_calls


class CustomLossTests:
    """Attributes: the engine's name, the path of our loss, its doctor's check, and flags that are its own."""

    name: str
    path: str
    own_flags: dict

    def flags(self, **changes):
        return flags({"custom_loss_function_path": self.path, **self.own_flags}, **changes)

    def arguments(self, method="band-kl", **changes):
        return self.flags(bandpo={"method": method, **changes.pop("bandpo", {})}, **changes)

    def documented(self):
        yaml = pytest.importorskip("yaml")
        given = re.findall(r"--([\w-]+) (\S+)", " ".join(shlex.split(blocks(self.name, "bash")[0])))
        return {n.replace("-", "_"): v for n, v in given}, yaml.safe_load(blocks(self.name, "yaml")[0])

    def levels(self, **changes):
        """The doctor's levels, but for the release, of the documented flags with changes."""
        given, config = self.documented()
        good = {**given, **{f"bandpo.{name}": value for name, value in config["bandpo"].items()}}
        return [finding.level for finding in self.check({**good, **changes})][1:]

    @pytest.mark.parametrize("hole", [0.0, 37.0])
    @pytest.mark.parametrize("method", ["band-kl", "grpo", "dual-clip"])
    def test_loss_and_gradient_are_the_sum_of_sample_means(self, engine, method, hole):
        samples = Samples(hole)
        loss, metrics = samples.run(self.arguments(method))
        expected = samples.expected(method)
        assert_close(loss, expected, 1e-5)
        assert_close(gradient(loss, samples.logits), gradient(expected, samples.logits), 1e-5)
        assert {"loss", "pg_clipfrac", "band/bound_low", "band/log_bound_high"} <= metrics.keys()

    def test_the_samplers_log_probs_serve_ratio_and_bounds(self, engine):
        samples = Samples()
        loss, _ = samples.run(self.arguments(use_rollout_logprobs=True, bandpo={"anchor": "rollout"}))
        expected = samples.expected("band-kl", "rollout")
        assert_close(loss, expected, 1e-5)
        assert_close(gradient(loss, samples.logits), gradient(expected, samples.logits), 1e-5)

    def test_bf16_old_log_probs_give_fp32_bounds(self, engine):
        samples = Samples()
        rounded = [x.bfloat16() for x in samples.batch["log_probs"]]
        samples.batch["log_probs"] = rounded
        old = torch.nn.utils.rnn.pad_sequence(rounded, batch_first=True)
        samples.padded = samples.padded._replace(old=old)
        assert_close(samples.run(self.arguments())[0], samples.expected("band-kl"), 1e-5)

    def test_masks_of_whole_responses_fit_the_tokens_of_a_context_parallel_rank(self, engine, monkeypatch):
        monkeypatch.setattr(first_calls, "_of_engine", {})
        monkeypatch.setattr(engine, "policy_loss_function", lambda args, *_: (args.eps_clip.sum(), {}))
        samples = Samples()
        masks = samples.batch["loss_masks"]
        samples.batch["log_probs"] = [x.bfloat16() for x in samples.batch["log_probs"]]
        samples.batch["loss_masks"] = [torch.cat([mask, mask]) for mask in masks]
        with pytest.warns(UserWarning, match="in bf16"):
            loss, _ = samples.run(self.arguments(), masks)
        assert torch.isfinite(loss)

    def test_its_importance_weights_multiply_the_loss(self, engine):
        samples = Samples()
        loss, _ = samples.run(self.arguments(use_tis=True, bandpo={"band_delta": 0.02}))
        weight = torch.exp(samples.padded.old - samples.padded.rollout).clamp(max=2.0)
        assert_close(loss, samples.expected("band-kl", weight=weight, delta=0.02), 1e-5)

    def test_clip_fraction_counts_by_the_bounds(self, engine):
        samples = Samples()
        _, metrics = samples.run(self.arguments())
        slope = gradient(per_token("band-kl", samples.padded).sum(), samples.padded.new)
        stopped = ((slope == 0) & samples.padded.mask).sum(-1) / samples.padded.mask.sum(-1)
        assert metrics["pg_clipfrac"].item() == pytest.approx(stopped.sum().item())

    def test_its_own_dual_clip_is_kept(self, engine):
        samples = Samples()
        loss, _ = samples.run(self.arguments("grpo", eps_clip_c=3.0))
        assert_close(loss, samples.expected("dual-clip"), 1e-5)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"method": "sapo"}, "method='sapo' is a gate, ENGINE can be handed intervals only"),
            ({"method": "dppo-tv"}, "method='dppo-tv' is a mask"),
            ({"method": "flex-entropy"}, "needs progress"),
            ({"advantage_estimator": "gspo"}, "--advantage-estimator gspo"),
            ({"bandpo": {"anchor": "rollout"}}, "anchor='rollout' without --use-rollout-logprobs"),
            ({"bandpo": {"anchor": "old"}, "use_rollout_logprobs": True}, "anchor='old' with --use-rollout-logprobs"),
            ({"eps_clip": 0.3, "eps_clip_high": 0.3}, "--eps-clip=0.3 has no effect"),
            ({"eps_clip_high": 0.28}, "--eps-clip-high=0.28 has no effect"),
            ({"method": "dual-clip", "eps_clip_c": 5.0}, "give one"),
        ],
    )
    def test_refusals(self, engine, changes, words):
        with pytest.raises(ValueError, match=words.replace("ENGINE", self.name)):
            Samples().run(self.arguments(**changes))

    def test_missing_log_probs_and_missing_configuration_are_named(self, engine):
        samples = Samples()
        samples.batch["log_probs"] = []
        with pytest.raises(ValueError, match="no log_probs"):
            samples.run(self.arguments())
        with pytest.raises(ValueError, match="--custom-config-path"):
            Samples().run(self.flags())

    def test_a_release_that_forgets_the_dual_clip_is_refused(self, engine, monkeypatch):
        monkeypatch.setattr(engine, "policy_loss_function", lambda args, *_: (args.eps_clip + args.eps_clip_high, {}))
        with pytest.raises(ValueError, match=r"dual_clip=3\.0: this release's loss takes no dual clip"):
            Samples().run(self.arguments("dual-clip"))

    def test_arguments_are_not_changed(self, engine):
        args = self.arguments()
        before = dict(vars(args))
        Samples().run(args)
        assert vars(args) == before

    def test_the_documented_flags(self, engine):
        given, config = self.documented()
        samples = Samples()
        args = self.flags(
            loss_type=given["loss_type"], custom_loss_function_path=given["custom_loss_function_path"], **config
        )
        assert_close(samples.run(args)[0], samples.expected("band-kl"), 1e-5)

    def test_doctor(self):
        assert self.levels() == self.levels(**{"bandpo.method_kwargs.max_ratio": 9}) == ["ok", "ok", "ok"]
        assert self.levels(loss_type="policy_loss") == ["fail", "ok", "ok"]
        assert self.levels(custom_loss_function_path="another.loss") == ["fail", "ok", "ok"]
        assert self.levels(**{"bandpo.method": "sapo"}) == self.levels(eps_clip=0.3) == ["ok", "fail", "ok"]
        assert self.levels(num_steps_per_rollout=1) == ["ok", "ok", "fail"]
        sizes = {"num_steps_per_rollout": None, "rollout_batch_size": 32, "n_samples_per_prompt": 8}
        assert self.levels(**sizes, global_batch_size=64) == ["ok", "ok", "ok"]
        assert self.levels(**sizes, global_batch_size=256) == ["ok", "ok", "fail"]
        assert self.levels(num_steps_per_rollout=1, use_rollout_logprobs=True) == ["ok", "ok", "warn"]
