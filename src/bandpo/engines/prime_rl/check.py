"""What `bandpo doctor prime_rl` asks, of prime-rl's configuration by dotted names."""

from __future__ import annotations

from bandpo.engines.common.findings import Finding, known_names
from bandpo.engines.common.options import Options, method_options, number
from bandpo.engines.common.releases import installed
from bandpo.engines.prime_rl.adapter import ADAPTER, IMPORT_PATH

# What this check and the adapter read, and neighbours of similar names.
KNOWN = (
    *("trainer.loss.type", "trainer.loss.import_path", "trainer.loss.kwargs"),
    "orchestrator.max_off_policy_steps",
)


def check(options: Options) -> list[Finding]:
    """Return findings for prime-rl's configuration by dotted names.

    >>> lines = {"trainer.loss.type": "custom", "trainer.loss.import_path": "bandpo.engines.prime_rl.loss"}
    >>> [finding.level for finding in check(lines)][1:]
    ['ok', 'ok']
    """
    release = installed("prime-rl", "0.4.0", ("0.8.0",), install="prime-rl is installed from its repository")
    findings = known_names(release, "prime-rl", options, KNOWN)
    path, kind = options.get("trainer.loss.import_path"), options.get("trainer.loss.type")
    if (kind, path) == ("custom", IMPORT_PATH):
        findings.append(Finding("ok", "prime-rl imports our loss in every trainer process"))
    else:
        text = f"trainer.loss.type={kind!r}, trainer.loss.import_path={path!r}: another loss"
        findings.append(Finding("fail", text, f'type = "custom", import_path = "{IMPORT_PATH}"'))
    findings.append(ADAPTER.finding(method_options(options, "trainer.loss.kwargs")))
    lag = number(options, "orchestrator.max_off_policy_steps")
    if lag is not None and not lag >= 0:
        raise ValueError(f"orchestrator.max_off_policy_steps={lag!r}: expected at least 0")
    if findings[-1].level == "ok" and lag == 0:
        text = "max_off_policy_steps=0: sampler and trainer differ by rounding alone, next to nothing is clipped"
        findings.append(Finding("warn", text, "see docs/when-does-it-act.md"))
    return findings
