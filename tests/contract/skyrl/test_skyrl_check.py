"""What needs no SkyRL: `bandpo doctor skyrl`, and which losses scale with their advantages."""

import pytest
import torch
from independent import batch
from snippets import arguments, as_options, blocks

import bandpo
from bandpo.engines.common.objective import objective
from bandpo.engines.skyrl.check import check

ASYNC = {"trainer.fully_async.enabled": True}
GOOD = {"trainer.override_entrypoint": "bandpo.engines.skyrl", "trainer.algorithm.bandpo.method": "band-kl"}


def levels(**changes):
    return [finding.level for finding in check({**GOOD, **changes})][1:]


def test_a_good_command_line():
    assert levels() == ["ok", "ok", "ok"]
    assert levels(**{"trainer.algorithm.bandpo.method_kwargs.max_ratio": 9}) == ["ok", "ok", "ok"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trainer.override_entrypoint": None}, "knows no bandpo"),
        ({"trainer.algorithm.policy_loss_type": "regular"}, "another loss"),
        ({"trainer.algorithm.bandpo.method": "band-kl2"}, "band-kl2"),
        ({"trainer.algorithm.bandpo.method": "maspo"}, "divides advantages"),
        ({"trainer.algorithm.bandpo.delta": 0.1}, "'delta'"),
        ({"trainer.algorithm.eps_clip_high": 0.28}, "eps_clip_high=0.28 has no effect with method='band-kl'"),
        ({"trainer.train_batch_size": 256}, "used for one update"),
        (ASYNC, "keeps no old policy"),
        (
            {**ASYNC, "trainer.algorithm.bandpo.anchor": "rollout", "generator.sampling_params.logprobs": None},
            "need its log-probs",
        ),
        (
            {
                "trainer.algorithm.bandpo.anchor": "rollout",
                "trainer.algorithm.off_policy_correction.tis_ratio_type": "token",
            },
            "counts the mismatch twice",
        ),
    ],
)
def test_what_fails(changes, words):
    failed = [finding for finding in check({**GOOD, **changes})[1:] if finding.level == "fail"]
    assert len(failed) == 1 and words in failed[0].text


def test_asynchronous_training_anchored_on_the_sampler_is_fine():
    assert levels(**ASYNC, **{"trainer.algorithm.bandpo.anchor": "rollout"}) == ["ok", "ok", "ok"]


def test_the_refused_methods_are_those_whose_loss_does_not_scale():
    x, refused = batch(), set()
    # Methods that touch a share of a batch's tokens are made to touch some of these few.
    widened = {"clip-cov": {"fraction": 0.3, "cov_low": 0.1}, "kl-cov": {"fraction": 0.3}}
    for name in bandpo.methods():
        try:
            named = objective(name, method_kwargs=widened.get(name), provided=("logp_rollout",))
        except ValueError as error:
            assert "needs" in str(error)
            continue
        noise = {"noise": torch.full(x.mask.shape, 0.5)} if "noise" in named.method.inputs else {}
        full, scaled = (
            named.per_token(x.new, x.old, scale * x.advantages, x.mask, logp_rollout=x.rollout, **noise)[0]
            for scale in (1.0, 1e-3)
        )
        scales = torch.allclose(1e-3 * full, scaled, rtol=1e-4, atol=1e-9)
        assert named.method.scales_with_advantage == scales, name
        if not scales:
            refused.add(name)
    for name in refused:
        assert levels(**{"trainer.algorithm.bandpo.method": name})[1] == "fail"
    assert refused == {"clip-cov", "kl-cov", "maspo"}


def test_the_documented_command_passes_its_check():
    options = as_options(arguments(blocks("skyrl", "bash")[0]))
    assert [finding.level for finding in check(options)][1:] == ["ok", "ok", "ok"]
