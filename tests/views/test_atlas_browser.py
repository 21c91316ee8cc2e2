"""The atlas in a real browser, offline: it draws, its sliders move the maps, it fits a phone, and it logs no error."""

import re
import shutil
import time

import pytest

import bandpo
from bandpo.views.atlas import draw_sheet, render
from bandpo.views.maps import Grid

playwright = pytest.importorskip("playwright.sync_api")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
NAMES = ("grpo", "band-kl", "flex-entropy", "dppo-tv", "clip-cov", "cfpo", "ce-gppo", "gspo", "quatro", "entropy")
GRID = Grid.of(columns=21, rows=31)
Z = "id => JSON.stringify(document.getElementById(id).data[0].z)"
DRAWN = "() => ['good', 'bad'].every(id => document.querySelector(`#${id} .heatmaplayer image`))"

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine: the atlas is not opened")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("atlas") / "atlas.html"
    path.write_text(render([draw_sheet(bandpo.get_method(name), GRID) for name in NAMES], GRID), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with playwright.sync_playwright() as started:
        context = started.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=BROWSER, args=FLAGS, offline=True
        )
        context.set_default_timeout(30_000)
        yield context
        context.close()


@pytest.fixture
def open_page(browser, address):
    """(method, width, scheme) -> the page, drawn; at the end it must have logged nothing and loaded only itself."""
    complaints, pages = [], []

    def start(method="", width=1280, scheme="light"):
        page = browser.new_page()
        pages.append(page)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda it: None if re.match("file:|data:|blob:", it.url) else complaints.append(it.url))
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"{address}#{method}")
        until(lambda: page.evaluate(DRAWN))
        return page

    yield start
    for page in pages:
        page.close()
    assert not complaints


def until(condition):
    """Wait for it from outside: the page's policy forbids the `eval` that the browser's own waiting needs."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in 30 s"
        time.sleep(0.02)


def changed(page, before):
    until(lambda: page.evaluate(Z, "good") != before)
    return page.evaluate(Z, "good")


def test_a_slider_changes_the_maps_and_the_others_stay_at_the_authors_value(open_page):
    page = open_page("band-kl")
    first = page.evaluate(Z, "good")
    page.locator("article.current input[name=delta]").press("ArrowRight")
    wider = changed(page, first)
    assert wider.count(",1") > first.count(",1")
    assert page.locator("article.current label:has(input[name=delta]) output").inner_text() == "0.1"
    page.locator("article.current input[name=eps_high]").press("End")
    changed(page, wider)
    assert page.locator("article.current label:has(input[name=delta]) output").inner_text() == "0.05"
    page.get_by_role("button", name="Authors' values").click()
    until(lambda: page.evaluate(Z, "good") == first)


def test_what_is_drawn_is_what_the_library_computes(open_page):
    page = open_page("ce-gppo")
    drawn = page.evaluate("() => document.getElementById('bad').data[0].z")
    logp = GRID.logp
    for row, column in [(2, 3), (10, 10), (20, 4)]:
        weight = bandpo.gradient_weight("ce-gppo", logp[column], GRID.log_ratio[row], -1.0).item()
        assert drawn[row][column] == pytest.approx(weight, abs=0.0051)
    assert drawn[-1][-1] is None


def test_a_choice_of_words_changes_the_map(open_page):
    page = open_page("clip-cov")
    first = page.evaluate(Z, "good")
    page.locator("article.current select").select_option(label="chosen")
    assert set(re.findall(r"[\d.]+", changed(page, first))) == {"0"}


def test_every_method_opens_from_the_list_by_keyboard(open_page):
    page = open_page()
    assert page.locator("nav a").count() == len(NAMES)
    for name in NAMES:
        page.locator(f"nav a[href='#{name}']").press("Enter")
        until(lambda name=name: page.locator("article.current").get_attribute("id") == name)
        assert page.locator("article:visible").count() == 1
        assert page.locator("nav a[aria-current]").inner_text().split()[0] == name
        assert page.locator("article.current .map").count() == 2


def test_the_list_is_filtered_by_text_and_by_family(open_page):
    page = open_page()
    page.get_by_label("Find").fill("kullback")
    assert page.locator("nav li:visible").all_inner_texts() == ["band-kl"]
    page.get_by_label("Find").fill("")
    page.get_by_label("Family").select_option("gate")
    assert page.locator("nav li:visible").all_inner_texts() == ["cfpo", "ce-gppo"]
    assert page.locator("#found").inner_text() == "2 methods"


def test_hovering_shows_probability_ratio_and_weight(open_page):
    page = open_page("grpo")
    box = page.locator("#good .nsewdrag").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] * 0.7)
    page.wait_for_selector("#good .hoverlayer text")
    text = page.locator("#good .hoverlayer").text_content()
    assert re.search(r"p = [\d.]+", text) and re.search(r"r = [\d.]+", text) and "weight 1.00" in text


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_a_desktop_in_light_and_dark(open_page, width, scheme):
    page = open_page("flex-entropy", width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    good, bad = (page.locator(f"#{name}").bounding_box() for name in ("good", "bad"))
    assert (bad["y"] > good["y"]) == (width == 400) and good["width"] > 300
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", paper)[0]) < 100) == (scheme == "dark")
