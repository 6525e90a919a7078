"""The engine that runs anywhere transformers does: one resident base model, its adapters, one decoding thread."""

import asyncio
import queue
import sys
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedModel

from . import weights
from .engine import Reply, Request, UnknownModel
from .engine_batch import Batch, Row
from .engine_folders import belongs, folder_of
from .engine_lora import Adapter, load, sizes
from .engine_sampling import Dice
from .engine_text import Speller, budget
from .settings_subjects import FULL, Precision

ADAPTERS_KEPT = 64
"""How many adapters' weights stay in memory; the least recently used leave first and are read again when wanted."""
SWITCH_S = 0.0005
"""How long one thread of this process may keep the interpreter from another. The decoding thread gives it away at every
product of matrices, and would wait Python's 5 ms to have it back whenever requests are read or answered meanwhile."""


@dataclass(eq=False)
class Asked:
    """A row, and the asyncio loop that waits for it: `news` gets text pieces if streaming, then the row itself."""

    row: Row
    streaming: bool
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    news: "asyncio.Queue[str | Row]" = field(default_factory=asyncio.Queue)
    told: int = 0


class TransformersEngine:
    """Answers for one base model and the adapters in a folder, many requests in one batch.

    base: a model folder in Hugging Face layout. adapters: the folder whose folders are adapters, looked at when one is
    first asked for. rows: the most requests in the batch; others wait. max_length: tokens of prompt and reply together,
    at most and by default what the model was made for; the cache grows to rows x the longest conversation so far.
    """

    def __init__(
        self,
        base: str,
        adapters: str | None = None,
        *,
        rows: int = 64,
        device: str = "cpu",
        precision: Precision = FULL,
        max_length: int | None = None,
    ) -> None:
        sys.setswitchinterval(SWITCH_S)
        self.base, self._adapters, self._device = base, adapters, device
        self._speller = Speller(AutoTokenizer.from_pretrained(base, trust_remote_code=False))
        model: PreTrainedModel = weights.load(base, precision, device).eval()
        self._dtype, self._sizes = weights.dtype(precision), sizes(model)
        self.max_length = min(max_length or 1 << 30, model.config.get_text_config().max_position_embeddings)
        self._loaded: OrderedDict[str, Adapter] = OrderedDict()
        self._loading = asyncio.Lock()
        self._asked: queue.SimpleQueue[Asked | None] = queue.SimpleQueue()
        config: Any = model.generation_config
        ends = self._speller.ends(config.eos_token_id if config else None)
        batch = Batch(model, rows, self.max_length, ends)
        self._thread = threading.Thread(target=_decode, args=(batch, self._asked), name=f"decode {base}", daemon=True)
        self._thread.start()

    async def generate(self, request: Request) -> Reply:
        """Answers; see `engine.Engine`."""
        asked = await self._ask(request, streaming=False)
        try:
            row = await asked.news.get()
        finally:
            asked.row.cancelled = True
        assert isinstance(row, Row)
        return self._reply(row)

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        """Yields pieces of text, then the reply; see `engine.Engine`."""
        asked = await self._ask(request, streaming=True)
        try:
            while isinstance(news := await asked.news.get(), str):
                yield news
        finally:
            asked.row.cancelled = True
        yield self._reply(news)

    def has(self, adapter: str) -> bool:
        """Whether this base has an adapter of this name; see `engine.Engine`."""
        return belongs(self._adapters, adapter, self.base)

    def loaded(self) -> int:
        """How many adapters are in memory."""
        return len(self._loaded)

    def check_health(self) -> None:
        """Raises RuntimeError when the decoding thread is gone."""
        if not self._thread.is_alive():
            raise RuntimeError(f"the decoding thread of {self.base} has ended")

    def close(self) -> None:
        """Ends the decoding thread; what it has not answered yet stays unanswered."""
        self._asked.put(None)
        self._thread.join()

    async def _ask(self, request: Request, streaming: bool) -> Asked:
        asked = Asked(await self._row(request, streaming), streaming)
        self.check_health()
        self._asked.put(asked)
        return asked

    async def _row(self, request: Request, streaming: bool) -> Row:
        adapter = await self._adapter(request.adapter) if request.adapter else None
        prompt = self._speller.prompt(request)
        room = budget(request, prompt, self.max_length)
        dice = Dice(request.seed, self._device) if request.temperature > 0 else None
        spelling = self._speller.spelling(request.stop) if streaming or request.stop else None
        return Row(request, prompt, room, dice, adapter, spelling)

    async def _adapter(self, name: str) -> Adapter:
        """The adapter of this name, read from its folder unless it is at hand."""
        async with self._loading:
            if name not in self._loaded:
                if not self.has(name):
                    raise UnknownModel(f"{self.base} has no adapter {name!r} in {self._adapters}", "model")
                folder = await asyncio.to_thread(folder_of, self._adapters or "", name)
                how = (self.base, self._sizes, self._dtype, self._device)
                self._loaded[name] = await asyncio.to_thread(load, folder, *how)
            self._loaded.move_to_end(name)
            while len(self._loaded) > ADAPTERS_KEPT:
                self._loaded.popitem(last=False)
            return self._loaded[name]

    def _reply(self, row: Row) -> Reply:
        if row.error:
            raise RuntimeError(f"the engine failed: {row.error}") from row.error
        assert row.finish_reason
        return self._speller.reply(row.request, row.prompt, row.tokens, row.scored, row.spelling, row.finish_reason)


def _decode(batch: Batch, asked: "queue.SimpleQueue[Asked | None]") -> None:
    """The decoding thread: newcomers join, every live row gains a token, and whoever waits is told."""
    live: list[Asked] = []
    with torch.inference_mode():
        while (newcomers := _waiting(asked, batch.free, idle=not live)) is not None:
            batch.join([one.row for one in newcomers])
            batch.step()
            live = _tell([*live, *newcomers])


def _waiting(asked: "queue.SimpleQueue[Asked | None]", most: int, idle: bool) -> list[Asked] | None:
    """Up to `most` requests that wait, in order of arrival; None when the engine is closed. Sleeps only when idle."""
    newcomers: list[Asked] = []
    while len(newcomers) < most:
        try:
            one = asked.get(block=idle and not newcomers)
        except queue.Empty:
            break
        if one is None:
            return None
        newcomers.append(one)
    return newcomers


def _tell(everyone: Sequence[Asked]) -> list[Asked]:
    """Tells each loop, all at once, what is new with its rows; returns those that go on."""
    calls: dict[asyncio.AbstractEventLoop, list[Callable[[], None]]] = {}
    for one in everyone:
        news = calls.setdefault(one.loop, [])
        if one.streaming and one.row.spelling and len(one.row.spelling.text) > one.told:
            news.append(partial(one.news.put_nowait, one.row.spelling.text[one.told :]))
            one.told = len(one.row.spelling.text)
        if one.row.over:
            news.append(partial(one.news.put_nowait, one.row))
    for loop, news in calls.items():
        if news and not loop.is_closed():
            loop.call_soon_threadsafe(_call, news)
    return [one for one in everyone if not one.row.over]


def _call(news: Sequence[Callable[[], None]]) -> None:
    for call in news:
        call()
