"""The report page in headless Chromium: no error, no request, sorting, filtering, phone width, dark, print."""

import re

import pytest

from histobench.report.page.page import build
from tests.report import made_study
from tests.report.chromium import CHROMIUM, Browser

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed (Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser") / "results/studies/made"
    study = made_study.make(folder)
    file = folder / "report.html"
    file.write_text(build(study, file), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture
def opened(browser, page):
    browser.size(1280)
    browser.open(page)
    return browser


def test_no_error_and_no_request_leaves_the_page(opened, page):
    opened.run("new Promise((done) => setTimeout(done, 300))")
    events = {event["method"]: event for event in opened.events}
    assert not events.keys() & {"Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"}
    asked = [
        event["params"]["request"]["url"] for event in opened.events if event["method"] == "Network.requestWillBeSent"
    ]
    assert asked[0] == page.as_uri()
    assert all(address.startswith("data:") for address in asked[1:])
    assert opened.run("document.images.length") == 2
    assert opened.run("[...document.images].every((image) => image.complete && image.naturalWidth)")


def column(browser, place: int) -> list[str]:
    return browser.run(
        "[...document.querySelector('#table4 table').tBodies[0].rows]"
        f".map((row) => row.cells[{place}].querySelector('data').value)"
    )


def test_a_table_sorts_both_ways_by_mouse_and_by_keyboard(opened):
    before = column(opened, 3)
    assert before != sorted(before, key=float)
    opened.run("document.querySelectorAll('#table4 th button')[3].click()")
    assert column(opened, 3) == sorted(before, key=float)
    states = (
        "[...document.querySelector('#table4 table').tHead.rows[0].cells].map((head) => head.getAttribute('aria-sort'))"
    )
    assert opened.run(states) == ["none", "none", "none", "ascending", "none", "none", "none", "none"]
    opened.run("document.querySelectorAll('#table4 th button')[3].focus()")
    opened.key("Enter", 13, "\r")
    assert column(opened, 3) == sorted(before, key=float, reverse=True)
    assert opened.run(states)[3] == "descending"
    # Magnifications are numbers, not texts: 40 comes before 200.
    opened.run("document.querySelectorAll('#table4 th button')[2].click()")
    assert column(opened, 2) == ["40"] * 3 + ["200"] * 3
    opened.run("document.querySelectorAll('#table4 th button')[0].click()")
    assert column(opened, 0) == sorted(column(opened, 0))


def test_every_head_of_a_long_table_can_be_reached_by_keyboard(opened):
    assert opened.run(
        "[...document.querySelectorAll('table')].filter((table) => table.tBodies[0].rows.length > 1)"
        ".every((table) => [...table.tHead.rows[0].cells].every((head) => head.querySelector('button').tabIndex === 0))"
    )
    assert opened.run("[...document.querySelectorAll('.scroll')].every((box) => box.tabIndex === 0)")
    named = "[...document.querySelectorAll('[aria-labelledby]')]"
    assert opened.run(f"{named}.every((one) => document.getElementById(one.getAttribute('aria-labelledby')))")
    assert opened.run("[...document.querySelectorAll('[id]')].length === new Set([...document.querySelectorAll('[id]')].map((one) => one.id)).size")  # fmt: skip


def test_claims_are_filtered_by_verdict(opened):
    rows = "[...document.querySelectorAll('#claims tbody tr')].filter((row) => row.offsetHeight).length"
    choose = (
        "((name, value) => {{ const one = document.querySelector(`[data-filter=${{name}}]`); one.value = value;"
        " one.dispatchEvent(new Event('change', {{bubbles: true}})); }})('{}', '{}')"
    )
    assert opened.run(rows) == 5
    opened.run(choose.format("published", "impossible"))
    assert opened.run(rows) == 2
    assert opened.run("document.querySelector('output').textContent") == "2 of 5 shown"
    opened.run(choose.format("study", "undecided"))
    assert opened.run(rows) == 1
    opened.run(choose.format("published", ""))
    opened.run(choose.format("study", ""))
    assert opened.run(rows) == 5


@pytest.mark.parametrize("width", [320, 360, 768, 1280, 1600])
def test_no_width_scrolls_the_whole_page_sideways(browser, page, width):
    browser.size(width, 800, mobile=width < 500)
    browser.open(page)
    browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("window.innerWidth") == width
    # What is wide scrolls inside its box.
    assert browser.run("[...document.querySelectorAll('.scroll')].every((box) => box.clientWidth <= window.innerWidth)")
    if width == 360:
        assert browser.run("[...document.querySelectorAll('.scroll')].some((box) => box.scrollWidth > box.clientWidth)")


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_colour_schemes(opened, scheme):
    opened.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    pairs = opened.run(
        "['body', '.notes', '.caption', 'a', '.v-holds', '.v-contradicted', '.v-impossible', '.v-not-run', 'th', 'td']"
        ".map((one) => { let node = document.querySelector(one); const ink = getComputedStyle(node).color; let ground;"
        " do { ground = getComputedStyle(node).backgroundColor; node = node.parentElement; }"
        " while (ground === 'rgba(0, 0, 0, 0)' && node); return [one, ink, ground]; })"
    )
    opened.send("Emulation.setEmulatedMedia", features=[])
    grounds = {one: luminance(ground) for one, _, ground in pairs}
    assert (grounds["body"] < 0.1) == (scheme == "dark")
    for one, ink, ground in pairs:
        low, high = sorted([luminance(ink), luminance(ground)])
        assert (high + 0.05) / (low + 0.05) >= 4.5, (one, ink, ground)


def test_print_holds_what_the_screen_folds_away(opened):
    folded = "[...document.querySelectorAll('details')].filter((one) => one.open).length"
    assert opened.run(folded) == 0
    opened.run(
        "addEventListener('beforeprint', () => { window.unfolded = document.querySelectorAll('details[open]').length; })"
    )
    assert opened.pdf().startswith(b"%PDF")
    assert opened.run("window.unfolded") == opened.run("document.querySelectorAll('details').length") > 0
    assert opened.run(folded) == 0
