"""Whole training runs of a few steps: what acts when, gradient accumulation, evaluation, resuming, the model card."""

import json
import math
import shutil
import warnings

import pytest
import torch
from trl_tiny import (
    SUPPORTED_LOSSES,
    BandGRPOConfig,
    BandGRPOTrainer,
    even_digits,
    model,
    options,
    prompts,
    tokenizer,
    trainer,
    weights,
)

from bandpo.engines.common.updates import why_inactive


def largest(history, name):
    return max(entry[name] for entry in history if name in entry)


@pytest.mark.parametrize(
    ("num_iterations", "steps_per_generation", "gradient_accumulation_steps", "acts"),
    [
        (1, 1, 1, False),
        (1, 2, 2, False),
        (1, 1, 2, False),
        (2, 1, 2, False),
        (2, 1, 1, True),
        (2, 2, 2, True),
        (1, 2, 1, True),
        (1, 3, 2, True),
    ],
)
def test_the_sentence_appears_exactly_when_the_ratio_is_one(
    tmp_path, num_iterations, steps_per_generation, gradient_accumulation_steps, acts
):
    config = BandGRPOConfig(
        **options(
            tmp_path,
            per_device_train_batch_size=8,
            max_steps=4,
            method="band-kl",
            band_delta=0.0005,
            num_iterations=num_iterations,
            steps_per_generation=steps_per_generation,
            gradient_accumulation_steps=gradient_accumulation_steps,
        )
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        engine = BandGRPOTrainer(model(), even_digits, config, prompts(), processing_class=tokenizer())
    sentences = [str(one.message) for one in caught if one.filename == __file__]
    expected = why_inactive(num_iterations, steps_per_generation, gradient_accumulation_steps)
    assert sentences == ([] if acts else [expected])
    engine.train()
    history = engine.state.log_history
    for name in ("clip_ratio/region_mean", "band/clip", "band/approx_kl"):
        assert (largest(history, name) > 1e-6) == acts, name
    if expected is not None:
        assert "\n" not in expected
        assert "num_iterations above" in expected


@pytest.mark.parametrize("settings", [(1, 8, 8), (1, 2, 8), (2, 4, 8), (3, 1, 6)])
def test_the_remedy_in_the_sentence_works(settings):
    num_iterations, steps_per_generation, gradient_accumulation_steps = settings
    sentence = why_inactive(*settings)
    assert sentence is not None
    enough = int(sentence.split("num_iterations above ")[1].split()[0]) + 1
    assert why_inactive(enough, steps_per_generation, gradient_accumulation_steps) is None
    assert why_inactive(num_iterations, gradient_accumulation_steps + 1, gradient_accumulation_steps) is None


@pytest.mark.parametrize("loss_type", [loss_type for loss_type in SUPPORTED_LOSSES if loss_type != "bnpo"])
def test_gradient_accumulation_changes_nothing(tmp_path, loss_type):
    """One micro-batch of 16 and two of 8 hold the same tokens; bnpo alone weighs them differently, by definition."""
    ends = []
    for accumulation in (1, 2):
        settings = {
            "per_device_train_batch_size": 16 // accumulation,
            "gradient_accumulation_steps": accumulation,
            "max_steps": 4,
            "num_iterations": 2,
            "loss_type": loss_type,
            "band_delta": 0.0001,
            "optim": "sgd",
            "learning_rate": 0.5,
            "max_grad_norm": 1e9,
        }
        engine = trainer(BandGRPOConfig(**options(tmp_path, **settings)))
        # transformers 5.3 and 5.4 divide the loss once more than TRL expects, here by 2.
        divided = engine.accelerator.gradient_accumulation_steps
        engine.args.learning_rate *= divided
        start = weights(engine.model)
        engine.train()
        assert largest(engine.state.log_history, "band/clip") > 0.05
        history = [entry | {"grad_norm": divided * entry["grad_norm"]} for entry in engine.state.log_history[:-1]]
        ends.append((history, weights(engine.model)))
    (history, one), (other_history, two) = ends
    moved = max((one[name] - start[name]).abs().max() for name in one)
    assert max((one[name] - two[name]).abs().max() for name in one) < 1e-4 * moved
    for entry, other in zip(history, other_history, strict=True):
        for name in ("grad_norm", *(name for name in entry if name.startswith("band/"))):
            assert entry[name] == pytest.approx(other[name], rel=1e-3, abs=1e-5), name


def test_default_configuration_and_reference_model(tmp_path):
    """beta > 0 builds TRL's reference model; a model given by path, as users do."""
    model().save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    config = BandGRPOConfig(**options(tmp_path / "out", beta=0.1, max_steps=3, num_iterations=2))
    engine = trainer(config, str(tmp_path / "model"))
    engine.train()
    assert largest(engine.state.log_history, "kl") > 0
    assert math.isfinite(engine.state.log_history[-1]["train_loss"])


def test_evaluation_logs_its_own_metrics(tmp_path):
    config = BandGRPOConfig(
        **options(
            tmp_path,
            max_steps=2,
            num_iterations=2,
            eval_strategy="steps",
            eval_steps=1,
            per_device_eval_batch_size=16,
            logging_steps=2,
        )
    )
    engine = trainer(config, eval_dataset=prompts().select(range(8)))
    engine.train()
    evaluations = [entry for entry in engine.state.log_history if "eval_loss" in entry]
    assert len(evaluations) == 2
    for entry in evaluations:
        assert entry["eval_band/bound_low"] > 0
        assert not any(name.startswith("band/") for name in entry)
    assert any("band/bound_low" in entry for entry in engine.state.log_history if "loss" in entry)


def test_resuming_continues_the_same_run(tmp_path):
    """Checkpoints that fall between two generations: the resumed run ends where the unbroken one does."""
    settings = {"max_steps": 6, "num_iterations": 2, "save_strategy": "steps", "save_steps": 2, "band_delta": 0.001}

    def run(resume):
        engine = trainer(BandGRPOConfig(**options(tmp_path, **settings)))
        engine.train(resume_from_checkpoint=resume)
        assert engine.state.global_step == 6
        return engine.state.log_history, weights(engine.model)

    history, final = run(None)
    arguments = torch.load(tmp_path / "checkpoint-4" / "training_args.bin", weights_only=False)
    assert isinstance(arguments, BandGRPOConfig)
    assert (arguments.method, arguments.band_delta) == ("band-kl", 0.001)
    assert json.loads((tmp_path / "checkpoint-4" / "trainer_state.json").read_text())["global_step"] == 4
    shutil.rmtree(tmp_path / "checkpoint-6")
    resumed, resumed_final = run(str(tmp_path / "checkpoint-4"))
    assert [entry["step"] for entry in resumed] == [entry["step"] for entry in history]
    assert resumed[-2]["band/clip"] == history[-2]["band/clip"]
    assert all(torch.equal(final[name], resumed_final[name]) for name in final)


@pytest.mark.parametrize(("method", "named"), [("band-tv", True), ("clip-higher", False)])
def test_the_model_card_cites_what_was_trained(tmp_path, method, named):
    engine = trainer(BandGRPOConfig(**options(tmp_path, method=method)))
    engine.create_model_card(model_name="tiny")
    card = (tmp_path / "README.md").read_text()
    assert ("2603.04918" in card) == ("li2026bandpo" in card) == named
    assert "- bandpo" in card
