"""What `bandpo doctor miles` asks, of miles' flags with underscores and `bandpo.*` of the YAML file."""

from __future__ import annotations

from bandpo.engines.common.findings import Finding
from bandpo.engines.common.options import Options
from bandpo.engines.common.releases import installed
from bandpo.engines.miles.adapter import ADAPTER, PATH
from bandpo.engines.slime.check import check_flags


def check(options: Options) -> list[Finding]:
    """Return findings for miles' flags with underscores, and `bandpo.*` from the YAML file.

    >>> lines = {"loss_type": "custom_loss", "custom_loss_function_path": "bandpo.engines.miles.loss"}
    >>> [f.level for f in check({**lines, "num_steps_per_rollout": 4, "bandpo.method": "band-kl"})][1:]
    ['ok', 'ok', 'ok']
    """
    release = installed("miles", "0.1.0", ("0.1.0",), install="miles is installed from its repository")
    return check_flags(release, ADAPTER, PATH, options)
