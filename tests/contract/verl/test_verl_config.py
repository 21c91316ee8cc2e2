"""The documented command line through verl's own configuration; the loss found by name in other processes."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("verl.trainer", reason="verl is not installed: make test-engines ENGINES=verl")

import verl
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, InstantiationException
from omegaconf import OmegaConf
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.config import PolicyLossConfig

from bandpo.engines.common.releases import release
from bandpo.engines.doctor import diagnose

pytestmark = pytest.mark.exercises("real function")

PAGE = (Path(__file__).parents[3] / "docs" / "engines" / "verl.md").read_text(encoding="utf-8")
VERSION = release(verl.__version__)
MICRO_BATCH = "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=2"


def documented(number):
    """The overrides of the page's code block of that number."""
    block = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)[number]
    return [line.rstrip(" \\").strip().strip("'") for line in block.splitlines() if "=" in line]


def configured(*overrides):
    """verl's whole configuration, as `main_ppo` composes and resolves it."""
    folder = Path(verl.__file__).parent / "trainer" / "config"
    with initialize_config_dir(config_dir=str(folder), version_base=None):
        config = compose("ppo_trainer", overrides=[*overrides, MICRO_BATCH])
    OmegaConf.resolve(config)
    return config


def actor(*overrides):
    return omega_conf_to_dataclass(configured(*overrides).actor_rollout_ref.actor)


def test_the_documented_command_line_is_what_the_worker_reads():
    lines = documented(0)
    assert len(lines) == 6
    policy = actor(*lines).policy_loss
    assert (type(policy).__name__, policy.loss_mode) == ("BandPolicyLossConfig", "bandpo")
    assert (policy.method, policy.band_delta, policy.clip_cov_ratio) == ("band-kl", 0.05, 0.0002)
    assert all(
        finding.level != "fail" for finding in diagnose("verl", dict(line.lstrip("+").split("=") for line in lines))
    )


def test_hyperparameters_by_dotted_name_and_as_a_group():
    from bandpo.engines.verl.options import objective_for

    base, policy = documented(0)[:2], "+actor_rollout_ref.actor.policy_loss"
    dotted = actor(*base, f"{policy}.method_kwargs.max_ratio=10", f"{policy}.method_kwargs.dual_clip=null")
    group = actor(*base, f"{policy}.method_kwargs={{max_ratio: 10, dual_clip: null}}")
    for one in (dotted, group):
        assert objective_for(one.policy_loss).options["max_ratio"] == 10


def test_bypass_mode_reaches_the_loss_by_the_documented_line():
    lines = [*documented(0)[:2], *documented(1)]
    policy = actor(*lines).policy_loss
    assert policy.method == "dppo-tv" and policy.rollout_correction["bypass_mode"] is True
    with pytest.raises(Exception, match="bypass_mode=True"):
        actor(*lines, "algorithm.rollout_correction.bypass_mode=False")


def test_what_only_verls_bypass_loss_does_is_refused():
    lines = [*documented(0)[:2], *documented(1)]
    for line in ("rollout_rs=token_k1", "loss_type=reinforce"):
        with pytest.raises(Exception, match=line.split("=")[0]):
            actor(*lines, f"algorithm.rollout_correction.{line}")


def test_verl_refuses_our_options_without_the_target_line():
    with pytest.raises(Exception, match="band_delta"):
        actor("+actor_rollout_ref.actor.policy_loss.band_delta=0.05")


def test_the_driver_refuses_before_workers_start():
    from verl.utils.config import validate_config

    lines = documented(0)
    config = configured(*lines, "data.train_batch_size=1024", "trainer.n_gpus_per_node=1")
    config.actor_rollout_ref.actor.policy_loss.method = "quatro"
    with pytest.raises(Exception, match=r"quatro.* needs group_rewards, which verl does not hand to a loss"):
        validate_config(config=config, use_reference_policy=False, use_critic=False)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("clip_ratio_high=0.28", "actor.clip_ratio_high=0.28 has no effect with method='band-kl'"),
        ("clip_ratio_low=0.1", "actor.clip_ratio_low=0.1 has no effect"),
        ("clip_ratio_c=5", "actor.clip_ratio_c=5 has no effect"),
        ("policy_loss.clip_cov_ratio=0.01", "read by verl's own loss 'clip_cov' only"),
    ],
)
def test_the_driver_refuses_the_actors_settings_before_workers_start(line, words):
    from verl.utils.config import validate_config

    lines = [
        *documented(0),
        "trainer.n_gpus_per_node=1",
        "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=1",
    ]
    validate_config(config=configured(*lines), use_reference_policy=False, use_critic=False)
    with pytest.raises(Exception, match=re.escape(words)):
        config = configured(*lines, f"actor_rollout_ref.actor.{line}")
        validate_config(config=config, use_reference_policy=False, use_critic=False)


@pytest.mark.parametrize("line", ["clip_ratio_c=1000", "clip_ratio_c=10"])
def test_the_driver_takes_a_dual_clip_that_cannot_act(line, recwarn):
    assert actor(*documented(0), f"actor_rollout_ref.actor.{line}").policy_loss.method == "band-kl"
    assert not [one for one in recwarn if "dual clip" in str(one.message)]


def test_another_loss_keeps_its_settings():
    stock = actor("actor_rollout_ref.actor.clip_ratio_high=0.28", "actor_rollout_ref.actor.clip_ratio_c=5")
    assert (stock.clip_ratio_high, stock.clip_ratio_c) == (0.28, 5)


def test_main_ppo_refuses_on_the_driver_before_ray_starts(tmp_path):
    """verl's own `main`, run as a module; what it would do next is start Ray."""
    lines = [*documented(0), MICRO_BATCH, "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=1"]
    arguments = [*lines, "actor_rollout_ref.actor.clip_ratio_high=0.28", "algorithm.adv_estimator=grpo"]
    if VERSION < (0, 9):
        pytest.skip("verl before 0.9 validates in a process of Ray's")
    done = subprocess.run(
        [sys.executable, "-m", "verl.trainer.main_ppo", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode != 0 and "ray init kwargs" not in done.stdout
    assert "actor.clip_ratio_high=0.28 has no effect with method='band-kl'" in done.stderr


def findings(*lines):
    """The doctor's failures for a command line, as the command line's reader hands it over."""
    from bandpo.engines.common.options import WrittenOptions

    pairs = [line.partition("=")[::2] for line in lines]
    options = WrittenOptions(
        {name.lstrip("+"): value for name, value in pairs}, [name[1:] for name, _ in pairs if name.startswith("+")]
    )
    return [one for one in diagnose("verl", options) if one.level == "fail"]


ACTOR = "actor_rollout_ref.actor"


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        (f"+{ACTOR}.policy_loss.band_detla=0.05", f"did you mean {ACTOR}.policy_loss.band_delta?"),
        (f"+{ACTOR}.policy_loss.unheard_of=1", "leave it out: verl refuses it"),
        (f"{ACTOR}.ppo_mini_batchsize=4", f"did you mean {ACTOR}.ppo_mini_batch_size?"),
        (f"+{ACTOR}.optim.learning_rate=1", "leave it out: verl refuses it"),
        ("trainer.total_epoch=3", "did you mean trainer.total_epochs?"),
        ("+trainer.total_epoch=3", "did you mean trainer.total_epochs?"),
        ("trainer.mine=3", "leave it out: verl refuses it"),
        ("actor.ppo_epochs=2", f"did you mean {ACTOR}.ppo_epochs?"),
    ],
)
def test_a_name_that_verls_configuration_lacks_is_a_failure(line, advice):
    (finding,) = findings(*documented(0), line)
    assert finding.advice == advice
    if not line.startswith("+trainer"):  # there hydra takes it, and verl does not read it
        with pytest.raises((HydraException, InstantiationException)):
            actor(*documented(0), line)


@pytest.mark.parametrize(
    "line",
    [
        "+trainer.mine=3",
        "+ray_kwargs.ray_init.runtime_env.pip=bandpo",
        f"+{ACTOR}.fsdp_config.mixed_precision.param_dtype=fp32",
        "+actor_rollout_ref.model.override_config.attn_implementation=eager",
        "trainer.nnodes=2",
        "hydra.run.dir=out",
    ],
)
def test_a_name_that_verl_takes_is_none(line):
    assert findings(*documented(0), line) == []


def test_the_doctor_reads_verls_own_defaults():
    # Before 0.8 Megatron has a configuration file of its own.
    engine = "megatron" if VERSION >= (0, 8) else "dp"
    texts = [one.text for one in diagnose("verl", {"model_engine": engine, **_pairs(documented(0))})]
    if VERSION >= (0, 9):
        assert any("actor.strategy='megatron'" in text for text in texts)
    assert any("recomputes at temperature 1" in text for text in texts)


def _pairs(lines):
    return dict(line.lstrip("+").split("=") for line in lines)


def fresh(code, **environment):
    """A finished Python process in which nothing but `code` has imported anything."""
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


HAS = "import verl; from verl.trainer.ppo.core_algos import get_policy_loss_fn as f; print(f('bandpo').__module__)"


@pytest.mark.skipif(VERSION < (0, 9), reason="verl before 0.9 has no plugins")
def test_a_plain_import_of_verl_registers_the_loss_late():
    done = fresh("import sys, verl; print('bandpo.engines.verl.adapter' in sys.modules, 'bandpo' in sys.modules)")
    assert done.stdout.split() == ["False", "True"], done.stderr
    done = fresh(HAS)
    assert done.stdout.split() == ["bandpo.engines.verl.adapter"], done.stderr


@pytest.mark.skipif(VERSION < (0, 9), reason="verl before 0.9 has no plugins")
def test_a_failure_of_the_plugin_is_a_warning_that_says_why():
    block = "import sys; sys.modules['bandpo.engines.common.own_settings'] = None; "
    done = fresh(block + HAS)
    assert "RuntimeWarning: verl will not know policy_loss.loss_mode=bandpo" in done.stderr
    assert "bandpo.engines.common.own_settings" in done.stderr and "Unsupported loss mode: bandpo" in done.stderr


def test_the_environment_variable_registers_the_loss():
    done = fresh(HAS, VERL_USE_EXTERNAL_MODULES="bandpo.engines.verl", VERL_USE_EXTERNAL_PLUGINS="none")
    assert done.stdout.split() == ["bandpo.engines.verl.adapter"], done.stderr


def test_an_old_verl_is_refused_by_version():
    done = fresh("import verl; verl.__version__ = '0.6.1'; from bandpo.engines.verl import BandPolicyLossConfig")
    assert "needs verl 0.7 or newer, this is 0.6.1" in done.stderr


def test_the_lines_for_several_nodes_reach_rays_runtime_environment():
    lines = re.findall(r"`'?(\+ray_kwargs[^`']*)'?`", PAGE)
    assert len(lines) == 2
    ray_init = configured(*documented(0), *lines).ray_kwargs.ray_init
    assert ray_init.runtime_env.env_vars.VERL_USE_EXTERNAL_MODULES == "bandpo.engines.verl"
    assert ray_init.runtime_env.pip == ["bandpo"]


@pytest.mark.slow
def test_ray_worker_processes_find_the_loss_by_name():
    ray = pytest.importorskip("ray")
    config = configured(*documented(0))

    class Worker:
        """As verl's actor worker: a process of its own, that gets the configuration and turns it into dataclasses."""

        def __init__(self, actor):
            from verl.utils.config import omega_conf_to_dataclass

            self.actor = omega_conf_to_dataclass(actor)

        def loss(self):
            from verl.trainer.ppo.core_algos import get_policy_loss_fn

            policy = self.actor.policy_loss
            return os.getpid(), type(policy).__name__, get_policy_loss_fn(policy.loss_mode).__module__

    modules = {"VERL_USE_EXTERNAL_MODULES": "bandpo.engines.verl"}
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"VERL_USE_EXTERNAL_PLUGINS": "none"}},
    )
    try:
        by_target = ray.remote(Worker).remote(config.actor_rollout_ref.actor)
        # What verl's older trainer does in bypass mode, on the driver and after the workers were made.
        config.actor_rollout_ref.actor.policy_loss.loss_mode = "bypass_mode"
        stock = configured("actor_rollout_ref.actor.policy_loss.loss_mode=bandpo").actor_rollout_ref.actor
        by_variable = ray.remote(Worker).options(runtime_env={"env_vars": modules}).remote(stock)
        found = ray.get([by_target.loss.remote(), by_variable.loss.remote()], timeout=240)
    finally:
        ray.shutdown()
    assert os.getpid() not in [process for process, *_ in found]
    assert [rest for _, *rest in found] == [
        ["BandPolicyLossConfig", "bandpo.engines.verl.adapter"],
        ["PolicyLossConfig", "bandpo.engines.verl.adapter"],
    ]


def test_the_configuration_is_verls_own_where_nothing_is_said():
    assert type(actor().policy_loss) is PolicyLossConfig
