"""The fused kernel, interpreted on the CPU, against the torch code: loss, gradient and every metric."""

import math
import subprocess
import sys

import pytest
import torch

import bandpo
from bandpo.core.methods.registry import get_method
from bandpo.core.objective.fused import packed_region
from bandpo.core.regions.packed import DYNAMIC, FIXED, KL, MIRRORED, TV, PackedRegion
from tests.core import batches

pytest.importorskip("triton", reason="Triton is not installed")

SETTINGS = {
    "grpo": {},
    "clip-higher": {"eps_low": 0.1, "eps_high": 0.4},
    "dual-clip": {"dual_clip": 1.5},
    "no-clip": {},
    "band-kl": {"delta": 0.03},
    "band-kl, capped": {"max_ratio": 2.0, "dual_clip": 2.5},
    "band-kl, relaxed": {"relax": (0.2, 0.28)},
    "band-kl, sides": {"delta_low": 0.01, "delta_high": 0.2},
    "band-kl, open below": {"lower": "none"},
    "band-tv": {"delta": 0.05},
    "band-chi2": {"delta": 0.01},
    "band-hellinger": {"delta": 0.02},
    "band-upper": {"delta": 0.05},
    "band-mirror": {"delta": 0.03},
    "band-mirror, both sides": {"upper": "mirror", "delta_high": 0.2, "max_ratio": 3.0},
    "band-tv, mirrored": {"lower": "mirror", "upper": "mirror"},
    "band-chi2, mirrored": {"lower": "mirror", "upper": "mirror", "relax": (0.1, 0.1)},
    "band-hellinger, mirrored": {"lower": "mirror", "upper": "mirror"},
    "atr-grpo": {"dual_clip": 1.5},
    "dcpo": {},
    "dcpo, tight": {"eps_low": 0.01, "eps_high": 0.02, "max_ratio": 1.5},
}


def batch(rows=4, tokens=1500, dtype=torch.float32, seed=0):
    """Ragged rows longer than a block, one of them fully masked; masked positions hold junk."""
    generator = torch.Generator().manual_seed(seed)
    old = -torch.exp(torch.rand(rows, tokens, generator=generator) * 14 - 11)
    new = (old + 0.4 * torch.randn(rows, tokens, generator=generator)).clamp_max(-1e-6)
    mask = torch.rand(rows, tokens, generator=generator) > 0.2
    mask[-1] = False
    advantages = torch.randn(rows, generator=generator)
    advantages[1] = 0.0
    new, old = torch.where(mask, new, math.nan), torch.where(mask, old, math.inf)
    return new.to(dtype), old.to(dtype), advantages, mask


def both(inputs, method, **options):
    """(output, gradient) of the torch code and of the kernel."""
    found = []
    for kernel in ("torch", "triton"):
        logp = inputs[0].clone().requires_grad_()
        out = bandpo.policy_loss(logp, *inputs[1:], method=method, kernel=kernel, **options)
        out.loss.backward()
        found.append((out, logp.grad))
    return found


def assert_same(found):
    (one, gradient), (other, other_gradient) = found
    torch.testing.assert_close(other.loss, one.loss, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(other.per_token, one.per_token, rtol=2e-6, atol=1e-7)
    one_ulp = torch.finfo(gradient.dtype).eps
    torch.testing.assert_close(other_gradient, gradient, rtol=2e-6 + one_ulp, atol=1e-10)
    assert torch.equal(other_gradient == 0, gradient == 0)
    assert other.metrics.keys() == one.metrics.keys()
    for name, pair in one.metrics.items():
        torch.testing.assert_close(torch.stack(other.metrics[name]), torch.stack(pair), rtol=2e-6, atol=1e-6, msg=name)


# Of what the first settings do, each dtype is a path of its own; the others add bounds alone.
CASES = [(setting, dtype) for setting in [*SETTINGS][:13] for dtype in (torch.float32, torch.bfloat16, torch.float16)]
CASES += [(setting, (torch.float32, torch.bfloat16)[place % 2]) for place, setting in enumerate([*SETTINGS][13:])]


@pytest.mark.parametrize(("setting", "dtype"), CASES)
def test_equals_the_torch_code(setting, dtype):
    found = both(batch(dtype=dtype), setting.partition(",")[0], **SETTINGS[setting])
    assert_same(found)
    assert found[0][1].dtype == found[1][1].dtype == dtype


@pytest.mark.parametrize("aggregation", [a for a in bandpo.AGGREGATIONS if a != "seq-mean-token-sum-norm"])
def test_every_aggregation(aggregation):
    assert_same(both(batch(), "band-kl", aggregation=aggregation))
    assert_same(both(batch(), "band-kl", aggregation=aggregation, denominator=7.0))


def test_constant_length_aggregation_and_token_advantages():
    new, old, _, mask = batch()
    inputs = new, old, torch.randn(new.shape, generator=torch.Generator().manual_seed(1)), mask
    assert_same(both(inputs, "band-kl", aggregation="seq-mean-token-sum-norm", max_tokens=2000))


@pytest.mark.parametrize(("rows", "tokens"), [(1, 1), (2, 1024), (3, 1025), (0, 5), (5, 0)])
def test_shapes(rows, tokens):
    new, old, advantages, mask = (x[:rows] for x in batch(rows=6, tokens=max(tokens, 1)))
    inputs = new[:, :tokens], old[:, :tokens], advantages, mask[:, :tokens]
    assert_same(both(inputs, "band-kl"))


def test_log_ratios_beyond_the_guard_have_no_gradient():
    old = torch.tensor([[-60.0, -60.0, -1.0, -1.0]])
    new = torch.tensor([[-30.0, -30.0, -90.0, -90.0]])
    inputs = new, old, torch.tensor([[1.0, -1.0, 1.0, -1.0]]), torch.ones(1, 4, dtype=torch.bool)
    found = both(inputs, "no-clip")
    assert_same(found)
    assert (found[1][1] == 0).all()


def test_anchor_entropy_and_rollout_metrics():
    new, old, advantages, mask = batch()
    extras = {"logp_rollout": old - 0.1, "anchor": "rollout", "entropy": torch.where(mask, 0.5, math.nan)}
    found = both((new, old, advantages, mask), "band-tv", **extras)
    assert_same(found)
    assert {"entropy", "rollout_kl"} <= found[1][0].metrics.keys()


@pytest.mark.parametrize("setting", SETTINGS)
def test_without_metrics(setting):
    """Where both sides read one table, each token reads the one bound it can reach."""
    found = both(batch(), setting.partition(",")[0], metrics=False, **SETTINGS[setting])
    assert_same(found)
    assert found[1][0].metrics == {}


def test_the_same_input_gives_the_same_bits():
    runs = [both(batch(), "band-kl")[1] for _ in range(2)]
    assert torch.equal(runs[0][0].loss, runs[1][0].loss)
    assert torch.equal(runs[0][1], runs[1][1])


def assert_traced_is_eager(loss, inputs):
    """Assert that a loss in one graph, and its gradient in the first input, have the bits of the eager ones."""
    torch._dynamo.reset()
    logp, other = (inputs[0].clone().requires_grad_() for _ in range(2))
    value = torch.compile(loss, fullgraph=True, backend="aot_eager")(logp, *inputs[1:])
    value.backward()
    expected = loss(other, *inputs[1:])
    expected.backward()
    assert torch.equal(value, expected)
    assert torch.equal(logp.grad, other.grad)


def test_compiled_with_the_kernel_inside():
    inputs = batch(tokens=64)

    def loss(logp, *others):
        return bandpo.policy_loss(logp, *others, method="band-kl", kernel="triton", metrics=False).loss

    assert_traced_is_eager(loss, inputs)


@pytest.mark.parametrize(
    ("method", "options", "inputs"),
    [
        ("band-js", {}, batch()),
        ("band-kl", {"bounds": False}, batch()),
        ("band-kl", {"delta": 1e-12}, batch()),
        ("band-le-cam", {"lower": "mirror", "delta": torch.tensor(0.05)}, batch()),
        ("flex-entropy", {"progress": 0.3}, batch()),
        ("maspo", {}, batch()),
        ("band-kl", {}, tuple(x.double() if x.is_floating_point() else x for x in batch())),
    ],
)
def test_what_the_kernel_cannot_do_is_refused_by_name_and_left_to_torch_by_auto(method, options, inputs):
    with pytest.raises(ValueError, match=f"kernel='triton' with method='{method}'"):
        bandpo.policy_loss(*inputs, method=method, kernel="triton", **options)
    assert torch.isfinite(bandpo.policy_loss(*inputs, method=method, **options).loss)


def test_unknown_kernels_are_refused():
    with pytest.raises(ValueError, match="kernel='cuda': expected one of 'auto', 'torch', 'triton'"):
        bandpo.policy_loss(*batch(), kernel="cuda")


def test_regions_in_the_kernels_terms():
    def region(name, **options):
        return packed_region(get_method(name), get_method(name).resolve(options))

    assert region("grpo") == PackedRegion(FIXED, math.log1p(-0.2), FIXED, math.log1p(0.2))
    assert region("band-tv", delta_low=0.1) == PackedRegion(TV, 0.1, TV, 0.05)
    assert region("band-upper", max_ratio=10.0, dual_clip=3.0) == PackedRegion(
        FIXED, math.log1p(-0.2), KL, 0.05, log_cap=math.log(10), log_dual_clip=math.log(3)
    )
    assert region("band-mirror") == PackedRegion(KL | MIRRORED, 0.05, KL, 0.05)
    assert region("dcpo") == PackedRegion(DYNAMIC, 0.16, DYNAMIC, 0.2, log_cap=math.log(10), log_dual_clip=math.log(10))
    atr = region("atr-grpo", delta=0.3)
    assert [atr.low_kind, atr.high_kind] == [FIXED, FIXED]
    assert [math.expm1(d) - d for d in (atr.low_value, atr.high_value)] == pytest.approx([0.3, 0.3])
    assert region("band-js") is region("flex-entropy") is None
    for name in ("band-kl", "band-mirror", "atr-grpo"):
        with pytest.raises(ValueError, match=r"delta=-1\.0"):
            region(name, delta=-1.0)
    with pytest.raises(ValueError, match=r"max_ratio=0\.5"):
        region("dcpo", max_ratio=0.5)


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from bandpo.core.objective.packed_average import PackedAverage
from bandpo.core.objective.packed_terms import PackedTerms
from bandpo.core.regions import packed
from bandpo.core.regions.packed import PackedRegion
from bandpo.kernels import averaging, band_triton
from bandpo.kernels import blocks as op
from bandpo.kernels import clip_loss_triton as kernel
from bandpo.kernels.bounds import BOTH, Region, one_search

target = GPUTarget("cuda", 90, 32)
outputs = [f"{name}_ptr" for name in ("advantages", "gradient", "per_token", "parts", "weights", "loss", "summary")]
pointers = {"mask_ptr": "*u8", "done_ptr": "*i32"} | dict.fromkeys(outputs, "*fp32")
numbers = dict.fromkeys(("rows", "tokens", "blocks", "advantage_row", "advantage_column"), "i32")
numbers |= {"slacks": kernel.Slacks(*["fp32"] * 4), "average": PackedAverage("i32", "fp32", "fp32")}
numbers["terms"] = PackedTerms("i32", "fp32", "fp32", "fp32")


def region(low, high):
    values = ["*fp32" if kind & packed.PER_TOKEN else "fp32" for kind in (low, high)]
    return Region("*fp32", "*fp32", *values, *["i32"] * 4, *["fp32"] * (len(Region._fields) - 8))


def built(function, types, constants):
    types = types | dict.fromkeys(constants, "constexpr")
    signature = {name: types[name] for name in function.arg_names}
    return len(triton.compile(ASTSource(function, signature, constants), target=target).asm["cubin"]) > 1000


MIRRORED, PER_TOKEN = packed.MIRRORED, packed.PER_TOKEN
plain = [packed.FIXED, packed.KL, packed.TV, packed.CHI2, packed.HELLINGER, packed.DYNAMIC]
others = [packed.KL | MIRRORED, packed.KL | PER_TOKEN, packed.KL | MIRRORED | PER_TOKEN, packed.CHI2 | MIRRORED]
others += [packed.TV | PER_TOKEN, packed.HELLINGER | MIRRORED | PER_TOKEN]
kinds = [*((kind, kind) for kind in plain + others), (packed.KL | MIRRORED, packed.KL)]
for place, (low, high) in enumerate(kinds):
    for metrics in (True, False) if place < len(plain) else (place % 2 == 0,):
        dtype = ("fp32", "bf16")[(place + metrics) % 2]
        search = one_search(PackedRegion(low, 0.05, high, 0.05), None)
        constants = {"METRICS": metrics, "COUNT": op.SUMS if metrics else op.WITHOUT_METRICS, "BLOCK": op.BLOCK}
        constants |= {"AVERAGE": place % 3, "ROWS": 4, "BLOCKS": averaging.REDUCED // 4}
        constants |= {"LOW": low, "HIGH": high, "SEARCH": BOTH if metrics else search}
        constants |= {"ROLLOUT": place % 3, "ESTIMATOR": place % 4}
        log_probs = ("logp_ptr", "logp_old_ptr", "rollout_ptr", "reference_ptr")
        types = pointers | {name: f"*{dtype}" for name in log_probs} | numbers
        assert built(kernel._clip_loss, types | {"region": region(low, high)}, constants)
    types = dict.fromkeys(("logp_ptr", "toward_ptr", "low_ptr", "high_ptr"), "*fp32")
    types |= dict.fromkeys(("tokens", "width", "toward_row", "toward_column"), "i32") | {"region": region(low, high)}
    constants = {"LOW": low, "HIGH": high, "TOWARD": True, "SEARCH": search, "BLOCK": band_triton.BLOCK}
    assert built(band_triton._band, types, constants)
types = dict.fromkeys(averaging._scale.arg_names, "*fp32") | {"out_ptr": "*bf16", "tokens": "i32", "blocks": "i32"}
assert built(averaging._scale, types, {"BLOCK": op.BLOCK})
print("built")
"""


@pytest.mark.slow
def test_builds_for_a_hopper_gpu(tmp_path):
    """Down to machine code for compute capability 9.0; nothing is run."""
    import os

    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, timeout=900)
    assert done.stdout.strip() == "built", done.stderr[-2000:]


# Every setting with and without metrics, in fp32 and in one of the others.
AS_ON_A_GPU = [
    pytest.param(name, options, dtype, metrics, id=f"{label}-{dtype}-{metrics}")
    for place, ((name, options), label) in enumerate(zip(batches.SETTINGS, batches.SETTING_IDS, strict=True))
    for dtype, metrics in (
        (torch.float32, True),
        (torch.float32, False),
        ((torch.bfloat16, torch.float64)[place // 2 % 2], place % 2 == 0),
    )
]


@pytest.mark.parametrize(("name", "options", "dtype", "metrics"), AS_ON_A_GPU)
def test_auto_takes_what_a_gpu_would_take_and_gives_what_torch_gives(monkeypatch, name, options, dtype, metrics):
    """Every method as if its tensors lay on a GPU: the kernel where it serves, interpreted, and torch elsewhere."""
    monkeypatch.setattr("bandpo.core.regions.dispatch.runs_kernels", lambda tensor: True)
    given = batches.to(batches.batch(), dtype)
    (found, gradients), (expected, plain) = (
        batches.gradients_of(name, given, kernel=kernel, metrics=metrics, **options) for kernel in ("auto", "torch")
    )
    torch.testing.assert_close(found.per_token, expected.per_token, rtol=2e-6, atol=1e-6)
    assert found.metrics.keys() == expected.metrics.keys()
    for key, gradient in plain.items():
        torch.testing.assert_close(gradients[key], gradient, rtol=2e-6 + torch.finfo(gradient.dtype).eps, atol=1e-10)


def test_the_kernel_counts_a_token_held_at_the_guard_as_clipped():
    old = torch.tensor([[-60.0, -1.0, -1.0]])
    new = torch.tensor([[-30.0, -90.0, -1.1]])
    found = both((new, old, torch.ones(1), torch.ones(1, 3, dtype=torch.bool)), "no-clip")
    assert_same(found)
    assert found[1][0].metrics["clip"][0].item() == 2
