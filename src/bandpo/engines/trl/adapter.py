"""`GRPOTrainer` whose loss is bounded, or replaced through its advantages, by a method of `bandpo.methods()`."""

from __future__ import annotations

try:
    from trl import GRPOTrainer  # pyright: ignore[reportPrivateImportUsage]
except ImportError as error:
    raise ImportError(f"bandpo.engines.trl needs TRL: pip install 'bandpo[train]': {error}") from error

from bandpo.engines.trl.config import BandGRPOConfig
from bandpo.engines.trl.grpo import BandGRPOMixin

__all__ = ["BandGRPOConfig", "BandGRPOTrainer"]


class BandGRPOTrainer(BandGRPOMixin, GRPOTrainer):
    """TRL's `GRPOTrainer`, same arguments, with `args` a `BandGRPOConfig`.

    It warns when the settings leave the trust region nothing to do, raises RuntimeError if this TRL did not apply
    the method, and on the first batch ValueError at an old log-prob that is not finite or is positive.

    >>> trainer = BandGRPOTrainer(model, reward, BandGRPOConfig("out", num_iterations=2), data)  # doctest: +SKIP
    """

    args: BandGRPOConfig

    _tag_names = ["trl", "grpo", "bandpo"]  # noqa: RUF012
    _name = "BandPO"
    _paper = {  # noqa: RUF012
        "title": "BandPO: Bridging Trust Regions and Ratio Clipping via Probability-Aware Bounds for LLM "
        "Reinforcement Learning",
        "id": "2603.04918",
        "citation": "@article{li2026bandpo,\n"
        "    title  = {{BandPO: Bridging Trust Regions and Ratio Clipping via Probability-Aware Bounds for LLM "
        "Reinforcement Learning}},\n"
        "    author = {Yuan Li and Bo Wang and Yufei Gao and Yuqian Yao and Xinyuan Wang and Zhangyue Yin and "
        "Xipeng Qiu},\n"
        "    year   = 2026,\n"
        "    eprint = {arXiv:2603.04918},\n"
        "}",
    }
