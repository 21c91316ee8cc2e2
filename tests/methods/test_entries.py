"""Every method has its entry, in the file that mirrors its own, and every entry all that a method of its kind needs."""

import pytest

import bandpo
from tests.methods import ENTRIES, FILES
from tests.methods.entry import Entry


def path_of(method):
    rule = getattr(method.rule, "func", method.rule)
    return f"tests/methods/{rule.__module__.rpartition('.')[2]}.py"


def lacks(entry, method):
    """What the entry of a method does not say yet, a line each."""
    is_alias = entry.name != method.name
    untried = sorted(set(method.hyperparameters) - {option for option, _, _ in entry.acts})
    unknown = sorted({option for option, _, _ in entry.acts} - set(method.hyperparameters))
    inputs = {name for name, needed in method.inputs.items() if not needed.optional}
    needs = inputs | ({"logp_rollout"} if method.anchor == "rollout" else set())
    whole = method.scope == "batch"
    missing = {
        "tight: hyperparameters under which it acts on many tokens": method.hyperparameters and not entry.tight,
        "values: loss and gradient of a token by hand": not whole and not entry.values.strip(),
        "four_tokens: losses and gradients of a batch by hand": whole and not entry.four_tokens,
        "stops: where a token has no gradient": entry.stops is None,
        f"acts: a change of {', '.join(untried)} that must change the loss": untried,
        f"acts: options that the method has, not {', '.join(unknown)}": unknown,
        f"needs: {', '.join(sorted(needs))}": set(entry.needs) != needs,
        "in_trl: its loss by hand": method.family != "interval" and not is_alias and entry.in_trl is None,
    }
    return [text for text, is_missing in missing.items() if is_missing]


@pytest.mark.parametrize("name", bandpo.methods())
def test_every_method_has_an_entry(name):
    path = path_of(bandpo.get_method(name))
    assert name in ENTRIES, (
        f"method {name!r} has no entry: expected Entry({name!r}, ...) in {path}, see CONTRIBUTING.md"
    )


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_is_whole_and_stands_where_its_rule_does(name):
    method, entry = bandpo.get_method(name), ENTRIES[name]
    missing = lacks(entry, method)
    assert not missing, f"Entry({name!r}) in {path_of(method)} lacks\n  " + "\n  ".join(missing)
    assert FILES[name] == path_of(method)


def test_an_empty_entry_lacks_everything():
    found = lacks(Entry("kl-cov"), bandpo.get_method("kl-cov"))
    assert [line.partition(":")[0] for line in found] == ["tight", "four_tokens", "stops", "acts", "in_trl"]
    assert "acts: a change of coef, fraction that must change the loss" in found
    found = lacks(Entry("drpo", acts=[("radius", 1.0, {})]), bandpo.get_method("drpo"))
    assert {"values: loss and gradient of a token by hand", "needs: logp_rollout"} <= set(found)
    assert "acts: options that the method has, not radius" in found
