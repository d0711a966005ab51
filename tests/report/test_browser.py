"""The report page in headless Chromium: sorting, filtering, narrow and wide windows, dark mode, print."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from histobench.report.page.page import build
from tests.report import made_study

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed (Debian: apt-get install chromium)"),
]
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--allow-file-access-from-files")
FRAME = """<!DOCTYPE html><html><head><meta name="color-scheme" content="light dark"></head><body>
<iframe src="report.html" style="width: WIDTHpx; height: 900px; border: 0"></iframe>
<script>
document.querySelector("iframe").onload = ({target}) => {
  const answer = ((window, document, all) => { SCRIPT })(target.contentWindow, target.contentDocument,
    (selector) => [...target.contentDocument.querySelectorAll(selector)]);
  document.title = JSON.stringify(answer);
};
</script></body></html>
"""
"""The page in a frame: a window of the browser itself is at least 500 pixels wide."""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("browser") / "results/studies/made"
    content = made_study.make(folder)
    file = folder / "report.html"
    file.write_text(build(content, file), encoding="utf-8")
    return file


def run(page: Path, script: str, width: int = 1280, *flags: str) -> Any:
    """Return what a JavaScript function body returns; `window`, `document` and `all(selector)` are of the page."""
    frame = page.with_name("frame.html")
    frame.write_text(FRAME.replace("WIDTH", str(width)).replace("SCRIPT", script), encoding="utf-8")
    profile = f"--user-data-dir={page.with_name('profile')}"
    command = [str(CHROMIUM), *FLAGS, *flags, profile, "--window-size=2000,1000", "--dump-dom", frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title, done.stderr
    return json.loads(html.unescape(title[1]))


def test_a_table_sorts_both_ways(page):
    found = run(
        page,
        """
        const column = (place) => all("#table4 > .scroll tbody tr").map((row) => row.cells[place].querySelector("data").value);
        const press = (place) => all("#table4 > .scroll button")[place].click();
        const states = () => all("#table4 > .scroll th").map((head) => head.getAttribute("aria-sort"));
        const found = {before: column(3)};
        press(3); found.up = column(3); found.states = states();
        press(3); found.down = column(3); found.state = states()[3];
        press(2); found.magnification = column(2);
        press(0); found.model = column(0);
        return found;
        """,
    )
    assert found["before"] != sorted(found["before"], key=float)
    assert found["up"] == sorted(found["before"], key=float)
    assert found["states"] == ["none"] * 3 + ["ascending"] + ["none"] * 4
    assert found["down"] == sorted(found["before"], key=float, reverse=True)
    assert found["state"] == "descending"
    # Magnifications are numbers, not texts: 40 comes before 200.
    assert found["magnification"] == ["40"] * 3 + ["200"] * 3
    assert found["model"] == sorted(found["model"])


def test_claims_are_filtered_by_verdict(page):
    script = """
        const choose = (name, value) => {
          const [select] = all(`[data-filter=${name}]`);
          select.value = value;
          select.dispatchEvent(new window.Event("change", {bubbles: true}));
          return all("#claims tbody tr").filter((row) => row.offsetHeight).length;
        };
        const first = [choose("published", ""), choose("published", "implausible")];
        const text = document.querySelector("output").textContent;
        return [...first, text, choose("study", "undecided"), choose("published", ""), choose("study", "")];
        """
    # Of five claims one is implausible, which is the only one undecided.
    assert run(page, script) == [5, 1, "1 of 5 shown", 1, 1, 5]


@pytest.mark.parametrize("width", [320, 390, 1280, 1920])
def test_the_page_does_not_scroll_sideways_and_loads(page, width):
    """What is wide scrolls inside its box, which the keyboard reaches; every image is shown and every id is unique."""
    found = run(
        page,
        """
        all("details").forEach((one) => { one.open = true; });
        const ids = all("[id]").map((one) => one.id);
        return {
          widths: [window.innerWidth, document.documentElement.scrollWidth],
          boxes: all(".scroll").every((box) => box.clientWidth <= window.innerWidth && box.tabIndex === 0),
          wide: all(".scroll").some((box) => box.scrollWidth > box.clientWidth),
          main: document.querySelector("main").clientWidth,
          cut: all("#table4 > .scroll, #table5 > .scroll").map((box) => box.scrollWidth - box.clientWidth),
          images: all("img").map((image) => image.complete && image.naturalWidth > 0),
          unique: new Set(ids).size === ids.length,
          named: all("[aria-labelledby]").every((one) => ids.includes(one.getAttribute("aria-labelledby"))),
          requests: window.performance.getEntriesByType("resource").map((one) => one.name)
            .filter((name) => !name.startsWith("data:")),
        };
        """,
        width,
    )
    assert found["widths"][0] == width
    assert found["widths"][1] <= width
    assert found["boxes"]
    assert found["unique"]
    assert found["named"]
    assert found["images"] == [True, True]
    assert found["requests"] == []
    assert found["wide"] or width > 400
    assert found["main"] > 0.8 * width
    assert max(found["cut"]) <= 1 or width < 1280


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize(("scheme", "setting"), [("dark", 0), ("light", 1)])
def test_text_has_enough_contrast_in_both_colour_schemes(page, scheme, setting):
    pairs = run(
        page,
        """
        return ["body", ".notes", ".caption", "a", ".v-holds", ".v-contradicted", ".v-impossible", ".v-not-run", "td"]
          .map((selector) => {
            let [node] = all(selector), ground;
            const ink = window.getComputedStyle(node).color;
            do { ground = window.getComputedStyle(node).backgroundColor; node = node.parentElement; }
            while (ground === "rgba(0, 0, 0, 0)" && node);
            return [selector, ink, ground];
          });
        """,
        1280,
        f"--blink-settings=preferredColorScheme={setting}",
    )
    assert (luminance(pairs[0][2]) < 0.1) == (scheme == "dark")
    for selector, ink, ground in pairs:
        low, high = sorted([luminance(ink), luminance(ground)])
        assert (high + 0.05) / (low + 0.05) >= 4.5, (selector, ink, ground)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_first_column_stays_and_what_is_out_of_sight_is_hinted_at(page, width):
    found = run(
        page,
        """
        all("details").forEach((one) => { one.open = true; });
        return all(".scroll").filter((box) => box.querySelector("table:not(.cards)")).map((box) => {
          const cells = [...box.querySelectorAll("tr > :first-child")];
          const tell = () => {
            box.dispatchEvent(new window.Event("scroll"));
            return {
              left: Math.max(...cells.map((cell) => cell.getBoundingClientRect().left - box.getBoundingClientRect().left)),
              hint: box.previousElementSibling.matches(".hint") && box.previousElementSibling.offsetHeight > 0,
              more: box.classList.contains("more"),
              opaque: cells.every((cell) => !window.getComputedStyle(cell).backgroundColor.includes("rgba")),
            };
          };
          const before = tell();
          box.scrollLeft = 10000;
          return {wide: box.scrollWidth > box.clientWidth + 1, before, after: tell()};
        });
        """,
        width,
    )
    assert any(box["wide"] for box in found)
    for box in found:
        assert box["before"]["hint"] == box["before"]["more"] == box["wide"]
        assert not box["after"]["more"]
        assert 0 <= box["before"]["left"] <= 2
        assert box["after"]["left"] == pytest.approx(box["before"]["left"], abs=1)
        assert box["before"]["opaque"]


def test_the_page_prints_in_a_short_form_with_the_head_of_a_table_on_each_of_its_pages(page):
    """The rules for print are applied to the screen, with the width between the margins of A4 in portrait."""
    found = run(
        page,
        """
        for (const rule of document.styleSheets[0].cssRules) {
          if (rule.media && rule.media.mediaText === "print") rule.media.mediaText = "all";
        }
        document.body.style.width = "703px";
        document.body.style.margin = "0";
        const style = (selector, name) => all(selector).map((one) => window.getComputedStyle(one)[name]);
        const shows = (selector) => all(selector).filter((one) => one.offsetHeight > 0).length;
        return {
          heads: [...new Set(style("thead", "display"))],
          buttons: [...new Set(style("th button", "display"))],
          breaks: [...new Set(style("tbody tr", "breakInside"))],
          boxes: [...new Set(style(".scroll", "overflowX"))],
          sticky: style("td:first-child", "position").includes("sticky"),
          wide: all(".scroll").filter((one) => one.offsetHeight && one.scrollWidth > 704).length,
          left: ["nav", "form.filter", ".hint", "details", "#files", "#comparisons table", "#claims table", "#table4 > .scroll",
                 ".printed", "figure img"].map(shows),
        };
        """,
        794,
    )
    assert found["heads"] == ["table-header-group"]
    # Chromium repeats a head on each page, but not a button in it.
    assert found["buttons"] == ["contents"]
    assert found["breaks"] == ["avoid"]
    assert found["boxes"] == ["visible"]
    assert not found["sticky"]
    assert found["wide"] == 0  # else Chromium would shrink the whole page
    nav, form, hint, details, files, comparisons, claims, table4, printed, images = found["left"]
    assert (nav, form, hint, files, comparisons) == (0, 0, 0, 0, 0)
    assert details == 1  # what the verdicts mean, which is open from the beginning
    assert (claims, table4, images) == (1, 1, 2)
    assert printed > 1
