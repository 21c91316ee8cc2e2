"""Our losses and gradients against numbers computed once with the authors' own code, see golden/README.md."""

import itertools
import json
import math
from pathlib import Path

import pytest
import torch

import bandpo

FOLDER = Path(__file__).parent / "golden"
FILES = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json")) if path.stem != "batch"}
CASES = [(name, index, case) for name, file in FILES.items() for index, case in enumerate(file["cases"])]
IDS = [f"{name}-{index}-{case['method']}" for name, index, case in CASES]
# How many there are: a case that got lost would otherwise not be missed.
COUNTS = {
    "bandpo_release": 6,
    "ce_gppo": 5,
    "dcpo": 5,
    "drpo": 6,
    "entropy_mechanism": 10,
    "maspo": 5,
    "spo": 4,
    "stable_rl": 20,
    "tre": 8,
    "verl": 28,
}
EXACT = {"rtol": 0.0, "atol": 1e-12}


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


BATCH = {key: tensor(x) for key, x in json.loads((FOLDER / "batch.json").read_text()).items() if "ids" not in key}
MASK = BATCH["mask"] != 0


def hyperparameters_of(case):
    """Our keywords for a case: "inf" is infinity, and no dual clip or lower clip at all is None or infinity."""
    found = {key: math.inf if value == "inf" else value for key, value in case["hyperparameters"].items()}
    if found.get("dual_clip") == math.inf:
        found["dual_clip"] = None
    if found.get("eps_low") == 1.0:
        found["eps_low"] = math.inf
    return found


def inputs_of(case):
    chosen = bandpo.get_method(case["method"])
    inputs = {key: BATCH[key] for key in chosen.inputs if key in BATCH}
    if case["method"] == "clip-cov":
        inputs["noise"] = tensor(case["extra"]["dropped"])
    return inputs


def result(case, aggregation="token-mean"):
    logp = BATCH["logp"].clone().requires_grad_()
    out = bandpo.policy_loss(
        logp,
        BATCH["logp_old"],
        BATCH["advantages"],
        MASK,
        method=case["method"],
        anchor=case["anchor"],
        logp_rollout=BATCH["logp_rollout"],
        aggregation=aggregation,
        **inputs_of(case),
        **hyperparameters_of(case),
    )
    out.loss.backward()
    return out, logp.grad


@pytest.mark.parametrize(("file", "index", "case"), [x for x in CASES if x[2]["loss"] is not None])
def test_loss_and_gradient_are_those_of_the_authors(file, index, case):
    out, gradient = result(case)
    torch.testing.assert_close(out.loss, tensor(case["loss"]), **EXACT)
    torch.testing.assert_close(gradient, tensor(case["gradient"]), **EXACT)
    torch.testing.assert_close(torch.where(MASK, out.per_token, 0.0), tensor(case["per_token"]), **EXACT)
    assert torch.equal(gradient == 0, tensor(case["gradient"]) == 0)
    if "seq-mean-token-mean" in case["extra"]:
        out, gradient = result(case, "seq-mean-token-mean")
        expected = case["extra"]["seq-mean-token-mean"]
        torch.testing.assert_close(out.loss, tensor(expected["loss"]), **EXACT)
        torch.testing.assert_close(gradient, tensor(expected["gradient"]), **EXACT)


BOUNDS = [x for x in CASES if "lower" in x[2].get("extra", {})]


@pytest.mark.parametrize(("file", "index", "case"), BOUNDS)
def test_bounds_are_those_of_the_authors(file, index, case):
    low, high = bandpo.get_method(case["method"]).interval(BATCH["logp_old"], **hyperparameters_of(case)).ratio()
    tolerances = (1e-13, 1e-13) if case["method"] != "band-kl" else (1e-6, 1e-8)
    for found, side, tolerance in zip((low, high), ("lower", "upper"), tolerances, strict=True):
        torch.testing.assert_close(found, tensor(case["extra"][side]), rtol=tolerance, atol=tolerance)


ENTROPIES = [x for x in CASES if x[0] == "tre"]


@pytest.mark.parametrize(("file", "index", "case"), ENTROPIES)
def test_entropies_and_their_gradients_are_those_of_the_authors(file, index, case):
    options, logits = case["hyperparameters"], BATCH["logits"].clone().requires_grad_()
    found = bandpo.trust_region_entropy(logits, **options) if options else bandpo.token_entropy(logits)
    found.sum().backward()
    tolerance = EXACT if "top_p" not in options else {"rtol": 2e-7, "atol": 1e-12}
    torch.testing.assert_close(found, tensor(case["per_token"]), **tolerance)
    torch.testing.assert_close(logits.grad, tensor(case["extra"]["gradient_logits"]), **tolerance)


@pytest.mark.parametrize(("file", "index", "case"), ENTROPIES)
def test_the_bonus_is_the_authors_mean_times_its_coefficient(file, index, case):
    """Their loss is the policy loss - coef · mean entropy, under the token mean."""
    main = [BATCH[key] for key in ("logp", "logp_old", "advantages")]
    if case["method"] == "entropy":
        options = {"entropy": bandpo.token_entropy(BATCH["logits"])}
    else:
        options = {"logits": BATCH["logits"], "top_k": None, **case["hyperparameters"]}
    common = {"aggregation": "token-mean"}
    base = bandpo.policy_loss(*main, MASK, method="grpo", **common).loss
    found = bandpo.policy_loss(*main, MASK, method=case["method"], coef=0.01, **options, **common).loss
    assert (base - found).item() == pytest.approx(0.01 * case["extra"]["token_mean"], rel=3e-7)


@pytest.mark.parametrize(("file", "index", "case"), [x for x in CASES if "divergence" in x[2].get("extra", {})])
def test_top_k_divergences_are_those_of_the_authors_and_decide_alike(file, index, case):
    name = case["method"].removeprefix("dppo-topk-")
    found = bandpo.top_k_divergence(BATCH["topk_logp"], BATCH["topk_logp_rollout"], name)
    torch.testing.assert_close(found, tensor(case["extra"]["divergence"]), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(("file", "index", "case"), [x for x in CASES if "keep" in x[2].get("extra", {})])
def test_masks_keep_what_the_authors_keep(file, index, case):
    _, gradient = result(case)
    learning = MASK & (BATCH["advantages"] != 0)
    assert torch.equal((gradient != 0)[learning], (tensor(case["extra"]["keep"]) != 0)[learning])


def test_every_case_is_compared():
    assert {name: len(file["cases"]) for name, file in FILES.items()} == COUNTS
    for name, _, case in CASES:
        has_numbers = case["loss"] is not None or "lower" in case["extra"] or name == "tre"
        assert has_numbers, (name, case["method"])
    methods = {case["method"] for _, _, case in CASES}
    assert {"dppo-tv", "dppo-kl", "dppo-topk-tv", "dppo-topk-kl", "clip-cov", "kl-cov", "maspo", "cfpo"} <= methods
    assert {"drpo", "ce-gppo", "dcpo", "gspo", "sapo", "cispo", "tre", "entropy", "band-kl"} <= methods


def test_the_batch_tells_all_methods_apart():
    """Two methods that gave the same numbers here could stand in for each other."""
    firsts = {}
    for _, _, case in CASES:
        if case["gradient"] is not None:
            firsts.setdefault(case["method"], (tensor(case["gradient"]), tensor(case["per_token"])))
    assert len(firsts) >= 15
    for (name, one), (other, two) in itertools.combinations(firsts.items(), 2):
        same = all(torch.allclose(a, b, rtol=1e-6, atol=1e-9) for a, b in zip(one, two, strict=True))
        assert not same, (name, other)
    assert MASK.sum() < MASK.numel()
    assert (BATCH["advantages"][MASK] > 0).any() and (BATCH["advantages"][MASK] < 0).any()
