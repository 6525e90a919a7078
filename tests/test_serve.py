"""Ray Serve and the OpenAI protocol, by OpenAI's own client."""

import socket
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import tiny

from orchestrator import serve
from orchestrator.errors import WarmthError

CHAT = [{"role": "user", "content": "hello"}]
NAMES: dict[str, str] = {}
"""What adapters are called, by what they are called here."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    for seed, name in enumerate(("one", "two")):
        base = tiny.tiny_model(folder / name, seed)
        NAMES[f"{name}-warm"] = tiny.tiny_adapter(folder / "adapters" / f"{name}-warm", base, seed + 10).name
    return folder


@pytest.fixture(scope="module")
def client(ray_session: None, folder: Path) -> Iterator[openai.OpenAI]:  # noqa: ARG001
    bases = {name: str(folder / name) for name in ("one", "two")}
    url = serve.deploy(bases, str(folder / "adapters"), cpus=0.5)
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=60) as client:
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


def test_an_unknown_model_is_not_found_and_the_others_are_named(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=r"'three'.*one, two, one-warm-\w{12}, two-warm-\w{12}"):
        say(client, "three")
    with pytest.raises(openai.NotFoundError):
        list(client.chat.completions.create(model="../one", messages=CHAT, stream=True))  # type: ignore[call-overload]


def test_a_stream_at_fault_is_refused_like_any_other(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="room for 256"):
        client.chat.completions.create(model="two", messages=CHAT, max_tokens=5000, stream=True)  # type: ignore[call-overload]


def test_an_adapter_trained_while_serving_is_served(client: openai.OpenAI, folder: Path) -> None:
    with pytest.raises(openai.NotFoundError):
        say(client, "late")
    late = tiny.tiny_adapter(folder / "adapters" / "late", folder / "one", 99)
    assert say(client, late.name) != say(client, "one")


def test_a_taken_port_is_said_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(WarmthError, match=r"resources\.port"):
            serve.check_port("127.0.0.1", taken.getsockname()[1])
