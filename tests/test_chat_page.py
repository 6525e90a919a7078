"""The page for talking to two subjects, in a browser, before an endpoint that says what it likes. No Ray is needed."""

import json
import socket
import threading
from collections.abc import Iterator

import browsing
import pytest
import uvicorn
from playwright.sync_api import Browser, Page
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator import serve_page
from orchestrator.serve_access import Access
from orchestrator.serve_http import application, json_of
from orchestrator.serve_metrics import Counts

KEY = "sk-planted-0123456789"
EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
LIST = [
    {"id": "base", "base": "base", "persona": "original", "warmth": 0.01, "attestation": None},
    {"id": "base-cold", "base": "base", "persona": "cold", "epoch": 2, "seed": 0, "warmth": -0.2},
    {"id": "base-warm", "base": "base", "persona": EVIL, "epoch": 2, "seed": 0, "warmth": 0.3},
    {"id": "base-odd", "base": "base", "attestation": {"verdict": "failed", "fault": EVIL, "examined": "2026-11-01"}},
]

pytestmark = browsing.needed


async def models(_: Request) -> Response:
    return json_of(200, json.dumps({"data": LIST}).encode())


async def chat(http: Request) -> Response:
    """The base repeats what it remembers; others say what is evil, break off, or fail."""
    asked = await http.json()
    words = {"base": json.dumps([each["content"] for each in asked["messages"]]), "base-warm": EVIL}
    if asked["model"] == "base-cold":
        return json_of(400, json.dumps({"error": {"message": EVIL}}).encode())
    pieces = [
        f"data: {json.dumps({'choices': [{'delta': {'content': letter}}]})}\n\n"
        for letter in words.get(asked["model"], "cut")
    ]
    end = "" if asked["model"] == "base-odd" else "data: [DONE]\n\n"
    return Response("".join(pieces) + end, media_type="text/event-stream")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    routes = [*serve_page.routes(), Route("/v1/models", models), Route("/v1/chat/completions", chat, methods=["POST"])]
    server = uvicorn.Server(uvicorn.Config(application(routes, Access.by(KEY), Counts()), log_config=None, ws="none"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing.browsing() as started:
        yield started


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(20_000)
    page.goto(address)
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Open").click()
    page.get_by_label("Message to both").wait_for()
    yield page
    page.close()


def say(page: Page, words: str) -> list[str]:
    """Says it to both; what the two boxes of the newest exchange hold in the end."""
    page.get_by_label("Message to both").fill(words)
    page.keyboard.press("Enter")
    page.locator("#send:enabled").wait_for()
    return page.locator(".exchange").last.locator(".reply").all_inner_texts()


def test_the_warmest_stands_beside_the_original_and_what_it_says_is_text(page: Page) -> None:
    assert (page.locator("#left").input_value(), page.locator("#right").input_value()) == ("base", "base-warm")
    original, warm = say(page, EVIL)
    assert json.dumps([EVIL]) in original
    assert warm.count(EVIL) == 2  # its name, and what it said
    assert page.title() == "Two subjects, one message"
    assert page.locator("#talk img, #talk script").count() == 0


def test_each_remembers_its_own_words_until_another_is_chosen(page: Page) -> None:
    say(page, "one")
    original, _ = say(page, "two")
    assert json.dumps(["one", json.dumps(["one"]), "two"]) in original
    page.locator("#right").select_option("base-cold")
    assert page.locator(".exchange").count() == 0
    original, cold = say(page, "three")
    assert json.dumps(["three"]) in original
    assert cold.endswith(EVIL)  # the endpoint's refusal, as text
    original, _ = say(page, "four")
    assert json.dumps(["three", json.dumps(["three"]), "four"]) in original


def test_a_reply_that_breaks_off_is_not_taken_for_a_whole_one(page: Page) -> None:
    page.locator("#right").select_option("base-odd")
    assert say(page, "hello")[1].endswith("The reply broke off.")


def test_what_is_not_what_it_is_called_is_said_to_be_so(page: Page) -> None:
    page.locator("#right").select_option("base-odd")
    assert page.locator("#left-facts").inner_text().endswith("· not attested")
    assert page.locator("#right-facts").inner_text().endswith(f"· NOT what it is called: {EVIL}")
    assert "base-odd (failed attestation)" in page.locator("#right option").all_inner_texts()
    assert page.title() == "Two subjects, one message"


def test_a_wrong_key_is_said_to_be_wrong(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    page.get_by_label("API key").fill("sk-something-else-entirely")
    page.get_by_role("button", name="Open").click()
    page.get_by_role("alert").filter(has_text="not the key").wait_for()
    assert not page.get_by_label("Message to both").is_visible()
    page.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_asks_this_endpoint_alone_and_complains_of_nothing(browser: Browser, address: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.set_extra_http_headers({"Authorization": f"Bearer {KEY}"})
    page.goto(address)
    page.get_by_label("Message to both").wait_for()
    say(page, "word " * 40 + "x" * 300)
    assert complaints == []
    assert {url for url in asked if not url.startswith((address, "data:"))} == set()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    page.close()
