"""The atlas shows what the library computes, for every method, and loads nothing."""

import base64
import re
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

import bandpo
from bandpo.views.atlas import NO_VALUE, PER_UNIT, check_target, draw_sheet, render
from bandpo.views.knobs import knobs
from bandpo.views.maps import Grid, situation, weights

GRID = Grid.of(columns=9, rows=11)
METHODS = bandpo.methods()


def frames_of(sheet, grid=GRID):
    raw = np.frombuffer(zlib.decompress(base64.b64decode(sheet["frames"])), dtype="<i2")
    return raw.reshape(-1, 2, len(grid.log_ratio), len(grid.log_odds))


@pytest.mark.parametrize("name", METHODS)
def test_a_map_is_the_gradient_weight_point_by_point(name):
    method, shown = METHODS[name], situation(METHODS[name])
    maps = weights(method, GRID, {})
    logp = GRID.logp
    for sign, row, column in [(0, 8, 2), (1, 8, 2), (0, 3, 6), (1, 3, 6), (1, 1, 1), (0, 6, 4)]:
        d = torch.minimum(GRID.log_ratio[row], -logp[column])
        made_up = {
            "topk_logp": (logp[column] + d).reshape(1, 1, 1),
            "topk_logp_rollout": logp[column].reshape(1, 1, 1),
            "logits": torch.zeros(1, 1, 4, dtype=torch.float64),
            "entropy": torch.zeros(1, 1, dtype=torch.float64),
            "group_rewards": torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64),
        }
        inputs = {key: value for key, value in made_up.items() if key in method.inputs}
        a = shown.advantages[sign]
        expected = bandpo.gradient_weight(name, logp[column], d, a, **inputs, **shown.options)
        torch.testing.assert_close(maps[sign, row, column], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", METHODS)
def test_a_sheet_holds_the_frames_its_knobs_lead_to(name):
    method, shown = METHODS[name], situation(METHODS[name])
    sheet = draw_sheet(method, GRID)
    frames = frames_of(sheet)
    assert sorted({number for knob in sheet["knobs"] for number in knob["frames"]} | {0}) == list(range(len(frames)))
    for knob in sheet["knobs"]:
        assert knob["frames"][knob["start"]] == 0
        expected = (weights(method, GRID, knob["settings"][0]) * PER_UNIT).round().clamp(-32767, 32767)
        expected = torch.where(GRID.impossible, float(NO_VALUE), expected)
        assert np.array_equal(frames[knob["frames"][0]], expected.numpy())
    numbers = {key for key, value in method.hyperparameters.items() if isinstance(value, float)}
    assert numbers <= {knob["name"] for knob in sheet["knobs"]} | set(sheet["idle"]) | set(shown.options)


@pytest.mark.parametrize("name", METHODS)
def test_the_authors_value_is_where_a_knob_starts(name):
    method, shown = METHODS[name], situation(METHODS[name])
    given = {**method.hyperparameters, **shown.options}
    for knob in knobs(method, shown.options):
        assert knob.settings[knob.start] == {knob.name: given[knob.name]}


def test_known_weights():
    grid = Grid.of(3, 3)  # p of 1e-4, 0.24 and 0.999; r of 1/30, 1 and 30
    good, bad = weights(METHODS["band-kl"], grid, {})
    assert good.tolist() == [[1, 1, 1], [1, 1, 1], [1, 0, 1]] and bad.tolist() == [[1, 0, 0], [1, 1, 1], [1, 1, 1]]
    good, bad = weights(METHODS["cfpo"], grid, {})
    assert good[2, 0] == pytest.approx(1 - 29 / 0.2) and bad[0, 0] == pytest.approx(1 - (29 / 30) / 0.2)
    assert weights(METHODS["clip-cov"], grid, dict(situation(METHODS["clip-cov"]).choices[1][1][1])).abs().max() == 0
    good, _ = weights(METHODS["kl-cov"], grid, {})
    assert good[0, 0] == pytest.approx(1 + 30)
    assert grid.impossible.tolist() == [[False] * 3, [False] * 3, [False, False, False]]
    assert Grid.of(9, 9).impossible[-1].tolist() == [False] * 5 + [True] * 4


# Without the bands whose bounds are searched for: they take seconds, and their sheets are tested above.
QUICK = {n: m for n, m in METHODS.items() if n not in ("band-reverse-kl", "band-js", "band-jeffreys")}


@pytest.fixture(scope="module")
def page():
    return render([draw_sheet(method, GRID) for method in QUICK.values()], GRID)


class Elements(HTMLParser):
    """Every start tag with its attributes, and the text outside of scripts."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.inside = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data):
        if self.inside not in ("script", "style"):
            self.text.append(data)


def test_the_page_loads_nothing(page):
    elements = Elements(page)
    for tag, attributes in elements.tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base") and "src" not in attributes
        if tag == "a":
            assert re.match(r"#|https://arxiv\.org/abs/\d{4}\.\d{4,5}$", attributes["href"])
        else:
            assert "href" not in attributes
    (policy,) = [attributes["content"] for _, attributes in elements.tags if "http-equiv" in attributes]
    assert policy.startswith("default-src 'none'") and "http" not in policy
    style = "".join(re.findall(r"<style>(.*?)</style>", page, re.DOTALL))
    assert "@import" not in style and "url(" not in style


def test_the_page_says_what_the_registry_says(page):
    text = " ".join("".join(Elements(page).text).split())
    for method in QUICK.values():
        for said in (method.name, method.summary, method.formula, method.experimental, situation(method).note):
            assert " ".join(said.split()) in text
        for name, needed in method.inputs.items():
            assert name in text and needed.summary in text
        for number in re.findall(r"arXiv (\d{4}\.\d{5})", method.citation):
            assert f'href="https://arxiv.org/abs/{number}"' in page


def test_the_page_is_the_same_every_time():
    first, second = (render([draw_sheet(METHODS["band-kl"], GRID)], GRID) for _ in range(2))
    assert first == second


def test_the_page_stays_small(page):
    full = sum(len(draw_sheet(METHODS[name])["frames"]) for name in ("drpo", "maspo", "band-kl", "grpo"))
    assert len(page) + full < 8e6


@pytest.mark.parametrize(
    ("path", "expected"), [("atlas.txt", "expected a file ending in .html"), ("absent/atlas.html", "no folder")]
)
def test_a_target_that_cannot_be_is_refused(path, expected):
    with pytest.raises(ValueError, match=rf"out='{path}': {expected}"):
        check_target(path)
