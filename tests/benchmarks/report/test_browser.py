"""The page as Debian's Chromium shows it."""

import json
import os
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Literal, get_args

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from diva.results import write_result
from diva_benchmarks.report.command import run
from tests.benchmarks.report.examples import BEFORE, OTHER, against, mmvp, right_in_each
from tests.benchmarks.report.figures import of_sections, shows, value
from tests.benchmarks.report.figures import rows as table_rows

Scheme = Literal["light", "dark"]
QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if not chromium and not os.environ.get("CI"):
        pytest.skip("no chromium on the PATH: nobody has looked at the report's page")
    assert chromium, "chromium is not installed; install Debian's package chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*QUIET, "--disable-component-update"])
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", get_args(Scheme))
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_says_no_error_and_asks_for_nothing(
    browser: Browser, full_report: Path, width: int, scheme: Scheme
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    troubles: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    address = (full_report / "report.html").as_uri()
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    unfold(page)
    assert page.evaluate("innerWidth") == width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert troubles == []
    assert requests == [address]
    page.close()


def test_six_towers_side_by_side_are_all_in_sight(browser: Browser, tmp_path: Path) -> None:
    before = mmvp(BEFORE, right_in_each(2))
    for number in range(5):
        subject = OTHER.model_copy(update={"label": f"un2clip-{number}", "sha256": f"{number}" * 64})
        write_result(against(mmvp(subject, right_in_each(number)), before), tmp_path / f"{number}.json")
    run([tmp_path], tmp_path / "report", published=False)
    page = browser.new_page(viewport={"width": 1280, "height": 844})
    page.goto((tmp_path / "report" / "report.html").as_uri())
    unfold(page)
    for table in page.query_selector_all("#overview .scroll, #summary .scroll, #patterns .scroll:not(.wide)"):
        assert table.evaluate("each => each.scrollWidth <= each.clientWidth")
    page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_figures_on_the_screen_are_those_of_the_json(browser: Browser, full_report: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844})
    page.goto((full_report / "report.html").as_uri())
    unfold(page)
    for section, expected in of_sections(json.loads((full_report / "report.json").read_text())).items():
        # innerText is what is rendered: a hidden figure has none
        shown = page.evaluate(
            "id => [...document.querySelectorAll(`#${id} data`)].map(each => each.innerText)", section
        )
        assert len(shown) == len(expected)
        assert all(shows(text, value) for text, value in zip(shown, expected, strict=True)), section
    page.close()


def test_text_and_drawings_stand_out_from_their_ground_in_light_and_dark(
    browser: Browser, full_report: Path
) -> None:
    grounds = {}
    for scheme in get_args(Scheme):
        page = browser.new_page(viewport={"width": 1280, "height": 844}, color_scheme=scheme)
        page.goto((full_report / "report.html").as_uri())
        unfold(page)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert contrast(page.evaluate("getComputedStyle(document.body).color"), ground) >= 4.5
        for place in ("#patterns .drawing", "#patterns .swatch"):
            # what is on the screen: a filter turns drawings over for a dark ground
            picture = Image.open(BytesIO(page.locator(place).first.screenshot())).convert("RGB")
            colours = [f"rgb({r}, {g}, {b})" for _, (r, g, b) in picture.getcolors(2**20) or ()]
            assert max(contrast(colour, ground) for colour in colours) >= 4.5, (scheme, place)
        grounds[scheme] = ground
        page.close()
    assert grounds["light"] != grounds["dark"]


def test_the_page_prints_on_paper_without_cutting_anything_off(browser: Browser, full_report: Path) -> None:
    page = browser.new_page(viewport={"width": 673, "height": 1000}, color_scheme="dark")  # A4 less its margins
    page.goto((full_report / "report.html").as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.evaluate("document.documentElement.scrollWidth") <= 673
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()


def test_the_first_screen_holds_the_verdicts_the_chart_and_the_table(browser: Browser, full_report: Path) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto((full_report / "report.html").as_uri())
    content = json.loads((full_report / "report.json").read_text())
    for place in ("#overview li", "#overview .drawing", "#overview tbody tr"):
        for each in page.locator(place).all():
            box = each.bounding_box()
            assert box
            assert box["y"] + box["height"] <= 800
    assert page.locator("#overview tbody tr").count() == len(content["towers"])
    assert page.locator("#overview svg.bar").count() == sum(len(each["changes"]) for each in content["verdicts"])
    page.close()


def test_sections_open_by_a_click_and_by_a_link_and_the_index_follows(browser: Browser, full_report: Path) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    address = (full_report / "report.html").as_uri()
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollHeight") < 8000
    assert page.locator("details[open]").count() == 0
    page.locator("#training summary").first.click()
    assert page.locator("#training .drawing").first.is_visible()
    page.locator("nav a[href='#patterns']").click()
    table = page.locator("#patterns table").first
    table.wait_for(state="visible")
    page.locator("nav a[aria-current][href='#patterns']").wait_for()
    box = page.locator("#patterns").bounding_box()
    assert box
    assert 0 <= box["y"] < 400
    page.goto("about:blank")
    page.goto(f"{address}#reproduce")  # as somebody else's link does
    assert page.locator("#reproduce table").first.is_visible()
    page.close()


def test_a_long_table_is_sorted_by_a_column_and_filtered_by_typing(browser: Browser, full_report: Path) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto((full_report / "report.html").as_uri() + "#patterns")
    table = page.locator("#patterns table").first
    content = json.loads((full_report / "report.json").read_text())
    rows = list(table_rows(content, "patterns").values())[:-1]  # the average is no pattern

    def shown() -> list[str]:
        return table.locator("tbody tr:visible th").evaluate_all("all => all.map(each => each.firstChild.data)")

    assert shown()[:-1] == [row["name"] for row in rows]
    names = [row["name"] for row in sorted(rows, key=lambda row: -(value(row, 1) or 0))]
    title = table.locator("thead button").nth(2)
    title.click()
    assert shown() == [*names, "Average"]  # totals stay at the end
    assert table.locator("thead th").nth(2).get_attribute("aria-sort") == "descending"
    title.click()
    assert shown()[0] == min(rows, key=lambda row: value(row, 1) or 0)["name"]
    table.locator("thead button").first.click()
    assert shown()[:-1] == sorted(row["name"] for row in rows)
    box = page.locator("#patterns input[type=search]").first
    box.fill("tex")
    assert shown() == ["Texts", "Average"]
    box.fill("")
    assert len(shown()) == 10
    page.close()


def test_the_page_reads_whole_without_script_and_prints_whole(browser: Browser, full_report: Path) -> None:
    address = (full_report / "report.html").as_uri()
    without = browser.new_context(java_script_enabled=False).new_page()
    without.goto(address)
    assert without.locator("details:not([open])").count() == 0
    assert without.locator("input, button").count() == 0
    without.context.close()
    page = browser.new_page()
    page.goto(address)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0
    page.close()


def test_a_command_is_copied_by_a_button(browser: Browser, full_report: Path) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto((full_report / "report.html").as_uri() + "#reproduce")
    page.locator("#reproduce button.copy").first.click()
    page.locator("#reproduce button.copy", has_text="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "diva bench mmvp --data 'my data'"
    context.close()


def unfold(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")


def contrast(first: str, second: str) -> float:
    """Return the contrast of two `rgb(...)` colours as WCAG 2.2 defines it."""
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    shares = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
