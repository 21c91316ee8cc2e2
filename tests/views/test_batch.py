"""The matched radius stops the share of tokens it was asked for, as `policy_loss` itself counts them."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.inspection.matching import matching_radius, needed_radius
from bandpo.views.batch import clip_share, load_batch, matched
from bandpo.views.match import measures


def of(logp, logp_old, advantages):
    """A batch of which every token counts."""
    mask = torch.ones_like(logp, dtype=torch.bool)
    return TokenBatch(mask=mask, logp=logp, logp_old=logp_old, advantages=advantages)


@pytest.mark.parametrize("share", [0.003, 0.02, 0.05, 0.2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("measure", ["clip", *measures()])
def test_the_matched_radius_stops_that_share_within_one_token(recorded, measure, dtype, share):
    batch = recorded(dtype=dtype)
    radius = matching_radius(batch, share, measure)
    if measure == "clip":
        stopped = clip_share(batch, "grpo", eps_low=radius, eps_high=radius)
    else:
        stopped = clip_share(batch, "atr-grpo" if measure == "kl3" else f"band-{measure}", delta=radius)
    assert stopped * batch.tokens == pytest.approx(round(share * batch.tokens), abs=1.001)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("like", ["grpo", "clip-higher", "dcpo", "dppo-tv", "band-mirror"])
def test_matching_a_method_stops_as_many_tokens_as_it_does(recorded, seed, like):
    batch = recorded(seed)
    share = clip_share(batch, like)
    for label, stopped in matched(batch, share).items():
        assert stopped is None or stopped * batch.tokens == pytest.approx(share * batch.tokens, abs=1.001), label


def test_matching_a_method_of_one_radius_finds_that_radius(recorded):
    batch = recorded(dtype=torch.float64)
    for measure, name, radius in (("kl", "band-kl", 0.05), ("tv", "band-tv", 0.1), ("kl3", "atr-grpo", 0.03)):
        found = matching_radius(batch, clip_share(batch, name, delta=radius), measure)
        between = needed_radius(batch, measure).sort().values
        place = torch.searchsorted(between, radius)
        assert between[place - 1] <= found <= between[place]


def test_tokens_that_do_not_move_outward_need_no_radius():
    logp_old = torch.full((2, 3), 0.5).log()
    logp = torch.tensor([[0.6, 0.4, 0.5]] * 2).log()
    batch = of(logp, logp_old, torch.tensor([[1.0], [-1.0]]).expand(2, 3))
    expected = torch.tensor([0.1, 0, 0, 0, 0.1, 0], dtype=torch.float64)
    torch.testing.assert_close(needed_radius(batch, "tv"), expected, atol=1e-7, rtol=0)


def test_per_token_advantages_are_taken():
    logp_old = torch.full((1, 2), 0.5).log()
    batch = of(logp_old + 0.1, logp_old, torch.tensor([[1.0, -1.0]]))
    assert (needed_radius(batch) > 0).tolist() == [True, False]


def test_a_share_that_cannot_be_is_refused_with_what_can(recorded):
    batch = recorded()
    moving = int((needed_radius(batch) > 0).sum())
    with pytest.raises(ValueError, match=rf"share 0\.9 .* only {moving} move"):
        matching_radius(batch, 0.9)
    with pytest.raises(ValueError, match="one token at least"):
        matching_radius(batch, 1e-5)


def test_a_region_with_no_radius_so_wide_says_so():
    logp_old = torch.full((1, 4), 0.001).log()
    batch = of(logp_old + 3, logp_old, torch.ones(1, 4))
    assert matching_radius(batch, 0.5, "clip") == math.inf
    assert matched(batch, 0.5)["grpo"] is None


def test_both_formats_hold_the_same_batch(recorded, tmp_path):
    batch = recorded()
    tensors = {name: getattr(batch, name) for name in batch.names} | {"mask": batch.mask.to(torch.uint8)}
    save_file({name: t.contiguous() for name, t in tensors.items()}, tmp_path / "b.safetensors")
    np.savez(tmp_path / "b.npz", **{name: t.numpy() for name, t in tensors.items()})
    first, second = load_batch(tmp_path / "b.safetensors"), load_batch(tmp_path / "b.npz")
    assert first.tokens == second.tokens == recorded().tokens
    assert matched(first, 0.1) == matched(second, 0.1) == matched(recorded(), 0.1)


def test_without_a_mask_every_token_counts(tmp_path):
    logp = np.full((2, 3), -1.0, dtype=np.float32)
    np.savez(tmp_path / "b.npz", logp=logp, logp_old=logp, advantages=np.ones(2, dtype=np.float32))
    assert load_batch(tmp_path / "b.npz").tokens == 6


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"logp_old": None}, "expected also logp_old"),
        ({"advantages": np.ones(5, dtype=np.float32)}, r"advantages has shape \(5,\)"),
        ({"logp": np.full((2, 3), 0.5, dtype=np.float32)}, r"logp\[0, 0\] = 0.5: expected a finite log-prob"),
        ({"logp_old": np.full((2, 2), -1.0, dtype=np.float32)}, r"logp_old has shape \(2, 2\)"),
        ({"mask": np.zeros((2, 3), dtype=bool)}, "mask is 0 everywhere"),
        ({"mask": np.full((2, 3), np.nan, dtype=np.float32)}, r"mask\[0, 0\] = nan: expected 0 or 1"),
        ({"mask": np.full((2, 3), 0.5, dtype=np.float32)}, r"mask\[0, 0\] = 0.5: expected 0 or 1"),
        ({"logp": np.full((2, 3), -1, dtype=np.int64)}, "floating-point"),
    ],
)
def test_a_file_that_holds_no_batch_is_refused_by_name(tmp_path, change, expected):
    logp = np.full((2, 3), -1.0, dtype=np.float32)
    arrays = {"logp": logp, "logp_old": logp, "advantages": np.ones(2, dtype=np.float32), **change}
    np.savez(tmp_path / "b.npz", **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(ValueError, match=rf"b\.npz.*{expected}"):
        load_batch(tmp_path / "b.npz")


@pytest.mark.parametrize("name", ["b.txt", "b.npz", "b.safetensors", "absent.npz"])
def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path, name):
    if not name.startswith("absent"):
        (tmp_path / name).write_text("hello")
    with pytest.raises(ValueError, match=name):
        load_batch(tmp_path / name)
