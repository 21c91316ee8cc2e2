"""Packed sequences: the same numbers as padded ones, for every method; segments that make no sense are refused."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import bandpo
from bandpo.core.objective.aggregation import AGGREGATIONS
from tests.core.batches import SETTING_IDS, SETTINGS, batch, gradients_of

PER_SEQUENCE = ("group_rewards",)


def pack(of, lengths, rows=1, padding=0):
    """The batch with its sequences end to end, in `rows` rows or, for 0, flat; each ends after `lengths` positions.

    `padding` positions of no sequence stand before the first and after the last sequence of a row.
    """
    numbers = torch.arange(len(lengths))
    rows_of = torch.tensor_split(numbers, max(rows, 1))
    places = [[(int(n), t) for n in some for t in range(lengths[n])] if len(some) else [] for some in rows_of]
    width = max(map(len, places)) + 2 * padding
    segments = torch.full((len(places), width), -1)
    index = torch.zeros(2, len(places), width, dtype=torch.long)
    for row, tokens in enumerate(places):
        for column, (number, t) in enumerate(tokens, padding):
            segments[row, column] = number
            index[:, row, column] = torch.tensor([number, t])

    def packed(name, tensor):
        if name in PER_SEQUENCE or not isinstance(tensor, torch.Tensor):
            return tensor
        moved = tensor[index[0], index[1]]
        if tensor.dtype == torch.bool:
            moved = moved & (segments >= 0)
        return moved if rows else moved[0]

    return {name: packed(name, tensor) for name, tensor in of.items()}, segments if rows else segments[0]


def compare(name, of, lengths, rows, padding=0, **options):
    """Assert that a packed call and the padded one give the same loss, losses, gradients and metrics."""
    (padded, padded_gradients), (packed_batch, segments) = (
        gradients_of(name, of, **options),
        pack(of, lengths, rows, padding),
    )
    found, gradients = gradients_of(name, packed_batch, segments=segments, **options)
    torch.testing.assert_close(found.loss, padded.loss)
    assert found.per_token.shape == segments.shape
    expected, _ = pack({"loss": padded.per_token, **padded_gradients}, lengths, rows, padding)
    inside = segments >= 0
    torch.testing.assert_close(found.per_token[inside], expected["loss"][inside])
    assert not found.per_token[~inside].any() and gradients.keys() == padded_gradients.keys()
    for leaf in gradients:
        torch.testing.assert_close(gradients[leaf][inside], expected[leaf][inside])
        assert not gradients[leaf][~inside].any()
    assert found.metrics.keys() == padded.metrics.keys()
    for key in padded.metrics:
        torch.testing.assert_close(found.metrics[key], padded.metrics[key])


@pytest.mark.parametrize(("name", "options"), SETTINGS, ids=SETTING_IDS)
def test_every_method_is_the_same_packed_and_padded(name, options):
    of = batch(rows=6, tokens=8, seed=3)
    lengths = [8, 8, 8, 8, 8, 3]  # positions beyond the mask belong to a sequence too; the last one counts nowhere
    for rows, padding in ((0, 0), (1, 2), (2, 0), (3, 1)):
        compare(name, of, lengths, rows, padding, **options)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    sizes=st.tuples(st.integers(1, 7), st.integers(2, 9)),
    rows=st.integers(0, 3),
    padding=st.integers(0, 3),
    name=st.sampled_from(["gspo", "quatro", "band-kl", "clip-cov", "kl-cov", "tre", "dppo-topk-kl"]),
    aggregation=st.sampled_from(AGGREGATIONS),
)
def test_any_batch_any_packing_any_average(seed, sizes, rows, padding, name, aggregation):
    of = batch(*sizes, seed=seed)
    lengths = [max(int(row.sum()), 1) for row in of["mask"]]
    if rows > len(lengths):
        rows = len(lengths)
    capped = {"max_tokens": 16} if aggregation == "seq-mean-token-sum-norm" else {}
    compare(name, of, lengths, rows, padding, aggregation=aggregation, **capped)


def test_a_bonus_on_a_loss_of_whole_responses():
    of = batch(rows=4, tokens=6, seed=1)
    compare("entropy", of, [6, 6, 6, 6], 0, base="gspo", base_kwargs={"eps_low": 0.05, "eps_high": 0.1})


def test_what_goes_around_the_methods():
    of = batch(rows=4, tokens=6, seed=2)
    packed, segments = pack(of, [6, 6, 6, 6], 2)
    radii = torch.full((4, 6), 0.05).double()
    for options in (
        {"logp_ref": of["logp_old"] - 0.1, "beta": 0.1},
        {"logp_rollout": of["logp_rollout"], "importance_cap": 2.0},
        {"entropy": of["entropy"]},
        {"delta": radii},
        {"denominator": 7.0},
    ):
        main = ("logp", "logp_old", "advantages", "mask")
        padded = bandpo.policy_loss(*(of[key] for key in main), **options)
        moved, _ = pack(options, [6, 6, 6, 6], 2)
        found = bandpo.policy_loss(*(packed[key] for key in main), segments=segments, **moved)
        torch.testing.assert_close(found.loss, padded.loss)
        for key in padded.metrics:
            torch.testing.assert_close(found.metrics[key], padded.metrics[key])


@pytest.mark.parametrize("shape", [(5,), (5, 1)])
def test_advantages_may_be_of_sequences(shape):
    of = batch(seed=4)
    advantages = torch.tensor([1.0, -1.0, 0.5, 0.0, 2.0]).double()
    packed, segments = pack(of, [7, 7, 7, 7, 7], 0)
    whole = bandpo.policy_loss(of["logp"], of["logp_old"], advantages, of["mask"])
    found = bandpo.policy_loss(
        packed["logp"], packed["logp_old"], advantages.view(shape), packed["mask"], segments=segments
    )
    torch.testing.assert_close(found.loss, whole.loss)


def test_flash_attention_lengths_and_position_ids_make_segments():
    lengths = torch.tensor([3, 1, 2])
    cu_seqlens = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
    segments = torch.repeat_interleave(torch.arange(3), cu_seqlens.diff())
    position_ids = torch.tensor([[0, 1, 2, 0, 0, 1]])
    assert segments.tolist() == [0, 0, 0, 1, 2, 2]
    assert ((position_ids == 0).flatten().cumsum(0).view_as(position_ids) - 1).tolist() == [segments.tolist()]


@pytest.mark.parametrize("method", ["gspo", "grpo"])
def test_packed_sequences_taken_for_one_are_another_loss(method):
    of = batch(rows=4, tokens=6, seed=5)
    packed, segments = pack(of, [6, 5, 4, 6], 1)
    main = [packed[key] for key in ("logp", "logp_old", "advantages", "mask")]
    as_one = bandpo.policy_loss(*main, method=method).loss
    assert not torch.isclose(as_one, bandpo.policy_loss(*main, method=method, segments=segments).loss)


LOGP = torch.tensor([[-1.0, -2.0, -3.0, -1.0], [-1.0, -2.0, -1.0, -1.0]])
GOOD = [[0, 0, 1, 1], [2, 2, 3, -1]]


def refusal(segments, mask=None, advantages=None, logp=LOGP, **options):
    mask = torch.tensor(GOOD) >= 0 if mask is None else mask
    advantages = torch.ones_like(logp) if advantages is None else advantages
    with pytest.raises((TypeError, ValueError)) as raised:
        bandpo.policy_loss(logp, logp, advantages, mask, segments=segments, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_the_good_one_is_accepted():
    bandpo.policy_loss(LOGP, LOGP, torch.ones(4), torch.tensor(GOOD) >= 0, segments=torch.tensor(GOOD))


@pytest.mark.parametrize(
    ("segments", "said"),
    [
        ([[1, 1, 2, 2], [3, 3, 4, -1]], "segments[0, 0] is 1: "),
        ([[0, 0, 1, 0], [2, 2, 3, -1]], "segments[0, 3] is 0: "),
        ([[0, 0, 2, 2], [3, 3, 4, -1]], "segments[0, 2] is 2: "),
        ([[0, 0, 1, 1], [1, 2, 3, -1]], "segments[1, 0] is 1: "),
        ([[0, 0, 1, 1], [0, 0, 1, -1]], "segments[1, 0] is 0: "),
        ([[0, -1, 0, 1], [2, 2, 3, -1]], "segments[0, 1] is below 0"),
        ([[-1, -1, -1, -1], [-1, -1, -1, -1]], "segments[0, 0] is below 0"),
        ([[1, 1, 0, 0], [2, 2, 3, -1]], "segments[0, 0] is 1: "),
    ],
    ids=str,
)
def test_numbers_that_are_not_in_order(segments, said):
    message = refusal(torch.tensor(segments))
    assert message.startswith(said) and "expected" in message


def test_a_sequence_with_a_gap():
    segments = torch.tensor([[0, -1, 0, 1], [2, 2, 3, -1]])
    assert refusal(segments, segments >= 0).startswith("segments[0, 2] is 0: ")


def test_other_shapes_and_types():
    good = torch.tensor(GOOD)
    assert "expected that of logp and mask, (2, 4)" in refusal(good[0])
    assert "expected that of logp and mask" in refusal(good.flatten())
    assert "expected whole numbers" in refusal(good.float()) and "expected whole numbers" in refusal(good > 0)
    assert "expected a tensor, got list" in refusal(GOOD)
    assert "(4,), one for each sequence" in refusal(good, advantages=torch.ones(3))
    assert "logp_rollout has shape (4,)" in refusal(good, logp_rollout=torch.ones(4))
    cube = torch.ones(2, 2, 2)
    assert "(tokens,) or (rows, tokens)" in refusal(torch.zeros(2, 2, 2).long(), mask=cube > 0, logp=-cube)
    if_meta = refusal(good.to("meta"))
    assert "segments is on meta" in if_meta


def test_a_flat_batch_without_segments_is_told_of_them():
    flat = LOGP.flatten()
    assert "need segments" in refusal(None, mask=torch.ones(8) > 0, logp=flat)
    nested = torch.nested.nested_tensor([flat, flat[:3]], layout=torch.jagged)
    assert "values(), and segments" in refusal(None, mask=torch.ones(8) > 0, logp=nested, advantages=flat)


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)])
def test_no_token_at_all(shape):
    empty = torch.zeros(shape)
    out = bandpo.policy_loss(empty, empty, empty, empty > 0, segments=empty.long())
    assert out.loss == 0 and out.per_token.shape == shape


def test_the_smallest_integers_serve():
    for dtype in (torch.int8, torch.int16, torch.int32):
        segments = torch.tensor(GOOD, dtype=dtype)
        bandpo.policy_loss(LOGP, LOGP, torch.ones(4), segments >= 0, segments=segments)
