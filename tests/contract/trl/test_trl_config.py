"""What the configuration accepts, from Python, YAML and the command line, and what its refusals say."""

import dataclasses
import json
import math
import warnings

import pytest
from transformers import TrainingArguments
from trl import TrlParser
from trl_tiny import (
    LOSS_TYPES,
    SUPPORTED_LOSSES,
    BandGRPOConfig,
    BandGRPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    even_digits,
    model,
    options,
    prompts,
)

from bandpo.engines.trl.fields import FIELDS, KINDS


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"method": "band-kl2"}, ValueError, ["method='band-kl2'", "expected one of", "band-kl"]),
        ({"band_delta": -1.0}, ValueError, ["band_delta=-1.0", "expected 0 < delta"]),
        ({"band_delta": "wide"}, TypeError, ["band_delta='wide'", "number"]),
        ({"method": "band-tv", "band_delta": 1.0}, ValueError, ["band_delta=1.0", "no-clip"]),
        ({"method": "clip-higher", "band_delta": 0.1}, TypeError, ["clip-higher", "takes no 'delta'", "eps_high"]),
        ({"method_kwargs": {"max_ratios": 3}}, TypeError, ["takes no 'max_ratios'", "max_ratio"]),
        ({"method_kwargs": {"max_ratio": 0.5}}, ValueError, ["max_ratio=0.5", "expected 1 < max_ratio"]),
        ({"method_kwargs": {"dual_clip": 1.0}}, ValueError, ["dual_clip=1.0", "expected 1 < dual_clip"]),
        ({"method_kwargs": {"delta": 0.1}, "band_delta": 0.2}, ValueError, ["band_delta", "give one"]),
        ({"method_kwargs": "max_ratio=3"}, ValueError, ["method_kwargs='max_ratio=3'"]),
        ({"method_kwargs": "[3]"}, ValueError, ["method_kwargs='[3]'", "JSON object"]),
        ({"method": "clip-higher", "epsilon": 0.3}, ValueError, ["epsilon=0.3", "no effect", "method_kwargs"]),
        ({"epsilon_high": 0.28}, ValueError, ["epsilon_high=0.28", "no effect with method='band-kl'"]),
        ({"method": "grpo", "epsilon": 0.3, "method_kwargs": {"eps_low": 0.1}}, ValueError, ["epsilon=0.3", "0.1"]),
        ({"method": "grpo", "epsilon_high": 0.3, "method_kwargs": {"eps_high": 0.1}}, ValueError, ["epsilon_high=0.3"]),
        ({"delta": 3.0, "method_kwargs": {"dual_clip": 3.0}}, ValueError, ["delta=3.0", "dual_clip=3.0", "give one"]),
        ({"loss_type": "cispo"}, ValueError, ["loss_type='cispo'", "grpo, bnpo, dr_grpo, dapo"]),
        ({"loss_type": "sapo", "method": "grpo"}, ValueError, ["loss_type='sapo'"]),
        ({"loss_type": "vespo"}, ValueError, ["loss_type='vespo'"]),
        ({"importance_sampling_level": "sequence"}, ValueError, ["importance_sampling_level='sequence'", "'token'"]),
        ({"importance_sampling_level": "sequence"}, ValueError, ["method='gspo'"]),
        ({"delta": 0.05}, ValueError, ["delta=0.05", "TRL's two-sided clip", "did you mean band_delta?"]),
        ({"delta": 1.0}, ValueError, ["delta=1.0", "did you mean band_delta?"]),
        ({"delta": -1}, ValueError, ["delta=-1", "did you mean band_delta?"]),
        ({"delta": math.nan}, ValueError, ["delta=nan", "did you mean band_delta?"]),
        ({"delta": 0.15, "method": "dppo-tv"}, ValueError, ["delta=0.15", "did you mean band_delta?"]),
        ({"delta": 0.2, "method": "grpo"}, ValueError, ["delta=0.2", "expected above 1"]),
        ({"delta": 0.2, "method": "sapo"}, ValueError, ["delta=0.2", "expected above 1"]),
        ({"delta": 3.0, "method": "sapo"}, ValueError, ["delta=3.0", "clips no ratio of TRL's"]),
        ({"loss_type": "cispo"}, ValueError, ["use method='cispo' with loss_type='dapo'"]),
        ({"loss_type": "cispo", "epsilon_high": 5.0}, ValueError, ["method_kwargs={'max_ratio': 5.0}"]),
        ({"loss_type": "sapo"}, ValueError, ["use method='sapo' with loss_type='grpo'"]),
        ({"loss_type": "gspo"}, ValueError, ["use method='gspo'"]),
        ({"loss_type": "dppo_tv"}, ValueError, ["use method='dppo-tv'"]),
        ({"loss_type": "band-kl"}, ValueError, ["use method='band-kl'"]),
        ({"loss_type": "dr-grpo"}, ValueError, ["did you mean 'dr_grpo'?"]),
        (
            {"sapo_temperature_neg": 1.2},
            ValueError,
            ["sapo_temperature_neg=1.2", "no effect", "tau_neg"],
        ),
        ({"sapo_temperature_pos": 2, "method": "sapo"}, ValueError, ["no effect with method='sapo'", "tau_pos"]),
        ({"vespo_k_pos": 1.0}, ValueError, ["vespo_k_pos=1.0", "no method here is VESPO"]),
        ({"vespo_lambda_neg": 1.0, "method": "grpo"}, ValueError, ["vespo_lambda_neg=1.0"]),
        ({"epsilon_high": 5.0, "method": "cispo"}, ValueError, ["use method_kwargs={'max_ratio': 5.0}"]),
        ({"epsilon": 0.3, "method": "cfpo"}, ValueError, ["use method_kwargs={'eps': 0.3}"]),
        ({"epsilon": 0.3, "method": "sapo"}, ValueError, ["leave it out, method_kwargs takes tau_pos, tau_neg"]),
        ({"epsilon_high": 0.28, "method": "clip-higher"}, ValueError, ["use method_kwargs={'eps_high': 0.28}"]),
    ],
)
def test_refusals_name_option_value_and_expectation(tmp_path, given, kind, words):
    with pytest.raises(kind) as caught:
        BandGRPOConfig(**options(tmp_path, **given))
    for word in words:
        assert word in str(caught.value)


def test_every_option_of_trls_own_is_in_the_table():
    own = {field.name for field in dataclasses.fields(GRPOConfig)} - {
        field.name for field in dataclasses.fields(TrainingArguments)
    }
    assert own <= FIELDS.keys()
    assert {field.kind for field in FIELDS.values()} == set(KINDS)


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.kind == "refused"])
def test_what_the_table_refuses_is_refused_unless_it_is_trls_default(tmp_path, name):
    default = getattr(GRPOConfig, name)
    BandGRPOConfig(**options(tmp_path, **{name: default}))
    with pytest.raises(ValueError, match=f"{name}={default + 0.5}"):
        BandGRPOConfig(**options(tmp_path, **{name: default + 0.5}))


@pytest.mark.parametrize("name", ["use_adaptive_entropy", "entropy_coef"])
def test_two_entropy_bonuses_are_refused(tmp_path, name):
    if name not in {field.name for field in dataclasses.fields(GRPOConfig)}:
        pytest.skip("this TRL has no entropy bonus")
    with pytest.raises(ValueError, match=rf"{name}=\S+ with method='entropy' adds two bonuses"):
        BandGRPOConfig(**options(tmp_path, method="entropy", **{name: 1}))
    BandGRPOConfig(**options(tmp_path, method="band-kl", **{name: 1}))


def test_an_option_of_a_newer_trl_is_a_warning_if_it_is_set(tmp_path, monkeypatch):
    # Not delitem, whose undoing would change the order of the table.
    unknown = {name: field for name, field in FIELDS.items() if name != "top_entropy_quantile"}
    monkeypatch.setattr("bandpo.engines.trl.refusals.FIELDS", unknown)
    with pytest.warns(UserWarning, match=r"top_entropy_quantile=0.5: bandpo does not know this option of TRL"):
        BandGRPOConfig(**options(tmp_path, top_entropy_quantile=0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        BandGRPOConfig(**options(tmp_path))


@pytest.mark.parametrize(
    ("method", "kwargs", "delta", "tightens"),
    [
        ("band-kl", {}, 4.0, True),
        ("band-kl", {"max_ratio": 4.0}, 4.0, False),
        ("grpo", {}, 1.1, True),
        ("grpo", {}, 1.3, False),
        ("clip-higher", {}, 1.2, True),
        ("clip-higher", {}, 1.3, False),
        ("no-clip", {}, 10.0, True),
    ],
)
def test_a_two_sided_clip_that_tightens_the_method_is_a_warning(tmp_path, method, kwargs, delta, tightens):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        BandGRPOConfig(**options(tmp_path, method=method, method_kwargs=kwargs, delta=delta))
    assert any(f"delta={delta} also caps" in str(one.message) for one in caught) is tightens


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_loss_types(tmp_path, loss_type):
    if loss_type in SUPPORTED_LOSSES:
        assert BandGRPOConfig(**options(tmp_path, loss_type=loss_type)).loss_type == loss_type
    else:
        with pytest.raises(ValueError, match=f"loss_type='{loss_type}' does not bound single tokens in TRL"):
            BandGRPOConfig(**options(tmp_path, loss_type=loss_type))


def test_fused_liger_loss_is_refused_where_trl_has_one(tmp_path, monkeypatch):
    monkeypatch.setattr(GRPOTrainer, "compute_liger_loss", lambda *_: None, raising=False)
    for method in ("band-kl", "grpo", "maspo"):
        with pytest.raises(ValueError, match=r"use_liger_kernel=True: the fused loss of TRL .* or TRL 1\.14 or newer"):
            BandGRPOConfig(**options(tmp_path, use_liger_kernel=True, method=method))


@pytest.mark.skipif(hasattr(GRPOTrainer, "compute_liger_loss"), reason="this TRL has a fused loss")
@pytest.mark.parametrize("method", ["band-kl", "dcpo", "maspo"])
def test_ligers_kernels_of_the_model_are_taken_where_trl_has_no_fused_loss(tmp_path, method):
    assert BandGRPOConfig(**options(tmp_path, use_liger_kernel=True, method=method)).use_liger_kernel


def test_accepted():
    config = BandGRPOConfig("out", bf16=False, band_delta=0.03, method_kwargs={"max_ratio": 10.0})
    assert config.method == "band-kl"
    chosen = config.hyperparameters()
    assert (chosen["delta"], chosen["max_ratio"], chosen["eps_low"]) == (0.03, 10.0, None)
    assert BandGRPOConfig("out", bf16=False).hyperparameters()["delta"] == 0.05
    stock = BandGRPOConfig("out", bf16=False, method="grpo", epsilon=0.1).hyperparameters()
    assert (stock["eps_low"], stock["eps_high"]) == (0.1, 0.1)
    assert BandGRPOConfig("out", bf16=False, method="band-kl", delta=4.0).delta == 4.0


def test_survives_copies_and_json(tmp_path):
    config = BandGRPOConfig(
        **options(tmp_path, method="band-upper", method_kwargs={"relax": [0.2, 0.28], "eps_low": None})
    )
    replaced = dataclasses.replace(config, seed=4, generation_batch_size=None)
    for again in (replaced, BandGRPOConfig(**options(tmp_path, **_own(config)))):
        assert _own(again) == _own(config)
    assert json.loads(config.to_json_string())["method_kwargs"] == {"relax": [0.2, 0.28], "eps_low": None}


def _own(config):
    return {name: getattr(config, name) for name in ("method", "band_delta", "method_kwargs", "band_metrics")}


def parse(*arguments):
    return TrlParser(BandGRPOConfig).parse_args_and_config(list(arguments))[0]


def test_flags():
    config = parse(
        *("--output_dir", "out", "--bf16", "false", "--method", "band-tv", "--band_delta", "0.02"),
        *("--method_kwargs", '{"max_ratio": 10, "relax": [0.2, 0.28]}', "--band_metrics", "false"),
    )
    assert _own(config) == {
        "method": "band-tv",
        "band_delta": 0.02,
        "method_kwargs": {"max_ratio": 10, "relax": [0.2, 0.28]},
        "band_metrics": False,
    }


def test_yaml_and_flags_win(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(
        "output_dir: out\nbf16: false\nmethod: band-chi2\nband_delta: 0.02\nmethod_kwargs: {max_ratio: 10}\n"
    )
    assert _own(parse("--config", str(file)))["method_kwargs"] == {"max_ratio": 10}
    config = parse("--config", str(file), "--band_delta", "0.03", "--method_kwargs", '{"max_ratio": 5}')
    assert (config.method, config.band_delta, config.method_kwargs) == ("band-chi2", 0.03, {"max_ratio": 5})


def test_help_renders(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    assert "--band_delta" in capsys.readouterr().out


def test_trainer_wants_our_configuration(tmp_path):
    with pytest.raises(TypeError, match="GRPOConfig: expected a BandGRPOConfig"):
        BandGRPOTrainer(model(), even_digits, GRPOConfig(**options(tmp_path)), prompts())


def test_everything_can_be_imported_without_trl():
    """`import bandpo` stays light, and the engine says what to install."""
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['trl'] = None\n"
        "import bandpo, bandpo.engines, bandpo.engines.common.updates\n"
        "assert 'transformers' not in sys.modules\n"
        "import bandpo.engines.trl\n"
        "try:\n bandpo.engines.trl.BandGRPOTrainer\n"
        "except ImportError as error: print(error)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'bandpo[train]'" in shown
