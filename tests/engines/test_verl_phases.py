"""When verl's worker begins a first use: after it scored a batch itself, with the weights that it then trains."""

import sys
from functools import partial
from types import ModuleType, SimpleNamespace

import pytest
import torch

from bandpo.engines.verl import phases


def ppo_loss(config, model_output, data):
    return phases.known_tokens()


class Policy(dict):
    """verl's configuration of a loss: attributes, and `get`."""


@pytest.fixture
def worker_class(monkeypatch):
    """verl's `TrainingWorker` as far as it is watched."""

    class TrainingWorker:
        def __init__(self, loss_mode="bandpo"):
            self.loss_fn = partial(ppo_loss, config=SimpleNamespace(policy_loss=Policy(loss_mode=loss_mode)))

        def infer_batch(self, data):
            return data.pop("no_lora_adapter", None)

        def train_mini_batch(self, data):
            return self.train_batch(data)

        def train_batch(self, data):
            return self.loss_fn(model_output=None, data=data)

    TrainingWorker.infer_batch.dispatched = "as verl notes it"
    module = ModuleType("verl.workers.engine_workers")
    module.TrainingWorker = TrainingWorker
    monkeypatch.setitem(sys.modules, module.__name__, module)
    phases.watch_workers()
    return TrainingWorker


@pytest.fixture
def begun(monkeypatch):
    found = []
    monkeypatch.setattr(phases, "begin_first_use", found.append)
    return found


def test_a_scored_batch_begins_one_first_use(worker_class, begun):
    worker = worker_class()
    worker.train_mini_batch({})
    assert begun == []
    for _ in range(2):
        worker.infer_batch({})
        worker.train_mini_batch({})
        worker.train_mini_batch({})
    assert begun == ["verl", "verl"]


@pytest.mark.parametrize("order", [["no_lora_adapter"], ["no_lora_adapter", "old"], ["old", "no_lora_adapter"]])
def test_a_reference_without_its_adapter_is_no_old_policy(worker_class, begun, order):
    worker = worker_class()
    for name in order:
        worker.infer_batch({name: True})
    worker.train_mini_batch({})
    assert len(begun) == order.count("old")


@pytest.mark.parametrize("loss", [partial(ppo_loss, config=SimpleNamespace()), None, ppo_loss])
def test_a_critic_begins_nothing(worker_class, begun, loss):
    worker = worker_class()
    worker.loss_fn = loss
    worker.infer_batch({})
    worker.train_batch = lambda data: None
    worker.train_mini_batch({})
    assert begun == []


def test_another_loss_begins_nothing(worker_class, begun):
    worker = worker_class("vanilla")
    worker.infer_batch({})
    worker.train_mini_batch({})
    assert begun == []


def test_where_weights_are_restored_to_score_nothing_is_concluded(worker_class, begun, monkeypatch):
    monkeypatch.setitem(sys.modules, "verl.experimental.separation.engine_workers", ModuleType("engine_workers"))
    worker = worker_class()
    worker.infer_batch({})
    worker.train_mini_batch({})
    assert begun == []


@pytest.mark.parametrize("nested", [False, True])
def test_the_loss_knows_whose_tokens_it_is_given_and_only_then(worker_class, nested):
    rows = [torch.tensor([1, 2, 3]), torch.tensor([4, 5])]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    responses = torch.nested.as_nested_tensor(rows, layout=torch.jagged) if nested else padded
    worker = worker_class()
    known = worker.train_mini_batch({"prompts": torch.tensor([[7], [7]]), "responses": responses})
    assert torch.equal(known["token_ids"], padded) and known["groups"].unique().shape == (1,)
    assert phases.known_tokens() == {}
    assert worker.train_mini_batch({"responses": responses}) == {}


def test_a_worker_is_watched_once_and_keeps_what_verl_notes_on_it(worker_class):
    before = worker_class.infer_batch
    phases.watch_workers()
    assert worker_class.infer_batch is before and before.dispatched == "as verl notes it"


def test_a_process_without_workers_is_none_to_watch(monkeypatch):
    monkeypatch.setitem(sys.modules, "verl.workers.engine_workers", None)
    phases.watch_workers()


def test_a_loss_that_fails_leaves_nothing_behind(worker_class):
    worker = worker_class()
    stock = worker.loss_fn = partial(lambda data, **_: 1 / 0, config=worker.loss_fn.keywords["config"])
    with pytest.raises(ZeroDivisionError):
        worker.train_mini_batch({})
    assert worker.loss_fn is stock and phases.known_tokens() == {}
