"""What stands in several places is put together: branches of a trace, what is said of it later, rows of one kind."""

import json

import pytest

from bandpo.microscope.errors import BatchError
from bandpo.microscope.reading.read import read_batches


@pytest.fixture
def written(tmp_path):
    """Write episodes and annotations as prime-rl does, and return the folder."""

    def write(episodes, annotations=()):
        for name, records in (("traces/stream.jsonl", episodes), ("annotations/trainer.jsonl", annotations)):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("".join(json.dumps(record) + "\n" for record in records))
        return tmp_path

    return write


def node(parent, tokens, logprobs=None, **more):
    sampled = logprobs is not None
    place = {} if parent is None else {"parent": parent}
    numbers = {"logprobs": logprobs} if sampled else {}
    return {**place, "token_ids": tokens, "mask": [sampled] * len(tokens), **numbers, **more}


def episode(*nodes, trace="t"):
    return {"id": "e", "group": {"id": "g"}, "traces": [{"id": trace, "nodes": list(nodes)}]}


TREE = episode(node(None, [1, 2]), node(0, [3, 4], [-0.3, -0.4]), node(0, [5], [-0.5]))


def test_every_way_from_root_to_leaf_is_a_sequence(written):
    (batch,) = read_batches(written([TREE]))
    assert batch.token_ids.tolist() == [[3, 4], [5, 0]] and batch.mask.tolist() == [[True, True], [True, False]]
    assert batch.groups[0] == batch.groups[1]


def test_what_is_said_later_stands_over_what_was_said_before(written):
    said = [
        {"trace_id": "t", "info": {"step": 3}, "branches": [{"index": 1, "trainer_logprobs": [None, None, -0.6]}]},
        {"trace_id": "other", "branches": [{"index": 0, "trainer_logprobs": [-9.0]}]},
        {"trace_id": "t", "info": {"step": 4}, "branches": [{"index": 1, "trainer_logprobs": [None, None, -0.7]}]},
    ]
    untrained, trained = read_batches(written([TREE], said))
    assert untrained.names == ("logp_rollout", "token_ids", "groups") and untrained.token_ids.tolist() == [[3, 4]]
    assert trained.logp.tolist() == [[pytest.approx(-0.7)]] and trained.step == 4


def test_numbers_of_a_node_stand_at_its_sampled_tokens(written):
    mixed = node(0, [3, 4, 5], [-0.3, -0.5], reference_logprobs=[-0.35, -0.55]) | {"mask": [True, False, True]}
    (batch,) = read_batches(written([episode(node(None, [1]), mixed)]))
    assert batch.mask.tolist() == [[True, False, True]]
    assert batch.logp_ref[batch.mask].tolist() == pytest.approx([-0.35, -0.55])


def test_traces_far_apart_from_their_annotations_are_joined(written):
    episodes = [episode(node(None, [1]), node(0, [2, 3], [-1.0, -2.0]), trace=f"t{number}") for number in range(40)]
    said = [
        {"trace_id": f"t{number}", "branches": [{"index": 0, "trainer_logprobs": [None, -1.0, -number / 10]}]}
        for number in reversed(range(40))
    ]
    found = [row for batch in read_batches(written(episodes, said), max_tokens=8) for row in batch.logp.tolist()]
    assert found == [[-1.0, pytest.approx(-number / 10)] for number in range(40)]


@pytest.mark.parametrize(
    ("nodes", "part"),
    [
        ([node(None, [1]), node(1, [2], [-1.0])], "holds no sequence"),
        ([node(2, [1]), node(None, [2]), node(1, [3])], "names 2 as its parent, expected an earlier node"),
        ([node("a", [1])], "names 'a' as its parent"),
        ([node(None, [1, 2], [-1.0])], "holds 1 logprobs for 2 sampled tokens"),
    ],
)
def test_a_tree_that_is_none_is_refused(written, nodes, part):
    with pytest.raises(BatchError, match=part):
        list(read_batches(written([episode(*nodes)])))


def test_rows_of_one_batch_have_the_same_names_and_step(tmp_path):
    rows = [{"logp": [-1.0], "step": step, **({"logp_old": [-2.0]} if step == 2 else {})} for step in (1, 2, 1, 2)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    first, second = read_batches(tmp_path)
    assert (first.step, first.names, len(first.mask)) == (1, ("logp",), 2)
    assert (second.step, second.names, len(second.mask)) == (2, ("logp", "logp_old"), 2)


def test_steps_that_take_turns_do_not_fill_the_memory(tmp_path):
    rows = [{"logp": [-1.0] * 50, "step": step} for step in range(30)] * 2
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    batches = list(read_batches(tmp_path, max_tokens=200))
    assert sum(len(batch.mask) for batch in batches) == 60
    assert sorted({batch.step for batch in batches}) == list(range(30))


def test_lines_may_name_different_columns(tmp_path):
    rows = [{"logp": [-1.0]}, {"logp": [-1.0], "token_ids": [5], "old_log_probs": [-2.0]}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    first, second = read_batches(tmp_path)
    assert first.names == ("logp",) and second.names == ("logp", "logp_old", "token_ids")
