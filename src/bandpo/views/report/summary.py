"""What happened, in sentences: did scores move beyond chance, what became of entropy, what did the region stop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bandpo.core.methods.registry import get_method
from bandpo.microscope.inspection.sentences import percent
from bandpo.views.report.clipping import ENOUGH_TOKENS, SIDES, buckets_of
from bandpo.views.report.comparison import Comparison
from bandpo.views.report.intervals import NORMAL
from bandpo.views.report.run import Evaluation, Run
from bandpo.views.report.settings import written
from bandpo.views.report.text import line, number, short, signed

_LAST = 0.25


def on_run(run: Run) -> list[str]:
    """Return the sentences on a run, the most important first."""
    said = (_what(run), *_scores(run), _entropy(run), _region(run), _alignment(run))
    return [sentence for sentence in said if sentence]


def _what(run: Run) -> str:
    config, result = run.config, run.result or {}
    method = line(result.get("method") or config.get("method") or "an unknown method")
    options = result.get("hyperparameters")
    given = options.items() if isinstance(options, Mapping) else ()
    told = [f"{line(name)} = {written(value)}" for name, value in given if _is_told(method, name, value)]
    changed = f" ({', '.join(told[:8])})" if told else ""
    seed = result.get("seed", config.get("seed"))
    parts = [f"{method}{changed}", "" if seed is None else f"seed {written(seed)}", _how_far(run)]
    return ", ".join(part for part in parts if part) + "."


def _is_told(method: str, name: str, value: object) -> bool:
    """Tell whether an option is worth a word: a number, or a choice that is not the method's own."""
    try:
        usual = get_method(method).hyperparameters.get(name)
    except ValueError:
        usual = None
    if value is None:
        return False
    return value != usual or (isinstance(value, int | float) and not isinstance(value, bool))


def _how_far(run: Run) -> str:
    wanted = number(run.config.get("max_steps"))
    result = run.result or {}
    seconds, steps = number(result.get("seconds")), number(result.get("steps"))
    if run.result is not None:
        took = "" if seconds is None else f" in {_time(seconds)}"
        return f"{short(steps)} updates{took}" if steps is not None else f"finished{took}"
    reached = run.history.steps[-1] if run.history.steps else 0
    return f"{short(reached)}" + (f" of {short(wanted)}" if wanted and wanted > 0 else "") + " updates, not finished"


def _time(seconds: float) -> str:
    """Return a time for people.

    >>> _time(66.4), _time(5), _time(8000)
    ('1 min 6 s', '5 s', '2 h 13 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _scores(run: Run) -> list[str]:
    if len(run.evaluations) < 2:
        return []
    first, last = run.evaluations[0], run.evaluations[-1]
    names = [name for name in last.scores if name in first.scores and name.startswith(("mean@", "pass@"))]
    means = [name for name in names if name.startswith("mean@")]
    chosen = [*means[:1], *[name for name in names if name.startswith("pass@")][-1:]]
    return [_moved(first, last, name) for name in chosen]


def _moved(first: Evaluation, last: Evaluation, name: str) -> str:
    """Say how a score moved, and whether more than chance moves it on as many problems."""
    before, after = first.scores[name], last.scores[name]
    error_before, error_after = first.errors.get(name), last.errors.get(name)
    said = f"{name} on held-out problems went from {short(before)} to {short(after)}"
    if error_before is None or error_after is None:
        return f"{said}."
    reach = NORMAL * math.hypot(error_before, error_after)
    if short(before) == short(after):
        return f"{name} on held-out problems stayed at {short(after)} (± {short(reach)})."
    change = f"{signed(after - before)} ± {short(reach)}"
    if abs(after - before) <= reach:
        problems = f" on {last.problems:,} problems" if last.problems else ""
        return f"{said}: a change of {change}, no more than chance gives{problems}."
    return f"{said}: a change of {change}, more than chance gives; runs of other seeds differ by more."


def _entropy(run: Run) -> str:
    values = [value for value in run.history.values("entropy") if value is not None]
    if len(values) < 2:
        return ""
    first, last = values[0], values[-1]
    verb = "fell" if last < first else "rose"
    lost = f", by {percent(1 - last / first)}" if 0 < last < first else ""
    return f"Entropy while training {verb} from {short(first)} to {short(last)} nats a token{lost}."


def _region(run: Run) -> str:
    """Say how many tokens the region stopped at the end of the run, and in which range the most."""
    share = run.history.mean("band/clip", _LAST)
    if share is None:
        return ""
    when = "In the last quarter of the run" if len(run.history.steps) >= 4 else "Over the run"
    if share == 0:
        return f"{when} the region stopped no token at all."
    entries = []
    for side in SIDES:
        for bucket in buckets_of(run.history):
            name = f"band/{side}/{bucket}"
            if run.history.weight(name, _LAST) >= ENOUGH_TOKENS or name not in run.history.counted:
                entries.append((run.history.mean(name, _LAST) or 0.0, bucket, side))
    most = max(entries, default=(0.0, "", ""))
    beside = f"; most often {SIDES[most[2]].replace(', stopped', ' stopped')}, {line(most[1])}" if most[0] else ""
    said = f"{when} the region stopped {percent(share)} of tokens{beside}"
    return f"{said} ({percent(most[0])})." if most[0] else f"{said}."


def _alignment(run: Run) -> str:
    error = run.history.mean("band/first_ratio_error")
    if error is None:
        return ""
    if error < 1e-6:
        return "At the first use of a batch every ratio was 1, as it should be."
    return (
        f"At the first use of a batch, where every ratio should be 1, log-ratios were off by {short(error)} on average."
    )


def on_comparison(found: Comparison) -> list[str]:
    """Return the sentences on a comparison."""
    names = found.score_names
    if not found.scores or not names:
        return ["No run of this comparison has finished."]
    seeds = f"{len(found.seeds)} seeds" if len(found.seeds) != 1 else "one seed"
    said = [f"{len(found.scores)} methods, {seeds} each."]
    main = [*[n for n in names if n.startswith("mean@")][:1], *[n for n in names if n.startswith("pass@")][-1:]]
    said += [_best(found, name) for name in main or names[:1]]
    if len(found.seeds) < 3:
        said.append("With so few seeds no difference between methods can be told from chance.")
    return said


def _best(found: Comparison, name: str) -> str:
    ranked = sorted(
        ((scores[name].mean, method) for method, scores in found.scores.items() if name in scores), reverse=True
    )
    mean, method = ranked[0]
    interval = found.scores[method][name].interval
    ends = "" if interval is None else f" (95 % interval {short(interval[0])} to {short(interval[1])})"
    pairs = [each for each in found.differences if each.score == name]
    beaten = [_other(each.methods, method) for each in pairs if each.is_clear and method in each.methods]
    clear = sum(each.is_clear for each in pairs)
    said = f"{name} is highest with {method}: {short(mean)}{ends}"
    start = found.start.get(name)
    said += "" if start is None else f", {short(start)} before training"
    if not pairs:
        return f"{said}."
    apart = f"apart from {', '.join(beaten)}" if beaten else "not clearly apart from any other method"
    return (
        f"{said}; {apart}. {clear} of {len(pairs)} pairs of methods differ in it (95 % intervals, not corrected for "
        "their number)."
    )


def _other(pair: Sequence[str], method: str) -> str:
    return pair[1] if pair[0] == method else pair[0]
