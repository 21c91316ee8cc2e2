"""What `bandpo doctor prime_rl` asks, of prime-rl's configuration by dotted names."""

from __future__ import annotations

from bandpo.engines.common.findings import Finding, known_names
from bandpo.engines.common.handover import check_choice
from bandpo.engines.common.options import Options, choice
from bandpo.engines.common.releases import installed
from bandpo.engines.prime_rl.adapter import IMPORT_PATH, PROVIDED, choose

# What this check and the adapter read, and neighbours of similar names.
KNOWN = (
    *("trainer.loss.type", "trainer.loss.import_path", "trainer.loss.kwargs"),
    "orchestrator.max_off_policy_steps",
)


def check(options: Options) -> list[Finding]:
    """Findings for prime-rl's configuration by dotted names.

    >>> given = {"trainer.loss.type": "custom", "trainer.loss.import_path": "bandpo.engines.prime_rl.loss"}
    >>> [finding.level for finding in check(given)][1:]
    ['ok', 'ok']
    """
    found = known_names(
        installed("prime-rl", "0.4.0", ("0.8.0",), install="prime-rl is installed from its repository"),
        "prime-rl",
        options,
        KNOWN,
    )
    path, kind = options.get("trainer.loss.import_path"), options.get("trainer.loss.type")
    if (kind, path) == ("custom", IMPORT_PATH):
        found.append(Finding("ok", "prime-rl imports our loss in every trainer process"))
    else:
        text = f"trainer.loss.type={kind!r}, trainer.loss.import_path={path!r}: another loss"
        found.append(Finding("fail", text, f'type = "custom", import_path = "{IMPORT_PATH}"'))
    given = choice(options, "trainer.loss.kwargs")
    try:
        choose(given)
    except (TypeError, ValueError) as error:
        return [*found, Finding("fail", f"the adapter refuses these options: {error}")]
    found.append(check_choice("prime-rl", {**given, "anchor": "rollout"}, PROVIDED))
    if options.get("orchestrator.max_off_policy_steps") == 0:
        text = "max_off_policy_steps=0: sampler and trainer differ by rounding alone, next to nothing is clipped"
        found.append(Finding("warn", text, "see docs/when-does-it-act.md"))
    return found
