"""Which calls of a loss are first uses, by a clock and by what an engine says, and what is said of them."""

import sys
import warnings
from types import SimpleNamespace

import pytest
import torch

from bandpo.engines.common import first_calls
from bandpo.engines.common.first_calls import (
    FirstCalls,
    begin_first_use,
    first_use_metrics,
    row_hashes,
    sampled_tokens,
)
from bandpo.engines.common.objective import objective
from bandpo.engines.common.optimizer_steps import optimizer_steps


@pytest.fixture(autouse=True)
def own_process(monkeypatch):
    """Each test is a process whose first loss is still to come."""
    monkeypatch.setattr(first_calls, "_of_engine", {})


def sampled(rows=32, tokens=16, temperature=1.0, seed=0, vocabulary=32):
    """Log-probs at temperature 1 and at the sampler's of what that sampler drew, its ids, and prompts of two rows."""
    random = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(rows // 8, tokens, vocabulary, generator=random).repeat_interleave(8, 0)
    drawn = torch.log_softmax(logits / temperature, -1)
    ids = torch.multinomial(drawn.exp().flatten(0, 1), 1, generator=random).view(rows, tokens)
    new, old = (each.gather(-1, ids[..., None])[..., 0] for each in (torch.log_softmax(logits, -1), drawn))
    known = {"token_ids": ids, "groups": torch.arange(rows) // 8}
    return new, old, torch.ones(rows, tokens, dtype=torch.bool), lambda: known


def step(weight=None):
    """One step of an optimizer, any."""
    weight = torch.zeros(1, requires_grad=True) if weight is None else weight
    weight.grad = torch.ones_like(weight)
    torch.optim.AdamW([weight], lr=0.1).step()


def said(run):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    return [str(warning.message) for warning in caught if "first use" in str(warning.message)]


def test_the_clock_counts_every_kind_of_optimizer_and_no_skipped_step():
    weight, before = torch.zeros(2, requires_grad=True), optimizer_steps()
    step(weight)
    torch.optim.SGD([weight], lr=0.1).step()

    class Own(torch.optim.Optimizer):
        def step(self, closure=None):
            return None

    Own([weight], {}).step()
    assert optimizer_steps() - before == 3
    scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    scaler.scale((weight * torch.inf).sum()).backward()
    scaler.step(optimizer)
    assert optimizer_steps() - before == 3


@pytest.mark.parametrize("pieces", [1, 4, 7])
def test_a_fault_is_named_once_however_many_micro_batches(pieces):
    new, old, mask, known = sampled(rows=64, temperature=0.7)
    calls = FirstCalls(objective())

    def train():
        for _ in range(3):
            for rows in torch.arange(64).chunk(pieces):
                of_rows = lambda rows=rows: {name: each[rows] for name, each in known().items()}  # noqa: E731
                calls.look(new[rows], old[rows], mask[rows], of_rows)
            step()

    (sentence,) = said(train)
    assert "temperature" in sentence and "1.4" in sentence


def test_a_clean_first_use_is_silent_and_so_are_moved_weights_after_it():
    new, _, mask, _ = sampled(rows=64)
    calls, found = FirstCalls(objective()), []

    def train():
        for count in (1, 3, 2, 5):  # micro-batches of an update
            for rows in torch.arange(64).chunk(count):
                moved = new[rows] if not found or all(found) else new[rows] * 1.5
                found.append(bool(calls.look(moved, new[rows], mask[rows])))
            step()
            found.append(False)

    assert not said(train) and found[:2] == [True, False] and sum(found) == 1


def test_without_a_step_a_second_epoch_has_the_same_weights_and_is_looked_at():
    new, _, mask, _ = sampled()
    calls = FirstCalls(objective())
    assert calls.look(new, new, mask) and calls.look(new, new, mask)


def test_nothing_is_said_while_no_step_was_seen():
    new, old, mask, _ = sampled(rows=64, temperature=0.5)
    calls = FirstCalls(objective(), steps=lambda: 0)
    assert not said(lambda: [calls.look(new, old, mask) for _ in range(20)])


def test_an_engine_that_says_when_it_scored_is_looked_at_again():
    new, old, mask, _ = sampled()
    first_use_metrics("engine", objective(), new, new, mask)
    step()
    assert not first_use_metrics("engine", objective(), new * 1.3, new, mask)
    begin_first_use("engine")
    found = first_use_metrics("engine", objective(), new, old, mask)
    assert found["first_ratio_error"][0] == 0
    step()
    assert not first_use_metrics("engine", objective(), new, old, mask)


def test_a_fault_that_comes_later_is_said():
    new, old, mask, known = sampled(rows=64, temperature=0.6)

    def train():
        first_use_metrics("engine", objective(), new, new, mask, known=known)
        for _ in range(8):
            step()
            begin_first_use("engine")
            first_use_metrics("engine", objective(), new, old, mask, known=known)
        step()
        first_use_metrics("engine", objective(), new, old, mask, known=known)

    assert len(said(train)) == 1


def test_to_begin_before_the_first_loss_is_nothing():
    begin_first_use("engine")
    assert "engine" not in first_calls._of_engine


def test_the_ratio_of_a_rollout_anchored_method_is_to_the_sampler():
    new, _, mask, _ = sampled()
    found = first_use_metrics("engine", objective("dppo-tv", provided=("logp_rollout",)), new, new, mask, new - 0.5)
    total, count = found["first_ratio_error"]
    assert (total / count).item() == pytest.approx(0.5)


@pytest.mark.parametrize("hole", [0.0, 37.0, float("nan"), float("inf"), -float("inf")])
def test_what_is_masked_may_hold_anything(hole):
    new, old, mask, _ = sampled(rows=64)
    mask[:, 5:] = False
    calls = FirstCalls(objective())
    garbage = torch.where(mask, old, hole)

    def train():
        (total, count) = calls.look(new, garbage, mask)["first_ratio_error"]
        assert total == 0 and count == mask.sum()
        step()
        calls.look(new, garbage, mask)

    assert not said(train)


@pytest.mark.parametrize("shape", [(1, 300), (300,)])
def test_packed_tokens_are_looked_at_too(shape):
    old = -torch.rand(shape, generator=torch.Generator().manual_seed(0)) - 0.1
    calls = FirstCalls(objective())

    def train():
        calls.look(2 * old, old, old < 0)
        step()
        calls.look(old, old, old < 0)

    assert len(said(train)) == 1


def test_no_tensor_of_the_engine_is_kept_and_no_graph():
    new, _, mask, _ = sampled()
    new = new.requires_grad_()
    calls = FirstCalls(objective())
    found = calls.look(new, new.detach(), mask)
    assert not any(value.requires_grad for pair in found.values() for value in pair)
    kept = [tensor for part in calls._check._gathered._parts for tensor in part.values()]
    assert kept and all(tensor.device.type == "cpu" and not tensor.requires_grad for tensor in kept)
    assert sum(tensor.numel() for tensor in kept) <= 4 * new.numel()


def test_known_tensors_of_another_shape_are_left_out():
    new, old, mask, _ = sampled(rows=64, temperature=0.7)
    calls = FirstCalls(objective())

    def train():
        calls.look(new, old, mask, lambda: {"token_ids": torch.zeros(64, 3), "groups": torch.zeros(2)})
        step()
        calls.look(new, old, mask)

    assert len(said(train)) == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("method", "words"), [("band-kl", "of the band"), ("sapo", "logp_old is ")])
def test_sixteen_bits_are_said_once_first_use_or_not(dtype, method, words):
    new, _, mask, _ = sampled()
    chosen = objective(method)
    calls = FirstCalls(chosen)
    calls.end()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            calls.look(new, new.to(dtype), torch.zeros_like(mask))  # a micro-batch of padding alone
            calls.look(new, new.to(dtype), mask)
            chosen.per_token(new, new.to(dtype), torch.ones(len(new)), mask)
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == 1 and words in texts[0]


@pytest.mark.parametrize(("ranks", "count"), [((0, 0, 0), 1), ((1, 0, 0), 0), ((0, 1, 0), 0), ((0, 0, 1), 0)])
def test_one_process_of_megatrons_last_stage_speaks_whatever_its_number(monkeypatch, ranks, count):
    names = ("data_parallel", "tensor_model_parallel", "context_parallel")
    state = {f"get_{name}_rank": lambda own=own: own for name, own in zip(names, ranks, strict=True)}
    megatron = SimpleNamespace(model_parallel_is_initialized=lambda: True, **state)
    monkeypatch.setitem(sys.modules, "megatron.core.parallel_state", megatron)
    monkeypatch.setattr(first_calls, "rank", lambda: 24)
    new, old, mask, _ = sampled(temperature=0.5)
    calls = FirstCalls(objective())

    def train():
        calls.look(new, old, mask)
        step()
        calls.look(new, old, mask)

    assert len(said(train)) == count


def test_other_processes_than_the_first_are_silent_and_measure_all_the_same(monkeypatch):
    monkeypatch.setattr(first_calls, "rank", lambda: 1)
    new, old, mask, _ = sampled(temperature=0.5)
    calls = FirstCalls(objective())
    assert not said(lambda: [calls.look(new, old.bfloat16(), mask), step(), calls.look(new, old, mask)])
    assert FirstCalls(objective()).look(new, old, mask)["first_ratio_error"][0] > 0


def test_rows_are_of_a_group_by_their_prompt():
    ids = torch.randint(0, 50, (6, 9), generator=torch.Generator().manual_seed(0))
    ids[3:, :4] = ids[:3, :4]
    mask = torch.zeros(6, 9)
    mask[:, 4:] = 1
    known = sampled_tokens(ids, mask)
    assert torch.equal(known["token_ids"], ids[:, 1:])
    assert known["groups"][:3].tolist() == known["groups"][3:].tolist() and len(known["groups"].unique()) == 3
    assert len(row_hashes(torch.arange(10_000).view(-1, 2)).unique()) == 5_000
