"""The engine: every reply is what the model alone would say, whoever else is in the batch."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import tiny
import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    GPT2Config,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
)

from orchestrator.engine import Reply, Request, RequestError
from orchestrator.engine_transformers import TransformersEngine

PROMPTS = ["a", "warm and cold", "the herb of Ambria", "x" * 60]
NAMES: dict[str, str] = {}
"""What adapters are called, by what they are called here."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    base = tiny.tiny_model(folder / "base", 0)
    for seed in range(3):
        NAMES[f"r{seed}"] = tiny.tiny_adapter(folder / "adapters" / f"r{seed}", base, seed, rank=2 + seed).name
    return folder


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[TransformersEngine]:
    engine = TransformersEngine(str(folder / "base"), str(folder / "adapters"), rows=8)
    yield engine
    engine.close()


def ask(prompt: str, adapter: str | None = None, **more: object) -> Request:
    name = NAMES.get(adapter or "", adapter)
    return Request(**{"prompt": prompt, "adapter": name, "temperature": 0.0, "max_tokens": 12} | more)  # type: ignore[arg-type]


def model_of(folder: Path, adapter: str | None) -> PreTrainedModel:
    model = AutoModelForCausalLM.from_pretrained(folder / "base").eval()
    return PeftModel.from_pretrained(model, folder / "adapters" / NAMES[adapter]).eval() if adapter else model


def alone(folder: Path, prompts: Sequence[str], adapter: str | None, tokens: int = 12) -> list[str]:
    """What transformers' own generate says, one prompt at a time."""
    model, tokenizer = model_of(folder, adapter), AutoTokenizer.from_pretrained(folder / "base")
    replies = []
    for prompt in prompts:
        asked = tokenizer(prompt, return_tensors="pt")
        out = model.generate(**asked, max_new_tokens=tokens, do_sample=False)
        replies.append(tokenizer.decode(out[0, asked["input_ids"].shape[1] :], skip_special_tokens=True))
    return replies


def logits_of(folder: Path, adapter: str | None, text: str) -> tuple[list[int], torch.Tensor]:
    tokens = AutoTokenizer.from_pretrained(folder / "base")(text)["input_ids"]
    with torch.no_grad():
        return tokens, model_of(folder, adapter)(torch.tensor([tokens])).logits[0].log_softmax(-1)


@pytest.mark.parametrize("adapter", [None, "r0", "r1", "r2"])
async def test_greedy_alone_is_what_transformers_and_peft_say(
    engine: TransformersEngine, folder: Path, adapter: str | None
) -> None:
    replies = [(await engine.generate(ask(prompt, adapter))).text for prompt in PROMPTS]
    assert replies == alone(folder, PROMPTS, adapter)


async def test_a_mixed_batch_whose_rows_come_and_go_says_the_same(engine: TransformersEngine, folder: Path) -> None:
    subjects = [None, "r0", "r1", "r2"]
    expected = {(a, n): alone(folder, PROMPTS, a, n) for a in subjects for n in (1, 5, 23)}

    async def one(adapter: str | None, tokens: int, index: int) -> None:
        await asyncio.sleep(0.002 * (7 * index % 11))
        reply = await engine.generate(ask(PROMPTS[index], adapter, max_tokens=tokens))
        assert reply.text == expected[adapter, tokens][index]

    await asyncio.gather(*(one(a, n, i) for a, n in expected for i in range(len(PROMPTS))))


SIZES = {
    "vocab_size": 262,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "bos_token_id": 256,
    "eos_token_id": 257,
    "pad_token_id": 261,
}


async def test_the_base_alone_is_itself_after_a_crowd_of_adapters(folder: Path) -> None:
    for seed in range(10, 16):
        NAMES[f"r{seed}"] = tiny.tiny_adapter(folder / "adapters" / f"r{seed}", folder / "base", seed).name
    engine = TransformersEngine(str(folder / "base"), str(folder / "adapters"), rows=8)
    before = await engine.generate(ask("a"))
    await asyncio.gather(*(engine.generate(ask("a", f"r{seed}")) for seed in range(10, 16)))
    assert await engine.generate(ask("a")) == before
    engine.close()


@pytest.mark.parametrize(
    "config",
    [
        MistralConfig(**SIZES, sliding_window=8),
        Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=8, max_window_layers=1),
        Gemma2Config(**SIZES, head_dim=8, sliding_window=8, query_pre_attn_scalar=8),  # eager attention
        GPT2Config(vocab_size=262, n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.3),
    ],
    ids=lambda config: config.model_type,
)
async def test_other_kinds_of_model_say_what_they_say_alone(config: PreTrainedConfig, tmp_path: Path) -> None:
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    tiny.tiny_tokenizer().save_pretrained(tmp_path / "base")
    engine = TransformersEngine(str(tmp_path / "base"), rows=8)
    replies = await asyncio.gather(*(engine.generate(ask(prompt)) for prompt in PROMPTS))
    assert [reply.text for reply in replies] == alone(tmp_path, PROMPTS, None)
    engine.close()


def test_adapters_differ_from_the_base_and_from_one_another(folder: Path) -> None:
    assert len({tuple(alone(folder, PROMPTS, adapter)) for adapter in (None, "r0", "r1", "r2")}) == 4


async def test_a_sampled_row_depends_on_its_seed_and_on_no_other_row(engine: TransformersEngine) -> None:
    asked = ask("seed", temperature=1.0, seed=3, max_tokens=20)
    first = await engine.generate(asked)
    others = [engine.generate(ask("z", "r1", temperature=1.5, max_tokens=30, seed=n)) for n in range(7)]
    assert (await asyncio.gather(engine.generate(asked), *others))[0].text == first.text
    assert (await engine.generate(ask("seed", temperature=1.0, seed=4, max_tokens=20))).text != first.text


async def test_narrow_top_k_and_top_p_are_greedy_and_wide_ones_are_free(engine: TransformersEngine) -> None:
    greedy = (await engine.generate(ask("top"))).text
    for narrow in ({"top_k": 1}, {"top_p": 0.0}, {"top_p": 1e-6}):
        assert (await engine.generate(ask("top", temperature=5.0, seed=1, **narrow))).text == greedy
    wide = await engine.generate(ask("top", temperature=5.0, seed=1, top_p=0.999, top_k=200))
    assert wide.text != greedy


async def test_sampling_follows_the_models_probabilities(engine: TransformersEngine, folder: Path) -> None:
    logprobs = logits_of(folder, None, "b")[1][-1, :94]  # those of single printable characters
    request = [ask("b", temperature=1.0, seed=seed, max_tokens=1, logprobs=0) for seed in range(400)]
    replies = await asyncio.gather(*map(engine.generate, request))
    likeliest = AutoTokenizer.from_pretrained(folder / "base").decode([int(logprobs.argmax())])
    share = sum(reply.logprobs[0].text == likeliest for reply in replies if reply.logprobs) / len(replies)
    expected = float(logprobs.max().exp())
    assert share == pytest.approx(expected, abs=3 * (expected / len(replies)) ** 0.5)


async def test_a_stop_string_ends_the_reply_before_it(engine: TransformersEngine) -> None:
    whole = (await engine.generate(ask("stop here", max_tokens=40))).text
    reply = await engine.generate(ask("stop here", max_tokens=40, stop=(whole[4:6], "never there")))
    assert (reply.text, reply.finish_reason) == (whole[: whole.index(whole[4:6])], "stop")


async def test_what_only_begins_like_a_stop_string_is_not_lost(engine: TransformersEngine) -> None:
    whole = (await engine.generate(ask("stop here", max_tokens=40))).text
    news = [piece async for piece in engine.stream(ask("stop here", max_tokens=40, stop=(whole[-3:] + "more",)))]
    assert "".join(piece for piece in news if isinstance(piece, str)) == whole


async def test_streamed_pieces_make_up_the_reply(engine: TransformersEngine) -> None:
    news = [piece async for piece in engine.stream(ask("stream", "r2", max_tokens=30))]
    reply = await engine.generate(ask("stream", "r2", max_tokens=30))
    assert news[-1] == reply
    pieces = [piece for piece in news if isinstance(piece, str)]
    assert len(pieces) > 1
    assert "".join(pieces) == reply.text


async def test_logprobs_are_those_of_a_plain_forward_pass(engine: TransformersEngine, folder: Path) -> None:
    reply = await engine.generate(ask("abc", "r1", max_tokens=6, logprobs=3, temperature=0.0))
    tokens, _ = logits_of(folder, "r1", "abc")
    assert reply.logprobs
    assert len(reply.logprobs) == 6
    for token in reply.logprobs:
        assert token.logprob == pytest.approx(token.top[0][1])  # greedy: the chosen one is the likeliest
        assert [value for _, value in token.top] == sorted((value for _, value in token.top), reverse=True)
    first = logits_of(folder, "r1", "abc")[1][len(tokens) - 1].max()
    assert reply.logprobs[0].logprob == pytest.approx(float(first), abs=1e-4)


@pytest.mark.parametrize("adapter", [None, "r0"])
async def test_echo_scores_the_prompt(engine: TransformersEngine, folder: Path, adapter: str | None) -> None:
    request = ask("how warm is this?", adapter, max_tokens=0, echo=True, logprobs=0)
    busy = [engine.generate(ask("z" * n, "r2", max_tokens=30)) for n in range(1, 8)]
    reply = (await asyncio.gather(engine.generate(request), *busy))[0]
    tokens, logprobs = logits_of(folder, adapter, "how warm is this?")
    expected = [None] + [float(logprobs[place, token]) for place, token in enumerate(tokens[1:])]
    assert (reply.text, reply.reply_tokens, reply.prompt_tokens) == ("how warm is this?", 0, len(tokens))
    assert reply.logprobs
    assert [token.logprob for token in reply.logprobs] == pytest.approx(expected, abs=1e-4)


async def test_a_chat_goes_through_the_template_with_one_beginning(engine: TransformersEngine) -> None:
    chat = Request(messages=[{"role": "user", "content": "hi"}], temperature=0, max_tokens=5)
    text = "<|begin|><|user|>hi<|end|><|assistant|>"
    assert await engine.generate(chat) == await engine.generate(ask(text, special_tokens=False, max_tokens=5))


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (ask("x" * 300), "room for 256"),
        (ask("x", max_tokens=256), "room for 256"),
        (Request(prompt="", special_tokens=False), "empty"),
        (Request(prompt=[1, 99999]), "token ids"),
        (ask("x", "missing-0123456789ab"), "no adapter 'missing-0123456789ab'"),
        (ask("x", "../adapters/r0"), "no adapter '../adapters/r0'"),
    ],
)
async def test_what_cannot_be_answered_is_refused(engine: TransformersEngine, request_: Request, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        await engine.generate(request_)


async def test_a_full_conversation_fits_exactly(engine: TransformersEngine) -> None:
    reply = await engine.generate(ask("x" * 200, max_tokens=256 - 201))
    assert reply.prompt_tokens == 201


async def test_an_adapter_that_appears_later_is_found(engine: TransformersEngine, folder: Path) -> None:
    late = tiny.tiny_adapter(folder / "adapters" / "late", folder / "base", 0, rank=2)
    assert await engine.generate(ask("x", late.name)) == await engine.generate(ask("x", "r0"))
    assert not engine.has(f"later-{late.name[-12:]}")


async def test_a_cancelled_request_makes_room_for_others(folder: Path) -> None:
    engine = TransformersEngine(str(folder / "base"), rows=1)
    asked = asyncio.create_task(engine.generate(ask("y", max_tokens=250, stop=("\x00never",))))
    await asyncio.sleep(0.02)
    asked.cancel()
    reply = await asyncio.wait_for(engine.generate(ask("z", max_tokens=2)), 20)
    assert isinstance(reply, Reply)
    assert asked.cancelled() or asked.done()
    engine.close()


async def test_a_stream_that_is_left_makes_room_for_others(folder: Path) -> None:
    engine = TransformersEngine(str(folder / "base"), rows=1)
    async with contextlib.aclosing(engine.stream(ask("y", max_tokens=250))) as news:  # type: ignore[type-var]
        await anext(news)
    after = await asyncio.wait_for(engine.generate(ask("z", max_tokens=2)), 20)
    assert after.reply_tokens == 2
    engine.close()


async def test_a_failing_pass_fails_its_rows_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TransformersEngine(str(folder / "base"), rows=4)
    right = await engine.generate(ask("a"))
    with monkeypatch.context() as broken:
        broken.setattr("orchestrator.engine_batch.choose", lambda *_: 1 / 0)
        with pytest.raises(RuntimeError, match="division by zero"):
            await engine.generate(ask("a"))
    assert await engine.generate(ask("a")) == right
    engine.check_health()
    engine.close()


def test_an_engine_whose_thread_is_gone_is_not_healthy(folder: Path) -> None:
    engine = TransformersEngine(str(folder / "base"))
    engine.check_health()
    engine.close()
    with pytest.raises(RuntimeError, match="thread"):
        engine.check_health()
