"""The report as a person sees it: in a browser, if there is one on this machine."""

import shutil
from pathlib import Path

import pytest
import synthetic
from playwright.sync_api import Page, sync_playwright

from orchestrator import findings, report

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


def look(page: Page, file: Path, width: int) -> tuple[list[str], list[str], int]:
    """What the browser complains of, what it asks for besides the file, and by how much the page is too wide."""
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(file.as_uri())
    too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return complaints, [url for url in asked if url != file.as_uri()], too_wide


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
@pytest.mark.parametrize("width", [1200, 420])
def test_the_page_opens_whole_and_asks_for_nothing(tmp_path: Path, width: int) -> None:
    answers, warmth, trials = synthetic.study(samples=4)
    found = findings.build(answers, warmth, trials, synthetic.PERSONAS)
    report.write(found, {"study": "synthetic"}, tmp_path)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *FLAGS])
        page = browser.new_page()
        complaints, asked, too_wide = look(page, tmp_path / "index.html", width)
        figures, heading = page.locator("svg").count(), page.locator("h1").inner_text()
        browser.close()
    assert (complaints, asked) == ([], [])
    assert too_wide <= 0
    assert heading == "synthetic"
    assert figures >= 5
