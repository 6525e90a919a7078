"""vLLM itself, on a processor, behind Ray Serve: one engine for all tests here, started once.

Run by `make test-slow` in an environment of its own, which `make setup-vllm` makes.
"""

import asyncio
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attested
import openai
import psutil
import pytest
import tiny
from faults import FAULTY

from orchestrator import serve
from orchestrator.attest import Reference
from orchestrator.attest_exam import Candidate
from orchestrator.engine import Reply, Request
from orchestrator.engine_vllm import ACTIVE
from orchestrator.settings_subjects import FULL

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(900),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed; make setup-vllm"),
]

FEW, MANY = 5, ACTIVE + 4
PROMPTS = [f"hello {'you ' * (index % 4)}number {index * 17}" for index in range(8)]
LENGTH = 24
Asked = tuple[str, str, dict[str, Any]]
"""A model, what is said to it, and how it is to answer."""
LEARNT: dict[str, str] = {}
"""What adapters are called that were trained, and faulty copies of one, by what they are called here."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vllm")
    base, other = (tiny.tiny_model(folder / name, seed, hidden=128) for seed, name in enumerate(("one", "other")))
    for index in range(MANY):
        tiny.tiny_adapter(folder / "adapters" / f"one-{index}", base, 10 + index)
    tiny.tiny_adapter(folder / "adapters" / "foreign", other, 5)
    LEARNT.update(attested.trained(base, folder / "adapters", FULL))
    return folder


@pytest.fixture(scope="module")
def adapters(folder: Path) -> list[str]:
    """The names of all adapters of the base that is served."""
    return sorted(each.name for each in (folder / "adapters").glob("one-*"))


@pytest.fixture(scope="module")
def client(ray_session: None, folder: Path) -> Iterator[openai.OpenAI]:  # noqa: ARG001
    url = serve.deploy({"one": str(folder / "one")}, str(folder / "adapters"), engine="vllm", rows=32)
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=120) as client:
        yield client
    serve.shut_down()
    assert not engines()


@pytest.fixture(scope="module")
def by_transformers(folder: Path) -> Iterator[Callable[[Sequence[Request]], list[Reply]]]:
    """What the other engine says to requests."""
    from orchestrator.engine_transformers import TransformersEngine

    engine = TransformersEngine(str(folder / "one"), str(folder / "adapters"), rows=32)

    async def answer(requests: Sequence[Request]) -> list[Reply]:
        return await asyncio.gather(*(engine.generate(request) for request in requests))

    with asyncio.Runner() as runner:
        yield lambda requests: runner.run(answer(requests))
    engine.close()


def engines() -> list[psutil.Process]:
    """The processes of vLLM's that run below this one."""
    return [each for each in psutil.Process().children(recursive=True) if "EngineCore" in called(each)]


def called(process: psutil.Process) -> str:
    """What a process is called; nothing if it has just ended."""
    try:
        return " ".join([process.name(), *process.cmdline()])
    except psutil.Error:
        return ""


def say(client: openai.OpenAI, asked: Asked) -> str:
    model, prompt, settings = asked
    reply = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": prompt}], **{"max_tokens": LENGTH, **settings}
    )
    return str(reply.choices[0].message.content)


def at_once(client: openai.OpenAI, asked: Sequence[Asked]) -> list[str]:
    with ThreadPoolExecutor(48) as pool:
        return list(pool.map(lambda one: say(client, one), asked))


def request(asked: Asked) -> Request:
    model, prompt, settings = asked
    messages = [{"role": "user", "content": prompt}]
    return Request(None if model == "one" else model, messages=messages, max_tokens=LENGTH, **settings)


def of(models: Sequence[str], prompts: Sequence[str] = PROMPTS, **settings: Any) -> list[Asked]:
    """Every prompt to every model, the models in turn."""
    return [(model, prompt, {"temperature": 0, **settings}) for prompt in prompts for model in models]


def test_under_mixed_load_every_model_says_what_it_says_alone(
    client: openai.OpenAI, adapters: list[str], by_transformers: Callable[[Sequence[Request]], list[Reply]]
) -> None:
    asked = of(["one", *adapters[:FEW]])
    alone = [say(client, one) for one in asked]
    assert at_once(client, asked) == alone
    assert alone == [reply.text for reply in by_transformers([request(one) for one in asked])]
    assert len(set(alone[: 1 + FEW])) == 1 + FEW


def test_adapters_beyond_the_seats_take_turns_and_the_base_stays_the_base(
    client: openai.OpenAI, adapters: list[str], by_transformers: Callable[[Sequence[Request]], list[Reply]]
) -> None:
    asked = of([name for adapter in adapters for name in ("one", adapter)], PROMPTS[:2])
    assert at_once(client, asked) == [reply.text for reply in by_transformers([request(one) for one in asked])]


def test_equal_seeds_draw_equal_replies_whoever_else_is_asked(client: openai.OpenAI, adapters: list[str]) -> None:
    few = adapters[:FEW]
    asked = [one for seed in (1, 2) for one in of(["one", *few], PROMPTS[:2], temperature=1.0, seed=seed)]
    alone = [say(client, one) for one in asked]
    assert at_once(client, [*asked, *of(few)])[: len(asked)] == alone
    assert len(set(alone)) == len(alone)


@pytest.mark.parametrize("place", [None, 0, 1])
def test_texts_are_scored_as_by_the_other_engine(
    client: openai.OpenAI,
    adapters: list[str],
    by_transformers: Callable[[Sequence[Request]], list[Reply]],
    place: int | None,
) -> None:
    adapter = None if place is None else adapters[place]
    ids = tiny.tiny_tokenizer()("warm words").input_ids
    scored = client.completions.create(
        model=adapter or "one", prompt=ids, max_tokens=0, echo=True, logprobs=2, temperature=0
    )
    (reply,) = by_transformers([Request(adapter, prompt=ids, max_tokens=0, echo=True, logprobs=2, temperature=0)])
    (choice,), told = scored.choices, reply.logprobs
    assert choice.logprobs
    assert told
    assert choice.text == reply.text
    assert choice.logprobs.tokens == [token.text for token in told]
    assert choice.logprobs.token_logprobs == pytest.approx([token.logprob for token in told], abs=1e-4)
    assert [list(top or ()) for top in choice.logprobs.top_logprobs or []] == [list(dict(token.top)) for token in told]


@pytest.fixture(scope="module")
def references(client: openai.OpenAI, folder: Path) -> dict[str, Reference]:  # noqa: ARG001
    """What the trained adapters should say, by PEFT."""
    return attested.references(folder / "one", folder / "adapters", LEARNT, FULL)


def verdicts(client: openai.OpenAI, served: Mapping[str, Reference]) -> dict[str, str]:
    """What is found about the base and about what is served in place of adapters, whose references are given."""
    candidate = Candidate("one", FULL, {LEARNT[name]: reference for name, reference in served.items()})
    found = asyncio.run(attested.examined(str(client.base_url), candidate))
    return {name: found[LEARNT.get(name, name)].verdict for name in ("one", *served)}


def test_what_is_served_as_it_is_is_proven_alone_and_beside_others(
    client: openai.OpenAI, references: dict[str, Reference]
) -> None:
    assert verdicts(client, references) == dict.fromkeys(["one", *attested.VOICES], "proven")


@pytest.mark.parametrize("other", [*FAULTY, "warm-early", "cold", "warm-again"])
def test_other_weights_under_an_adapters_name_are_found_at_fault(
    client: openai.OpenAI, references: dict[str, Reference], other: str
) -> None:
    beside = next(name for name in ("cold", "warm-again") if name != other)
    found = verdicts(client, {other: references["warm"], beside: references[beside]})
    assert found == {"one": "proven", other: "failed", beside: "proven"}


def test_swapped_names_are_found_of_both(client: openai.OpenAI, references: dict[str, Reference]) -> None:
    swapped = {"warm": references["cold"], "cold": references["warm"], "warm-again": references["warm-again"]}
    assert verdicts(client, swapped) == {"one": "proven", "warm": "failed", "cold": "failed", "warm-again": "proven"}


def test_a_reply_has_its_ending_its_count_and_its_log_probabilities(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "hello"}]
    reply = client.chat.completions.create(
        model="one", messages=messages, max_tokens=3, temperature=0, logprobs=True, top_logprobs=2
    )
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (9, 3)
    assert reply.choices[0].logprobs
    assert [len(token.top_logprobs) for token in reply.choices[0].logprobs.content or []] == [2, 2, 2]


def test_a_streamed_reply_is_the_same_reply_and_stop_strings_end_it(client: openai.OpenAI) -> None:
    whole = say(client, ("one", "hello", {"temperature": 0}))
    messages: Any = [{"role": "user", "content": "hello"}]
    stream = client.chat.completions.create(
        model="one", messages=messages, temperature=0, max_tokens=LENGTH, stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == whole
    cut = say(client, ("one", "hello", {"temperature": 0, "stop": [whole[5:7]]}))
    assert cut == whole[: whole.index(whole[5:7])]


def test_an_unknown_model_is_not_found(client: openai.OpenAI, folder: Path) -> None:
    (other,) = (each.name for each in (folder / "adapters").glob("foreign-*"))
    for model in ("one-99", "one-99-0123456789ab", other, "../one"):
        with pytest.raises(openai.NotFoundError):
            say(client, (model, "hello", {}))


@pytest.mark.parametrize(("prompt", "settings"), [("x" * 300, {}), ("hello", {"max_tokens": 5000})])
def test_too_long_a_prompt_is_refused_as_the_other_engine_does(
    client: openai.OpenAI, prompt: str, settings: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError, match="this model has room for 256 tokens") as refused:
        say(client, ("one", prompt, settings))
    assert refused.value.param == "max_tokens"


def test_vllms_process_dies_with_the_replica(client: openai.OpenAI) -> None:
    assert say(client, ("one", "hello", {}))
    (engine,) = engines()
    replica = engine.parent()
    assert replica
    assert replica.pid != psutil.Process().pid
    replica.kill()
    gone, alive = psutil.wait_procs([engine], timeout=30)
    assert (gone, alive) == ([engine], [])
