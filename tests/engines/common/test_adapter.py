"""Options and an engine's own settings into an objective: every refusal, and what is built once."""

import pytest

from bandpo.engines.common.adapter import Adapter
from bandpo.engines.common.findings import Finding, FindingWarning
from bandpo.engines.common.lazy import lazy


def refuse_three(objective, own):
    if own["eps"] == 3:
        raise ValueError("eps=3 contradicts")


BOTH = Adapter(
    "engine",
    provided=("logp_rollout",),
    hands_over="packed tokens",
    too_wide=("sequence", "batch"),
    clip_range=lambda own: {"eps_low": own["eps"]},
    refuse=refuse_three,
)
SAMPLER = Adapter("engine", provided=("logp_rollout",), only_anchor="rollout")


@pytest.mark.parametrize(
    ("adapter", "options", "own", "kind", "words"),
    [
        (BOTH, {"delta": 0.1}, None, TypeError, "'delta': engine takes method, band_delta"),
        (BOTH, {"method_kwargs": "max_ratio=3"}, None, TypeError, "expected names and values"),
        (BOTH, {"method_kwargs": {"max_ratio": [3]}}, None, (TypeError, ValueError), "max_ratio"),
        (BOTH, {"band_delta": 0.1, "method_kwargs": {"delta": 0.1}}, None, ValueError, "the same radius"),
        (BOTH, {"method": "gspo"}, None, ValueError, "needs the whole sequence, engine hands packed tokens"),
        (BOTH, {"method": "kl-cov"}, None, ValueError, "needs the whole batch"),
        (BOTH, {"method": "tre"}, None, ValueError, "needs logits, which engine does not hand to a loss"),
        (BOTH, {"method": "flex-entropy"}, None, ValueError, "method='flex-entropy' in engine"),
        (BOTH, {"anchor": "new"}, None, ValueError, "anchor='new'"),
        (BOTH, {}, {"eps": 3}, ValueError, "eps=3 contradicts"),
        (SAMPLER, {"anchor": "old"}, None, ValueError, "hands over the sampler's log-probs only, expected 'rollout'"),
        (Adapter("engine"), {"anchor": "rollout"}, None, ValueError, "needs logp_rollout"),
        (Adapter("engine", clips_only=True), {"method": "sapo"}, None, ValueError, "can be handed intervals only"),
    ],
)
def test_refusals(adapter, options, own, kind, words):
    with pytest.raises(kind, match=words):
        adapter.objective_for(options, own)
    finding = adapter.finding(options, own)
    assert finding.level == "fail" and "the adapter refuses these options" in finding.text


def test_the_engines_clip_range_is_grpos_and_no_other_methods():
    assert BOTH.objective_for({"method": "grpo"}, {"eps": 0.1}).options["eps_low"] == 0.1
    own_wins = BOTH.objective_for({"method": "grpo", "method_kwargs": {"eps_low": 0.3}}, {"eps": 0.1})
    assert own_wins.options["eps_low"] == 0.3
    assert BOTH.objective_for({"method": "clip-higher"}, {"eps": 0.1}).options["eps_low"] == 0.2
    assert SAMPLER.objective_for({"method": "grpo"}).anchor == "rollout"


def test_an_objective_is_built_once_for_the_same_options():
    options = {"band_delta": 0.0123, "method_kwargs": {"max_ratio": 7.0}}
    assert BOTH.objective_for(options) is BOTH.objective_for(dict(options))
    assert BOTH.objective_for(options) is not BOTH.objective_for({**options, "band_delta": 0.0124})
    with pytest.raises((TypeError, ValueError)):
        BOTH.objective_for({"band_delta": True})


def test_a_finding_is_one_sentence_with_its_advice():
    finding = Finding("warn", "the ratio is always 1", "set num_iterations above 1")
    assert str(finding) == "the ratio is always 1; set num_iterations above 1" == str(FindingWarning(finding))
    assert str(Finding("ok", "fine")) == "fine"


def test_a_lazy_name():
    get = lazy("bandpo.engines.common", names=("hint",), findings=("Finding",))
    assert get("Finding") is Finding
    with pytest.raises(AttributeError, match=r"module 'bandpo\.engines\.common' has no attribute 'other'"):
        get("other")
