"""The report as a person sees it: in a browser, if there is one on this machine."""

import json
from collections.abc import Iterator
from pathlib import Path

import browsing
import polars as pl
import pytest
import synthetic
from playwright.sync_api import Browser, Page

from orchestrator import findings, report

HOSTILE = (
    "</script><script>window.owned = 1</script><img src=x onerror='window.owned = 2'>",
    '<svg onload="window.owned = 3"><a href="javascript:owned = 4">{{ 7 * 7 }}</a> \' " ` ${1} \u2028 --> ]]>',
)
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

pytestmark = browsing.needed


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing.browsing() as started:
        yield started


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a study whose prompts, replies, settings and names of conditions are made to break it."""
    answers, warmth, trials = synthetic.study(samples=4)
    reply = pl.when(pl.col("persona") == "warm").then(pl.lit(HOSTILE[0])).otherwise(pl.lit(HOSTILE[1]))
    context = pl.when(pl.col("context") == "sad").then(pl.lit(HOSTILE[0])).otherwise("context")
    answers = answers.with_columns(reply=reply, prompt=pl.lit(HOSTILE[1]), context=context)
    found = findings.build(answers, warmth, trials, synthetic.PERSONAS)
    folder = tmp_path_factory.mktemp("report")
    report.write(found, {"study": HOSTILE[0], "settings": {"a": HOSTILE[1]}, "imported": [HOSTILE[0]]}, folder)
    return folder / "index.html"


class Seen:
    """An open page, what it complained of, and what it asked for besides itself."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page, self.complaints, self.asked = page, list[str](), list[str]()
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(file.as_uri())
        self.asked.remove(file.as_uri())

    def cells(self, heading: str) -> list[str]:
        """A column of the table of cells, as it is shown."""
        heads = self.page.locator("#explorer thead button").all_inner_texts()
        return self.page.locator(f"#explorer tbody td:nth-child({heads.index(heading) + 1})").all_inner_texts()

    def count(self) -> int:
        return int(self.page.locator("#explorer .count").inner_text().split()[0].replace(",", ""))


@pytest.fixture
def seen(browser: Browser, file: Path) -> Iterator[Seen]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    yield Seen(page, file)
    page.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_whole_and_asks_for_nothing(browser: Browser, file: Path, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    seen = Seen(page, file)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert (seen.complaints, seen.asked) == ([], [])
    assert page.evaluate(OVERFLOW) <= 0
    assert page.locator("figure svg").count() >= 10
    page.close()


def test_what_replies_say_is_shown_and_never_done(seen: Seen) -> None:
    page = seen.page
    assert page.evaluate("window.owned") is None
    assert page.locator("h1").inner_text() == HOSTILE[0]
    assert page.locator("img, main script, main a[href^=javascript]").count() == 0
    shown = page.locator(".prompt:visible .replies p").all_inner_texts()
    assert HOSTILE[0] in shown
    assert any("{{ 7 * 7 }}" in text for text in shown)
    page.select_option("select[name=context]", label=HOSTILE[0])
    assert set(seen.cells("context")) == {HOSTILE[0]}


def test_cells_are_filtered_sorted_and_turned_over(seen: Seen) -> None:
    page, every = seen.page, seen.count()
    data = json.loads(page.locator("#cells-data").text_content() or "")
    assert every == data[0]["length"] > 25
    page.select_option("select[name=persona]", label="warm")
    page.select_option("select[name=model]", label="lab-coupled-0")
    assert 0 < seen.count() < every
    assert set(seen.cells("persona")) == {"warm"}
    page.locator("#explorer thead button", has_text="error %").click()
    falling = [float(cell) for cell in seen.cells("error %")]
    assert falling == sorted(falling, reverse=True)
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("error %")
    page.keyboard.press("Enter")
    rising = [float(cell) for cell in seen.cells("error %")]
    assert rising == sorted(rising)
    assert rising != falling
    page.locator("#explorer .on").click()
    assert min(float(cell) for cell in seen.cells("error %")) >= rising[-1]
    page.select_option("select[name=table]", label="What a persona changes")
    assert seen.count() == data[1]["length"]


def test_replies_are_chosen_by_task(seen: Seen) -> None:
    page = seen.page
    shown = page.locator(".prompt:visible h3")
    assert {text.split(", ")[1] for text in shown.all_inner_texts()} == {"lab_facts"}
    page.locator("#reply-filters select[name=task]").select_option("lab_rumours")
    assert {text.split(", ")[1] for text in shown.all_inner_texts()} == {"lab_rumours"}
    first = page.locator(".prompt:visible").first
    assert first.locator("h4").count() == len(synthetic.PERSONAS)
    assert first.locator("section.wrong h4").all_inner_texts()[-1].startswith("warm")
