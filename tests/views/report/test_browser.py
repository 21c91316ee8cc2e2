"""The report in a real browser, offline: it draws, answers to the keyboard, fits a phone, is legible, runs nothing."""

import re
import shutil
import time

import pytest

playwright = pytest.importorskip("playwright.sync_api")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
# The contrast of every piece of text with what lies behind it, the least first: [contrast, text].
CONTRASTS = """() => {
  const parts = (colour) => (colour.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const over = ([r, g, b, a = 1], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a)];
  const light = (rgb) => rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => element === null ? [255, 255, 255]
    : over(parts(getComputedStyle(element).backgroundColor), behind(element.parentElement));
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, style = getComputedStyle(element);
    if (element.closest("script, style, noscript") || !element.checkVisibility()) continue;
    if (!walker.currentNode.data.trim()) continue;
    const paper = behind(element.closest("svg")?.parentElement ?? element);
    const ink = over(parts(element.closest("svg") ? style.fill : style.color), paper);
    const [high, low] = [light(ink), light(paper)].sort((a, b) => b - a);
    found.push([(high + 0.05) / (low + 0.05), walker.currentNode.data.slice(0, 40)]);
  }
  return found.sort((a, b) => a[0] - b[0]).slice(0, 5);
}"""
FOCUSED = "() => getComputedStyle(document.activeElement).outlineStyle"

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine: the report is not opened")


@pytest.fixture(scope="module")
def addresses(tmp_path_factory, page, hostile_page):
    place = tmp_path_factory.mktemp("pages")
    for name, text in (("plain", page), ("hostile", hostile_page)):
        (place / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: (place / f"{name}.html").as_uri() for name in ("plain", "hostile")}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with playwright.sync_playwright() as started:
        context = started.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=BROWSER, args=FLAGS, offline=True
        )
        context.set_default_timeout(30_000)
        yield context
        context.close()


@pytest.fixture(scope="module")
def loaded(browser, addresses):
    """The pages, loaded once, and what they logged or asked for."""
    complaints, pages = [], {}
    for name, address in addresses.items():
        page = pages[name] = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda it: None if re.match("file:|data:|blob:", it.url) else complaints.append(it.url))
        page.goto(address)
        until(lambda page=page: page.evaluate("document.documentElement.classList.contains('drawn')"))
    return pages, complaints


@pytest.fixture
def open_page(loaded):
    """(name, width, scheme) -> the page as when it was opened; at the end it must have logged and loaded nothing."""
    pages, complaints = loaded

    def start(name="plain", width=1280, scheme="light"):
        page = pages[name]
        page.bring_to_front()
        page.emulate_media(color_scheme=scheme, media="screen")
        page.set_viewport_size({"width": width, "height": 900})
        page.locator("input[value=region]").check(force=True)
        page.evaluate("delete document.documentElement.dataset.theme; document.activeElement.blur(); scrollTo(0, 0)")
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = false; })")
        return page

    yield start
    assert not complaints


def until(condition):
    """Wait for it from outside: the page's policy forbids the `eval` that the browser's own waiting needs."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in 30 s"
        time.sleep(0.02)


def test_every_figure_is_drawn(open_page):
    page = open_page()
    drawn = page.evaluate(
        "[...document.querySelectorAll('.plot')].map((each) => each.querySelectorAll('.main-svg').length)"
    )
    assert len(drawn) > 12 and all(drawn)
    assert page.locator(".plot .cartesianlayer .hm").count() == 2


def test_what_colours_tokens_is_chosen_by_keyboard(open_page):
    page = open_page()
    page.locator("input[value=region]").focus()
    assert page.locator(".keys:visible").get_attribute("data-mode") == "region"
    seen = set()
    for mode in ("p", "ratio", "advantage", "kept"):
        page.keyboard.press("ArrowRight")
        assert page.locator(".keys:visible").get_attribute("data-mode") == mode
        seen.add(page.locator(".sequence").first.evaluate("text => [...text.children].map((t) => t.className).join()"))
    assert len(seen) == 4
    colour = "t => getComputedStyle(t).backgroundColor + getComputedStyle(t).boxShadow"
    assert "none" not in page.locator(".sequence .d.m4").first.evaluate(colour)
    page.keyboard.press("ArrowRight")
    assert page.locator(".sequence .m4").count() == 0


def test_tokens_are_reached_by_keyboard_and_say_their_numbers(open_page):
    page = open_page()
    text = page.locator(".sequence").first
    text.focus()
    tip = page.locator("#tip")
    said = tip.inner_text()
    assert re.match(r"p [\d.]+, ratio [\d.]+\nadvantage −?[\d.]+, reward [01]\nstopped: no gradient left", said)
    page.keyboard.press("End")
    last = text.locator(".t").last
    assert last.get_attribute("id") == text.get_attribute("aria-activedescendant") == "current-token"
    assert "advantage" in last.get_attribute("aria-label")
    page.keyboard.press("Home")
    assert text.locator(".t").first.get_attribute("aria-selected") == "true"
    page.keyboard.press("ArrowRight")
    assert text.locator(".t").nth(1).get_attribute("aria-selected") == "true"
    page.keyboard.press("Escape")
    assert not tip.is_visible()


def test_pointing_at_a_token_says_its_numbers(open_page):
    page = open_page()
    page.locator(".sequence .t").nth(2).hover()
    assert "gradient" in page.locator("#tip").inner_text()
    page.mouse.move(0, 0)
    until(lambda: not page.locator("#tip").is_visible())


def test_every_stop_of_the_keyboard_is_seen(open_page):
    page = open_page()
    stops = set()
    page.locator(".skip").focus()
    for _ in range(60):
        page.keyboard.press("Tab")
        stop = page.evaluate("document.activeElement.tagName")
        if stop == "BODY":
            break
        stops.add(stop)
        # A choice between colours shows its focus on its label.
        assert stop == "INPUT" or page.evaluate(FOCUSED) == "solid", stop
    assert {"A", "BUTTON", "INPUT", "SUMMARY", "DIV"} <= stops


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["plain", "hostile"])
def test_text_is_legible_and_a_phone_needs_no_sideways_scrolling(open_page, name, scheme):
    page = open_page(name, 360, scheme)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    until(lambda: page.evaluate("document.documentElement.scrollWidth") <= 360)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", paper)[0]) < 100) == (scheme == "dark")
    for mode in ("region", "advantage", "kept"):
        page.locator(f"input[value={mode}]").check(force=True)
        assert page.evaluate(CONTRASTS)[0][0] >= 4.5, page.evaluate(CONTRASTS)


def test_the_theme_is_switched_by_a_button(open_page):
    page = open_page()
    ink = "() => getComputedStyle(document.querySelector('.plot .xtick text')).fill"
    before = page.evaluate(ink)
    page.get_by_role("button", name="Dark page").press("Enter")
    until(lambda: page.evaluate(ink) != before)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(23, 24, 27)"
    assert page.evaluate(CONTRASTS)[0][0] >= 4.5
    page.get_by_role("button", name="Light page").press("Enter")
    until(lambda: page.evaluate(ink) == before)


def test_paper_is_light_and_everything_on_it_is_open(open_page):
    page = open_page(scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(252, 252, 250)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 0
    assert page.evaluate("document.documentElement.dataset.theme") is None


def test_hostile_texts_run_nothing_and_hide_nothing(open_page):
    page = open_page("hostile")
    for mode in ("p", "ratio", "region"):
        page.locator(f"input[value={mode}]").check(force=True)
    page.locator(".sequence").first.focus()
    page.keyboard.press("End")
    box = page.locator(".plot").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.evaluate("window.hurt") is None
    assert page.locator("img, main script, .plot a").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
