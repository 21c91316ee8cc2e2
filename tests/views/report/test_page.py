"""The page says what the files hold, loads nothing, acts on no text of theirs, and is the same every time."""

import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from plotly.offline import get_plotlyjs

from bandpo.views.report.page import report, size_of
from tests.views.report.conftest import LONG, json_lines, logged, write_run


class Elements(HTMLParser):
    """Every start tag with its attributes, the text outside of scripts, and the scripts."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.scripts, self.inside = [], [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts.append(data)
        elif self.inside != "style":
            self.text.append(data)


@pytest.fixture(scope="module")
def elements(page):
    return Elements(page)


@pytest.fixture(scope="module")
def text(elements):
    return " ".join("".join(elements.text).split())


def carried(elements, name):
    (script,) = (
        text for (tag, given), text in zip(scripts(elements), elements.scripts, strict=True) if given.get("id") == name
    )
    return json.loads(script)


def scripts(elements):
    return [tag for tag in elements.tags if tag[0] == "script"]


def test_the_page_loads_nothing(elements):
    for tag, given in elements.tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base") and "src" not in given
        assert given.get("href", "#").startswith("#")
        assert not [name for name in given if name.startswith("on")]


def test_only_the_pages_own_scripts_may_run(elements):
    (policy,) = (given["content"] for _, given in elements.tags if "http-equiv" in given)
    assert policy.startswith("default-src 'none'") and "http" not in policy and "unsafe-inline'; img" in policy
    run = [text for (_, given), text in zip(scripts(elements), elements.scripts, strict=True) if "type" not in given]
    hashes = [b64encode(sha256(text.encode()).digest()).decode() for text in run]
    assert re.findall(r"'sha256-(.*?)'", policy) == hashes and len(hashes) == 2


def test_it_is_the_same_every_time(place, page):
    assert report([place / "run", place / "compared"]) == page


def test_the_summary_comes_first_and_says_whether_a_change_is_more_than_chance(elements, text):
    assert next(given["id"] for tag, given in elements.tags if tag == "section") == "summary"
    assert "mean@32 on held-out problems went from 0.1 to 0.2: a change of +0.1 ± 0.0277, more than chance" in text
    assert "band-kl (delta = 0.05), seed 1, 100 updates in 1 min 1 s." in text
    assert "In the last quarter of the run the region stopped 1 % of tokens" in text
    assert "mean@32 is highest with grpo: 0.12" in text and "1 of 1 pairs of methods differ" in text


def test_curves_have_their_intervals(elements):
    figures = carried(elements, "figures").values()
    traces = [trace for figure in figures for trace in figure["data"] if trace.get("customdata")]
    (curve,) = (trace for trace in traces if trace.get("y") == [0.1, 0.12, 0.2])
    assert curve["customdata"][0] == pytest.approx([0.0804, 0.1196], abs=1e-4)
    assert all(figure["layout"]["xaxis"]["title"]["text"] for figure in figures)


def test_what_was_stopped_is_mapped_by_probability_and_side(elements):
    maps = [f["data"][0] for f in carried(elements, "figures").values() if f["data"][0]["type"] == "heatmap"]
    assert len(maps) == 2
    for each in maps:
        assert each["y"][0] == "p=0-0.01" and each["y"][-1] == "p=0.9-1"
        assert each["z"][0] == [None] * 10 and each["z"][5] == [0.05] * 10 and each["customdata"][5] == [100] * 10


def test_every_token_carries_its_numbers(elements):
    passages = carried(elements, "tokens-data")
    spans = [given for tag, given in elements.tags if tag == "span" and given.get("role") == "option"]
    assert len(spans) == sum(len(passage["tokens"]) for passage in passages) > 0
    stopped = [given for given in spans if "stopped" in given["class"]]
    assert len(stopped) == sum(kept == 0 for passage in passages for _, _, _, kept in passage["tokens"]) > 0


def test_samples_are_of_the_first_and_last_batch_and_of_the_end(text):
    for said in ("First recorded batch, update 0", "Last recorded batch, update 20", "3 answers, mean reward 0.667"):
        assert said in text


def test_settings_and_environment_are_there(text):
    assert "max_steps100" in text and "torch2.13" in text


def test_hostile_texts_stay_texts(hostile_page):
    elements = Elements(hostile_page)
    kinds = {tag for tag, _ in elements.tags}
    assert not kinds & {"img", "iframe", "b:x"} and len(scripts(elements)) == 4
    said = "".join(elements.text)
    assert "<img src=x" in said and "{{7*7}}" in said and r"\x00\x1b[2J\u202e\ud800" in said
    ours = hostile_page.replace(get_plotlyjs(), "")
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", ours)
    assert "100,000 characters" in said and len(hostile_page) - len(LONG) < 5.3e6
    for name in ("figures", "tokens-data"):
        assert "Infinity" not in json.dumps(carried(elements, name))


def test_a_long_run_makes_no_large_page(tmp_path):
    run = write_run(tmp_path / "run")
    short = len(report([run]))
    (run / "metrics.jsonl").write_text(json_lines(logged(step) for step in range(5000)))
    long = report([run])
    assert len(long) - short < 250_000 and "each point is a mean of several logged records" in long


def test_several_runs_share_the_panels_and_differ_in_look(tmp_path):
    runs = [write_run(tmp_path / f"run-{n}", {"method": "band-kl", "seed": n}) for n in range(3)]
    elements = Elements(report(runs))
    curves = [
        [trace for trace in figure["data"] if trace.get("name")]
        for figure in carried(elements, "figures").values()
        if figure["data"][0]["type"] == "scatter"
    ]
    for traces in curves:
        assert [trace["name"] for trace in traces] == ["run-0", "run-1", "run-2"]
        for key in ("line", "marker"):
            assert len({json.dumps(trace[key]) for trace in traces}) == 3
    assert "Options in which the runs differ" in "".join(elements.text)


def test_the_size_is_said():
    assert size_of("ä" * 1_000_000) == "2.0 MB"
