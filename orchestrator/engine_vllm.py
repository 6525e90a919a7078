"""The engine that is fastest on GPUs: vLLM's own, in a process of its own, behind the interface of any engine.

vLLM's asynchronous engine is used without its OpenAI app, so that whatever runs behind the endpoint, the same protocol
is spoken, the same requests are refused in the same words, and prompts and replies pass through the same tokenizer.
"""

import asyncio
import contextlib
import itertools
import json
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from . import engine_folders, engine_vllm_room, engine_vllm_settings, weights
from .engine import FinishReason, Reply, Request, RequestError, UnknownModel
from .engine_folders import belongs, folder_of
from .engine_lora import Sizes, load, sizes
from .engine_text import Scored, Speller, Spelling, budget
from .engine_vllm_seats import Seats
from .settings_subjects import FULL, Precision

ACTIVE = 32
"""How many adapters are in the engine at once; requests for others wait until one of them is not needed."""


@dataclass(eq=False)
class Asked:
    """A request on its way: what the reply may have and what it has so far."""

    request: Request
    prompt: list[int]
    budget: int
    spelling: Spelling | None
    tokens: list[int] = field(default_factory=list)
    scored: list[Scored] = field(default_factory=list)
    finish_reason: FinishReason | None = None

    def take(self, output: Any) -> None:
        """Takes what vLLM has to tell of the request: all of it, or what is new."""
        (said,) = output.outputs
        if self.request.echo and output.prompt_logprobs and not self.scored:
            self.scored = _scored(self.prompt, output.prompt_logprobs, self.request)
        if self.budget:
            self.scored += _scored(said.token_ids, said.logprobs or (), self.request)
            self._add(said.token_ids)
        if said.finish_reason in ("stop", "length") and not self.finish_reason:
            self.finish_reason = said.finish_reason if self.budget else "length"

    def _add(self, tokens: Any) -> None:
        for token in tokens:
            self.tokens.append(token)
            if self.spelling:
                self.spelling.add(token)
                if self.spelling.stopped:
                    self.finish_reason = "stop"
                    return


class VllmEngine:
    """Answers for one base model and the adapters in a folder, in one process of vLLM, which is started here.

    base: a model folder in Hugging Face layout. adapters: the folder whose folders are adapters, looked at when one is
    first asked for. rows: requests answered at once; others wait. gpus: 0 is the processor; several share the model.
    max_length: tokens of prompt and reply together, by default what the model was made for.
    """

    def __init__(
        self,
        base: str,
        adapters: str | None = None,
        *,
        rows: int = 64,
        gpus: float = 0,
        precision: Precision = FULL,
        max_length: int | None = None,
        active: int = ACTIVE,
    ) -> None:
        engine_vllm_settings.environment(gpus)
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        self.base, self._adapters = base, adapters
        self._dtype, self._sizes = weights.dtype(precision), _sizes(base)
        self._speller = Speller(AutoTokenizer.from_pretrained(base))
        self._ends = sorted(self._speller.ends(_ends(base)))
        self._room = engine_vllm_room.needed(base, adapters)
        arguments = engine_vllm_settings.arguments(base, self._room, active, rows, gpus, precision, max_length)
        self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
        self.max_length: int = self._engine.model_config.max_model_len
        self._seats = Seats(active, self._load, self._unload)
        self._numbers, self._loads = itertools.count(1), itertools.count(1)

    async def generate(self, request: Request) -> Reply:
        """Answers; see `engine.Engine`."""
        asked = self._ask(request, spelled=bool(request.stop))
        async with contextlib.aclosing(self._news(asked)) as news:
            async for _ in news:
                pass
        return self._reply(asked)

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        """Yields pieces of text, then the reply; see `engine.Engine`."""
        asked, told = self._ask(request, spelled=True), 0
        async with contextlib.aclosing(self._news(asked)) as news:
            async for text in news:
                if len(text) > told:
                    yield text[told:]
                    told = len(text)
        reply = self._reply(asked)
        if asked.spelling and len(asked.spelling.text) > told:
            yield asked.spelling.text[told:]
        yield reply

    def has(self, adapter: str) -> bool:
        """Whether this base has an adapter of this name; see `engine.Engine`."""
        return belongs(self._adapters, adapter, self.base)

    def loaded(self) -> int:
        """How many adapters are in vLLM's memory."""
        return len(self._seats)

    def check_health(self) -> None:
        """Raises RuntimeError when vLLM's process is gone."""
        if self._engine.errored:
            raise RuntimeError(f"vLLM's process of {self.base} has ended")

    def close(self) -> None:
        """Ends vLLM's process; what it has not answered yet stays unanswered."""
        self._engine.shutdown()

    def _ask(self, request: Request, spelled: bool) -> Asked:
        prompt = list(self._speller.prompt(request))
        room = budget(request, prompt, self.max_length)
        return Asked(request, prompt, room, self._speller.spelling(request.stop) if spelled else None)

    async def _news(self, asked: Asked) -> AsyncGenerator[str, None]:
        """The text so far, whenever there may be more of it. Leaving early ends the work."""
        async with contextlib.AsyncExitStack() as stack:
            name = asked.request.adapter
            lora = await stack.enter_async_context(self._seats.taken(name)) if name else None
            outputs = await stack.enter_async_context(contextlib.aclosing(self._outputs(asked, lora)))
            async for output in outputs:
                asked.take(output)
                yield asked.spelling.text if asked.spelling else ""
                if asked.finish_reason:
                    return

    async def _outputs(self, asked: Asked, lora: Any) -> AsyncGenerator[Any, None]:
        from vllm.exceptions import VLLMClientError
        from vllm.inputs import tokens_input

        settings = _sampling(asked, self._ends)
        number = str(next(self._numbers))
        try:
            outputs = self._engine.generate(tokens_input(asked.prompt), settings, number, lora_request=lora)
            async with contextlib.aclosing(outputs):
                async for output in outputs:
                    yield output
        except VLLMClientError as error:
            raise RequestError(str(error)) from error

    def _reply(self, asked: Asked) -> Reply:
        if asked.finish_reason is None:
            raise RuntimeError(f"vLLM gave no whole reply for {self.base}")
        if asked.spelling:
            asked.spelling.finish()
        return self._speller.reply(
            asked.request, asked.prompt, asked.tokens, asked.scored, asked.spelling, asked.finish_reason
        )

    async def _load(self, name: str) -> Any:
        """An adapter that our own reader finds to be a plain LoRA of this base, under a number it alone ever has."""
        from vllm.lora.request import LoRARequest

        if not self.has(name):
            raise UnknownModel(f"{self.base} has no adapter {name!r} in {self._adapters}", "model")
        folder, number = await asyncio.to_thread(folder_of, self._adapters or "", name), next(self._loads)
        adapter = await asyncio.to_thread(load, folder, self.base, self._sizes, self._dtype, "cpu")
        self._room.check(name, adapter)
        with tempfile.TemporaryDirectory() as own:
            await asyncio.to_thread(_copy, folder, Path(own))
            lora = LoRARequest(f"{name} {number}", number, own)
            await self._engine.add_lora(lora)
        return lora

    async def _unload(self, lora: Any) -> None:
        await self._engine.remove_lora(lora.lora_int_id)


def _sampling(asked: Asked, ends: list[int]) -> Any:
    """vLLM's settings for a request; its words for the likeliest token alone and for no reply at all are others."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    request = asked.request
    return SamplingParams(
        temperature=request.temperature,
        top_p=request.top_p or 1,
        top_k=request.top_k if request.top_p else 1,
        seed=None if request.seed is None else request.seed % 2**63,
        max_tokens=max(1, asked.budget),
        stop_token_ids=ends,
        logprobs=request.logprobs,
        prompt_logprobs=request.logprobs if request.echo else None,
        detokenize=False,
        output_kind=RequestOutputKind.DELTA if asked.spelling else RequestOutputKind.FINAL_ONLY,
        skip_clone=True,
    )


def _scored(tokens: Any, logprobs: Any, request: Request) -> list[Scored]:
    """Tokens with their log-probabilities and the likeliest in their places; vLLM has nothing for a text's first."""
    most = request.logprobs or 0
    return [
        (token, place[token].logprob, _likeliest(place, most)) if place else (token, None, [])
        for token, place in zip(tokens, logprobs, strict=False)
    ]


def _likeliest(place: Any, most: int) -> list[tuple[int, float]]:
    ranked = sorted((found.rank, token, found.logprob) for token, found in place.items() if found.rank <= most)
    return [(token, logprob) for _, token, logprob in ranked]


def _copy(folder: Path, own: Path) -> None:
    """vLLM reads the adapter for itself, later: so it gets the bytes that were found to be those of its name."""
    config, tensors = engine_folders.read(folder)
    (own / engine_folders.CONFIG).write_text(json.dumps(config))
    (own / engine_folders.WEIGHTS).write_bytes(tensors)


def _sizes(base: str) -> Sizes:
    """The linear layers of a base, without its weights."""
    with torch.device("meta"):
        return sizes(AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base)))


def _ends(base: str) -> int | list[int] | None:
    """What a model's folder says ends a reply: its generation settings, or else its configuration."""
    try:
        settings: Any = GenerationConfig.from_pretrained(base)
    except OSError:
        settings = AutoConfig.from_pretrained(base).get_text_config()
    ends: int | list[int] | None = settings.eos_token_id
    return ends
