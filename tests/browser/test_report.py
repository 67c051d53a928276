"""The report as a reader opens it, from disk: pictures, no complaint, no request; light, dark and on paper."""

import pytest

from nasdrop import cli

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def address(study_run, gradient_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "two runs.html"
    assert cli.run(["report", str(study_run), str(gradient_run), "--out", str(path)]) == 0
    return path.as_uri()


def colour(page, selector, name):
    return page.locator(selector).first.evaluate(f"node => getComputedStyle(node).{name}")


def test_it_opens_from_disk_and_asks_for_nothing(address, open_page, keep):
    page, seen = open_page(address)
    page.wait_for_load_state("networkidle")
    pictures = page.locator("figure > svg.nasdrop")
    assert pictures.count() >= 15
    for number in range(pictures.count()):
        box = pictures.nth(number).bounding_box()
        assert box["width"] > 150 and box["height"] > 60
        assert box["x"] + box["width"] <= 1280
    assert page.get_by_role("heading", name="study <b>&").first.is_visible()
    assert page.locator("figure text", has_text="realised, counted").first.is_visible()
    keep(page, "report-light", full_page=True)
    assert seen.errors == []
    assert [url for url in seen.requests if not url.startswith(("file:", "data:"))] == []


def test_a_link_leads_to_its_section(address, open_page):
    page, _ = open_page(address)
    page.locator("nav a", has_text="Cells side by side").click()
    assert page.locator("section:target h3").inner_text() == "Cells side by side"


def test_dark_and_paper(address, open_page, keep):
    page, seen = open_page(address, color_scheme="dark")
    assert colour(page, "body", "backgroundColor") == "rgb(11, 15, 20)"
    assert colour(page, "figure .panel", "fill") == "rgb(17, 22, 28)"
    keep(page, "report-dark", full_page=True)
    page.emulate_media(media="print", color_scheme="dark")
    assert colour(page, "body", "backgroundColor") == "rgb(255, 255, 255)"
    assert colour(page, "figure .panel", "fill") == "rgb(255, 255, 255)"
    assert len(page.pdf(format="A4")) > 20_000
    assert seen.errors == []


def test_a_narrow_screen_scrolls_only_what_is_wide(address, open_page, keep):
    page, _ = open_page(address, viewport={"width": 420, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    keep(page, "report-narrow")
