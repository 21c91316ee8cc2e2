"""verl's own `main_ppo` on a CPU, from its command line to its checkpoint; what is asserted stands in its own log.

Ray's driver and workers, FSDP2 over gloo, agent loop, reward worker, weight sync and checkpoints are verl's. Only the
server that generates is ours: `verl_rollout`, in the place of vLLM.
"""

import functools
import json

import pytest

pytest.importorskip("transfer_queue", reason="TransferQueue is not installed, which main_ppo needs")

import verl_main_ppo as main_ppo
from verl_main_ppo import POLICY, bandpo

pytestmark = [pytest.mark.exercises("whole trainer"), pytest.mark.slow]

STEPS = 8
LOSS, CLIP, SCORE = "actor/pg_loss", "actor/band_clip", "critic/score/mean"
BYPASS = [
    "algorithm.rollout_correction.bypass_mode=True",
    f"+{POLICY}.rollout_correction=${{algorithm.rollout_correction}}",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A function that runs `main_ppo` in a folder of that name, with overrides, and returns the rows of its log."""
    folder = tmp_path_factory.mktemp("main_ppo")
    main_ppo.write_inputs(folder)

    @functools.cache
    def run(name, *overrides, workers=1):
        return main_ppo.run(folder, folder / name, list(overrides), workers)

    run.folder = folder
    return run


@pytest.fixture
def measured(record_property):
    """A function that has the report keep what a run logged."""

    def keep(rows, **facts):
        columns = {name: [row[name] for row in rows] for name in (LOSS, CLIP, SCORE)}
        record_property("measured", json.dumps({**facts, "steps": len(rows), **columns}))

    return keep


def tight(run):
    """Band-KL at a radius that binds; checkpoints after four steps and after eight."""
    return run("tight", *bandpo("band-kl", band_delta=0.0005), "trainer.save_freq=4")


def assert_learned(rows):
    scores = [row[SCORE] for row in rows]
    assert [row["training/global_step"] for row in rows] == list(range(1, STEPS + 1))
    assert scores[0] < 0.6 and scores[-1] > scores[0] + 0.2
    # Where every answer of a batch is right there is nothing left to learn from it.
    assert all(abs(row[LOSS]) < 1 and (row["actor/grad_norm"] > 0 or row[SCORE] == 1) for row in rows)


def test_a_radius_that_binds_clips_other_tokens_than_grpo(run, measured):
    rows, grpo = tight(run), run("grpo", *bandpo("grpo"))
    # Before the first update both have seen the same answers; verl sums the scores of chunks in any order.
    assert rows[0][SCORE] == pytest.approx(grpo[0][SCORE], abs=1e-6)
    assert max(row[CLIP] for row in rows) > 0.02
    assert all(one[CLIP] != other[CLIP] for one, other in zip(rows, grpo, strict=True) if one[CLIP] > 0)
    measured(rows, run="band-kl, δ = 0.0005")


def test_grpo_trains(run, measured):
    rows = run("grpo", *bandpo("grpo"))
    assert_learned(rows)
    # verl counts apart what its dual clip stops.
    verls = [row["actor/pg_clipfrac"] + row["actor/pg_clipfrac_lower"] for row in rows]
    assert [row[CLIP] for row in rows] == pytest.approx(verls, abs=1e-6)
    measured(rows, run="grpo")


def test_dppo_tv_divides_by_the_samplers_log_probs(run, measured):
    rows = run("dppo-tv", *bandpo("dppo-tv", band_delta=0.01), *BYPASS)
    assert_learned(rows)
    assert max(row[CLIP] for row in rows) > 0
    measured(rows, run="dppo-tv, δ = 0.01, sampler's log-probs")


def test_band_kl_trains_on_two_workers(run, measured):
    rows = run("two", *bandpo("band-kl", band_delta=0.05), workers=2)
    assert_learned(rows)
    measured(rows, run="band-kl, δ = 0.05, two workers")


def test_a_run_resumed_from_its_checkpoint_goes_on_from_its_weights(run, measured):
    """Its first batch has the score of the run that was not stopped.

    Later rows differ, as those of two runs of one command do: answers come back from the agent loop in another order.
    """
    whole = tight(run)
    checkpoint = run.folder / "tight" / "checkpoints" / f"global_step_{STEPS // 2}"
    resume = ["trainer.resume_mode=resume_path", f"trainer.resume_from_path={checkpoint}"]
    rows = run("resumed", *bandpo("band-kl", band_delta=0.0005), *resume)
    assert [row["training/global_step"] for row in rows] == list(range(STEPS // 2 + 1, STEPS + 1))
    assert rows[0][SCORE] == pytest.approx(whole[STEPS // 2][SCORE], abs=1e-5)
    assert rows[-1][SCORE] > rows[0][SCORE]
    measured(rows, run="band-kl, δ = 0.0005, resumed after 4 steps")
