"""An inspection's numbers against counts made token by token, and its verdict on batches whose truth is known."""

import json
import math

import pytest
import torch

import bandpo
from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.file import as_bytes
from bandpo.microscope.inspection.inspect import inspect

BAND = {"method": "band-kl", "options": {"delta": 0.05}}


def batch(seed=0, rows=24, width=40, spread=0.4, **changes):
    """A batch whose tokens moved by normal log-ratios, some of them masked."""
    generator = torch.Generator().manual_seed(seed)
    logp_old = -torch.rand(rows, width, generator=generator).square() * 8 - 1e-3
    logp = (logp_old + spread * torch.randn(rows, width, generator=generator)).clamp_max(-1e-4)
    return TokenBatch(**{
        "mask": torch.rand(rows, width, generator=generator) < 0.8,
        "logp": logp,
        "logp_old": logp_old,
        "advantages": torch.randn(rows, 1, generator=generator).expand(rows, width).contiguous(),
        "token_ids": torch.randint(20, (rows, width), generator=generator),
        "entropy": torch.rand(rows, width, generator=generator) * 3,
        "groups": torch.arange(rows) // 4,
        "rewards": torch.rand(rows, generator=generator).round(),
        "step": seed,
        "settings": BAND,
        "is_first_use": False,
        **changes,
    })  # fmt: skip


def saved(folder, *batches):
    for number, each in enumerate(batches):
        (folder / f"step_{number:05d}.safetensors").write_bytes(as_bytes(each))
    return folder


def kl(p, r):
    """g(p, r) of KL(old || new), from its definition, in doubles."""
    return -p * math.log(r) - (1 - p) * math.log((1 - r * p) / (1 - p)) if r * p < 1 else math.inf


def counted(seen, delta=0.05):
    """Tokens, stopped, mass and dropped mass by bucket of p and by side, one token at a time."""
    edges, sums = (0.01, 0.05, 0.2, 0.5, 0.9), {}
    for row, column in seen.mask.nonzero().tolist():
        p, d = seen.logp_old[row, column].double().exp().item(), (seen.logp - seen.logp_old)[row, column].item()
        a, r = seen.advantages[row, column].item(), math.exp(d)
        stopped = a * d > 0 and kl(p, r) > delta
        bucket, side = sum(p >= edge for edge in edges), 2 * (a < 0) + ((a < 0) == (d > 0))
        for key in ("all", ("probability", bucket), ("side", side)):
            row_sums = sums.setdefault(key, [0, 0, 0.0, 0.0])
            for index, value in enumerate((1, stopped, abs(a) * r, abs(a) * r * stopped)):
                row_sums[index] += value
    return sums


def as_list(share):
    return [share.tokens, share.stopped, share.mass, share.dropped]


def test_shares_are_those_of_a_count_by_hand(tmp_path):
    seen = [batch(seed) for seed in range(3)]
    found = inspect(saved(tmp_path, *seen))
    whole = {}
    for each in seen:
        for key, sums in counted(each).items():
            whole[key] = [a + b for a, b in zip(whole.get(key, [0] * 4), sums, strict=True)]
    assert as_list(found.total) == pytest.approx(whole["all"], rel=1e-5) and found.total.stopped > 100
    for axis in ("probability", "side"):
        for number, share in enumerate(found.shares[axis]):
            assert as_list(share) == pytest.approx(whole.get((axis, number), [0] * 4), rel=1e-5), share.label
    for axis in ("position", "entropy"):
        assert sum(share.tokens for share in found.shares[axis]) == found.total.tokens


def test_the_shares_are_policy_loss_s_own(tmp_path):
    for method in ("grpo", "gspo", "cispo", "dppo-tv", "band-js"):
        seen = batch(settings={"method": method, "options": {}, "anchor": "old"})
        found = inspect(saved(tmp_path, seen))
        metrics = bandpo.policy_loss(seen.logp, seen.logp_old, seen.advantages, seen.mask, method=method, anchor="old")
        if method != "cispo":
            assert found.total.stopped == metrics.metrics["clip"][0].item(), method


def test_the_advised_radius_stops_the_share_asked_for(tmp_path):
    seen = batch(rows=200)
    for target in (0.01, 0.05, 0.2):
        found = inspect(saved(tmp_path, seen), target=target)
        delta = float(found.radii.advised.partition("delta=")[2])
        again = inspect(tmp_path, method="band-kl", options={"delta": delta})
        assert again.total.stopped_share == pytest.approx(target, abs=2 / math.sqrt(seen.tokens) * target + 5e-4)


def test_a_radius_holds_a_step_to_a_divergence(tmp_path):
    seen = batch(rows=100)
    found = inspect(saved(tmp_path, seen))
    for target, delta in found.radii.for_divergences.items():
        moved = []
        for row, column in seen.mask.nonzero().tolist():
            d, a = (seen.logp - seen.logp_old)[row, column].item(), seen.advantages[row, column].item()
            moved.append(min(kl(seen.logp_old[row, column].exp().item(), math.exp(d)), delta) if a * d > 0 else 0.0)
        assert sum(moved) / len(moved) == pytest.approx(float(target), rel=0.02)


def test_the_methods_are_compared_on_the_same_tokens(tmp_path):
    found = {row.method: row for row in inspect(saved(tmp_path, batch())).methods}
    assert found["band-kl"].cosine == pytest.approx(1) and found["no-clip"].kept == pytest.approx(1)
    assert found["no-clip"].stopped == 0 < found["grpo"].stopped
    assert found["tre"].lacks == "logits" and found["tre"].stopped is None
    own = found["band-kl"].stopped
    matched = [row for row in found.values() if row.matched]
    assert len(matched) >= 8
    assert all(row.stopped == pytest.approx(own, abs=0.004) for row in matched)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"logp": batch().logp_old}, "cannot act: every one of"),
        ({"advantages": torch.zeros(24, 40)}, "nothing to act on: every advantage is 0"),
        ({"logp": batch(spread=1e-4).logp}, "no token moved past its bound"),
        ({}, "acts on"),
    ],
)
def test_the_verdict_names_why_the_region_acts_or_not(tmp_path, changes, says):
    assert says in inspect(saved(tmp_path, batch(**changes))).verdict[0]


def test_first_uses_are_checked_and_the_noise_is_measured(tmp_path):
    noise = 0.02 * torch.randn(200, 40, generator=torch.Generator().manual_seed(1))
    old = batch(rows=200).logp_old
    seen = batch(rows=200, logp=old + noise * (1 - old.exp()), is_first_use=True)
    found = inspect(saved(tmp_path, seen, batch(1)))
    assert found.alignments[0].error.mean == pytest.approx(((seen.logp - old)[seen.mask]).abs().mean().item(), rel=1e-4)
    assert all(row.median < row.q99 < 0.1 for row in found.noise if row.tokens > 100)
    rare = found.noise[1]
    assert rare.q99 == pytest.approx(0.02 * 2.576, rel=0.2)


def test_a_wrong_temperature_is_named(tmp_path):
    """Both sides of one softmax over ten tokens, the old one at temperature 0.7."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(60, 12, 10, generator=generator).repeat_interleave(8, 0)
    ids = torch.distributions.Categorical(logits=logits[:, :, :]).sample()
    ids[:, 1:] = ids[::8, 1:].repeat_interleave(8, 0)  # siblings share what comes before
    ids[:, 0] = ids[::8, 0].repeat_interleave(8, 0)
    ids[:, -1] = torch.distributions.Categorical(logits=logits[:, -1]).sample()

    def logp(temperature):
        return (logits / temperature).log_softmax(-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)

    common = {"mask": torch.ones_like(ids, dtype=torch.bool), "token_ids": ids, "groups": torch.arange(480) // 8}
    seen = TokenBatch(logp=logp(1.0), logp_old=logp(0.7), advantages=torch.ones(480, 12), is_first_use=True, **common)
    found = inspect(saved(tmp_path, seen))
    assert found.alignments[0].verdict == "temperature" and "0.7" in found.alignments[0].sentence


def test_a_sample_is_bounded_and_keeps_groups_whole(tmp_path):
    seen = [batch(seed, rows=256, width=120) for seed in range(6)]
    found = inspect(saved(tmp_path, *seen))
    assert found.total.tokens == sum(each.tokens for each in seen) > 2 * 65536 > 65536 >= found.sampled > 16384


def test_a_bad_file_costs_only_itself(tmp_path):
    saved(tmp_path, batch(0), batch(1))
    (tmp_path / "step_00002.safetensors").write_bytes(b"no such thing")
    found = inspect(tmp_path)
    assert len(found.files) == 2 and "step_00002" in found.failures[0].error
    with pytest.raises(ValueError, match="step_00002"):
        inspect(tmp_path / "step_00002.safetensors")


def test_what_is_lacking_is_said(tmp_path):
    found = inspect(saved(tmp_path, batch(logp=None, entropy=None)))
    assert found.total.tokens == 0 and "could not be applied" in found.verdict[0]
    assert any("logp missing" in sentence for sentence in found.closed)


def test_a_method_that_was_not_named_or_differs_between_files_is_said(tmp_path):
    found = inspect(saved(tmp_path, batch(0, settings={})))
    assert any("no method named in some files: band-kl was looked at" in sentence for sentence in found.closed)
    assert not any("method" in sentence for sentence in inspect(tmp_path, method="band-kl").closed)
    found = inspect(saved(tmp_path, batch(0), batch(1, settings={"method": "grpo", "options": {}})))
    assert any("some files name grpo as their method: band-kl was looked at" in sentence for sentence in found.closed)


def test_everything_is_json(tmp_path):
    text = json.dumps(inspect(saved(tmp_path, batch())).as_dict(), allow_nan=False)
    assert json.loads(text)["total"]["tokens"] == batch().tokens


@pytest.mark.parametrize(("options", "says"), [({"target": 0}, "target=0"), ({"method": "bandkl"}, "band-kl")])
def test_mistakes_are_refused(tmp_path, options, says):
    with pytest.raises(ValueError, match=says):
        inspect(saved(tmp_path, batch()), **options)
