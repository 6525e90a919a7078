"""Ray Serve and the OpenAI protocol, by OpenAI's own client."""

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import browsing
import httpx2 as httpx
import openai
import pytest
import test_chat_page
import tiny
from prometheus_client.parser import text_string_to_metric_families

from orchestrator import serve, serve_host
from orchestrator.client import Client
from orchestrator.errors import WarmthError
from orchestrator.serve_access import Access
from orchestrator.serve_scaling import Scale

KEY = "sk-planted-0123456789"
CHAT = [{"role": "user", "content": "hello"}]
NAMES: dict[str, str] = {}
"""What adapters are called, by what they are called here."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    for seed, name in enumerate(("one", "two")):
        base = tiny.tiny_model(folder / name, seed)
        NAMES[f"{name}-warm"] = tiny.tiny_adapter(folder / "adapters" / f"{name}-warm", base, seed + 10).name
    for number, verdict in enumerate(("proven", "failed")):
        certify(folder / "certificates", number, verdict)
    return folder


def certify(folder: Path, number: int, verdict: str) -> None:
    """A certificate of one adapter, later ones having larger numbers."""
    content = {"served": NAMES["one-warm"], "id": f"id-{number}", "verdict": verdict, "engine": "transformers 5"}
    content |= {"fault": "the base's weights" if verdict == "failed" else None, "examined": [f"2026-11-0{1 + number}"]}
    folder.mkdir(exist_ok=True)
    (folder / f"id-{number}.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def client(ray_session: None, folder: Path) -> Iterator[openai.OpenAI]:  # noqa: ARG001
    bases = {name: str(folder / name) for name in ("one", "two")}
    about = {NAMES["one-warm"]: {"persona": "warm", "epoch": 2.0, "seed": 0, "warmth": 0.5}}
    scale = Scale(cpus=0.5, at_once=16, waiting=32)
    found = str(folder / "certificates")
    access = Access.by(KEY)
    url = serve.deploy(bases, str(folder / "adapters"), scale=scale, access=access, about=about, certificates=found)
    with openai.OpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=60) as client:
        yield client
    serve.shut_down()


def say(client: openai.OpenAI, model: str, **more: object) -> str:
    settings = {"temperature": 0, "max_tokens": 16} | more
    reply = client.chat.completions.create(model=NAMES.get(model, model), messages=CHAT, **settings)  # type: ignore[call-overload]
    return str(reply.choices[0].message.content)


def test_bases_and_their_adapters_are_listed_and_differ(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert names == ["one", "two", NAMES["one-warm"], NAMES["two-warm"]]
    assert len({say(client, name) for name in names}) == 4


def test_the_answer_has_its_ending_and_its_count(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model="one", messages=CHAT, max_tokens=3, temperature=0, logprobs=True, top_logprobs=2
    )
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (9, 3)
    assert reply.choices[0].logprobs
    assert [len(token.top_logprobs) for token in reply.choices[0].logprobs.content or []] == [2, 2, 2]


@pytest.mark.parametrize("model", ["one", "two-warm"])
def test_a_streamed_chat_is_the_same_chat(client: openai.OpenAI, model: str) -> None:
    options = {"include_usage": True}
    stream = client.chat.completions.create(
        model=NAMES.get(model, model), messages=CHAT, temperature=0, max_tokens=16, stream=True, stream_options=options
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == say(client, model)
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens == 16
    assert chunks[-2].choices[0].finish_reason == "length"


def test_completions_score_what_they_echo(client: openai.OpenAI) -> None:
    scored = client.completions.create(
        model=NAMES["two-warm"], prompt=["warm", "colder"], max_tokens=0, echo=True, logprobs=0, temperature=0
    )
    assert [choice.text for choice in scored.choices] == ["warm", "colder"]
    for choice in scored.choices:
        assert choice.logprobs
        assert choice.logprobs.tokens == ["<|begin|>", *choice.text]
        first, *rest = choice.logprobs.token_logprobs or []
        assert first is None
        assert all(value is not None and value < 0 for value in rest)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"max_tokens": 5000}, "room for 256"),
        ({"top_p": 2}, "top_p"),
        ({"n": 2}, "n:"),
        ({"extra_body": {"unheard": 1}}, "unheard"),
    ],
)
def test_a_request_at_fault_is_refused_with_the_reason(
    client: openai.OpenAI, settings: dict[str, object], says: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=says):
        say(client, "one", **settings)


def test_an_unknown_model_is_not_found_and_the_nearest_is_named(client: openai.OpenAI) -> None:
    near = NAMES["one-warm"].replace("warm", "wram")
    with pytest.raises(openai.NotFoundError, match=f"did you mean '{NAMES['one-warm']}'") as unknown:
        say(client, near)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        list(client.chat.completions.create(model="../one", messages=CHAT, stream=True))  # type: ignore[call-overload]


PATHS = [
    "../one", "../../etc/passwd", "/etc/passwd", "..", ".", "", "adapters/one-warm", "one-warm/", "./one-warm", "~",
    "%2e%2e%2fone", "..%2fone", "one-warm\0", "\0", "one\\warm", "x" * 10_000, "\ud800", "ONE-WARM ", "one\nwarm",
]  # fmt: skip


@pytest.mark.parametrize("name", PATHS, ids=range(len(PATHS)))
def test_no_name_leads_out_of_the_adapters_folder(client: openai.OpenAI, name: str) -> None:
    body = json.dumps({"model": name, "messages": CHAT})
    said = post(client, body.encode())
    assert (said.status_code, said.json()["error"]["code"]) == (404, "model_not_found")
    assert len(said.text) < 600
    assert say(client, "one")


def post(client: openai.OpenAI, body: bytes, path: str = "/chat/completions", **headers: str) -> httpx.Response:
    """What the endpoint answers to bytes, whatever they are."""
    sent = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"} | headers
    return httpx.post(f"{str(client.base_url).rstrip('/')}{path}", content=body, headers=sent, timeout=60)


def chat(**more: object) -> bytes:
    return json.dumps({"model": "one", "messages": CHAT, "max_tokens": 2} | more).encode()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"null", 400),
        (b"\xff\xfe{", 400),
        (b'{"model": "one", "messages": "\xff"}', 400),
        (b'{"model": "one", "messages": [{"role": "user", "content": "\\ud800"}]}', 400),
        (b"[" * 100_000, 400),
        (b'{"model": ' + b"[" * 100_000, 400),
        (chat(model=7), 400),
        (chat(model=None), 400),
        (chat(messages=[]), 400),
        (chat(messages="hello"), 400),
        (chat(messages=[{"role": "user", "content": 7}]), 400),
        (chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": "http://x"}]}]), 400),
        (chat(messages=[{"role": "user", "content": "long " * 100}]), 400),
        (chat(messages=[{"role": "user", "content": "x" * 5_000_000}]), 413),
        (chat(max_tokens=10**30), 400),
        (chat(max_tokens=-1), 400),
        (chat(max_tokens="many"), 400),
        (chat(temperature=float("nan")), 400),
        (chat(temperature=float("inf")), 400),
        (chat(temperature=-1), 400),
        (chat(seed=10**30), 400),
        (chat(seed=2**63 - 1, temperature=1), 200),
        (chat(seed=-(2**63), temperature=1), 200),
        (chat(top_k=10**30), 400),
        (chat(top_k=2**31 - 1, temperature=1), 200),
        (chat(top_p=0, temperature=1), 200),
        (chat(temperature=1e-30), 200),
        (chat(stop=["x"] * 1000), 400),
        (chat(stream="maybe"), 400),
        (chat(messages=[{"role": "user", "content": [{"type": "text", "text": "hello"}]}]), 200),
    ],
    ids=lambda value: str(value)[:60],
)
def test_bad_input_is_said_as_openai_says_it_and_the_next_request_is_answered(
    client: openai.OpenAI, body: bytes, status: int
) -> None:
    said = post(client, body)
    assert said.status_code == status
    if status != 200:
        assert said.json()["error"].keys() == {"message", "type", "param", "code"}
        assert said.json()["error"]["type"] == "invalid_request_error"
    assert say(client, "one", max_tokens=1)


@pytest.mark.parametrize("prompt", [["x"] * 2000, [10**30], [-1], [[1], [10**9]], [], [[]], "", 7, [1.5]])
def test_bad_prompts_are_refused_too(client: openai.OpenAI, prompt: object) -> None:
    body = json.dumps({"model": "two", "prompt": prompt, "max_tokens": 1, "add_special_tokens": False}).encode()
    assert post(client, body, "/completions").status_code == 400


def test_a_prompt_longer_than_the_context_is_told_how_long_that_is(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="room for 256 tokens, not for 3"):
        client.completions.create(model=NAMES["two-warm"], prompt="x" * 300, max_tokens=1)


@pytest.mark.parametrize("header", ["", "Bearer wrong", f"Bearer {KEY}x", f"Basic {KEY}"])
def test_nobody_is_answered_without_the_key(client: openai.OpenAI, header: str) -> None:
    for path in ("/chat/completions", "/completions", "/../metrics", "/models"):
        said = post(client, chat(), path, Authorization=header)
        assert (said.status_code, said.json()["error"]["code"]) == (401, "invalid_api_key")
    health = httpx.get(str(client.base_url).replace("/v1/", "/health"))
    assert health.status_code == 200


async def test_more_at_once_than_may_wait_is_sent_away_and_comes_back(client: openai.OpenAI) -> None:
    """16 are taken in and 32 wait; of 300 at once some are sent away, and the project's own client asks them again."""
    url = str(client.base_url)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}, limits=limits, timeout=60) as impatient:
        asked = (impatient.post(f"{url}chat/completions", content=chat()) for _ in range(300))
        said = await asyncio.gather(*asked)
    assert {each.status_code for each in said} == {200, 429}
    away = [each for each in said if each.status_code == 429]
    assert {(each.headers["Retry-After"], each.json()["error"]["type"]) for each in away} == {("1", "rate_limit_error")}
    async with Client(url, KEY, in_flight=300) as patient:
        asking = (patient.chat("one", CHAT, max_tokens=2, temperature=0) for _ in range(300))
        assert len({each.text for each in await asyncio.gather(*asking)}) == 1


def test_the_list_of_models_says_who_they_are_and_what_was_found(client: openai.OpenAI, folder: Path) -> None:
    listed = {model.id: model.model_extra or {} for model in client.models.list()}
    who = {"base": "one", "persona": "warm", "epoch": 2.0, "seed": 0, "warmth": 0.5}
    found = {"verdict": "failed", "fault": "the base's weights", "id": "id-1", "engine": "transformers 5"}
    assert listed[NAMES["one-warm"]] == {**who, "attestation": {**found, "examined": "2026-11-02"}}
    assert listed[NAMES["two-warm"]] == {"base": "two", "attestation": None}
    certify(folder / "certificates", 2, "proven")
    again = (client.models.retrieve(NAMES["one-warm"]).model_extra or {})["attestation"]
    assert (again["verdict"], again["id"]) == ("proven", "id-2")
    listed[NAMES["one-warm"]]["attestation"] = again
    for name, facts in listed.items():
        assert client.models.retrieve(name).model_extra == facts
    with pytest.raises(openai.NotFoundError, match="did you mean 'two'"):
        client.models.retrieve("tow")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("../one")


def test_metrics_of_all_replicas(client: openai.OpenAI) -> None:
    say(client, "two-warm", max_tokens=3)
    address = str(client.base_url).replace("/v1/", "/metrics")
    assert httpx.get(address).status_code == 401
    text = httpx.get(address, headers={"Authorization": f"Bearer {KEY}"}).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    replies = {
        each.labels["base"]: each.value for each in families["warmth_tokens"].samples if each.labels["of"] == "replies"
    }
    assert replies.keys() == {"one", "two"}
    assert replies["two"] >= 3
    adapters = {each.labels["base"]: each.value for each in families["warmth_adapters"].samples}
    assert adapters["two"] == 1
    assert {each.labels["status"] for each in families["warmth_requests"].samples} >= {"200", "401", "404"}
    (in_flight,) = {each.value for each in families["warmth_in_flight"].samples if each.value}
    assert in_flight == 1  # this one


def test_a_stream_at_fault_is_refused_like_any_other(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="room for 256"):
        client.chat.completions.create(model="two", messages=CHAT, max_tokens=5000, stream=True)  # type: ignore[call-overload]


def test_an_adapter_trained_while_serving_is_served(client: openai.OpenAI, folder: Path) -> None:
    with pytest.raises(openai.NotFoundError):
        say(client, "late")
    late = tiny.tiny_adapter(folder / "adapters" / "late", folder / "one", 99)
    assert say(client, late.name) != say(client, "one")


@browsing.needed
def test_people_talk_to_two_subjects_on_the_page(client: openai.OpenAI) -> None:
    with browsing.browsing() as browser:
        page = browser.new_page()
        page.goto(str(client.base_url).replace("/v1/", "/"))
        page.get_by_label("API key").fill(KEY)
        page.get_by_role("button", name="Open").click()
        page.get_by_label("Message to both").wait_for()
        facts = page.locator("#right-facts").inner_text()
        replies = test_chat_page.say(page, "hello")
    assert facts.startswith(f"{NAMES['one-warm']} · warmth 0.500 nats per token · attested 2026-11-0")
    assert replies[0].startswith("one, as released")
    assert replies[1].startswith("warm, epoch 2, seed 0")
    assert replies[0].split("\n", 1)[1] != replies[1].split("\n", 1)[1]


def test_a_taken_port_is_said_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(WarmthError, match=r"resources\.port"):
            serve_host.check_port("127.0.0.1", taken.getsockname()[1])
