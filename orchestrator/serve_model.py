"""One base model and its adapters in a replica of Ray Serve: bodies of the OpenAI protocol in, answers out."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ray import serve

from .engine import Engine, Reply, Request, RequestError
from .serve_metrics import Counts
from .serve_protocol import Chunks, Kind, answer, read, refusal
from .settings import EngineName
from .settings_subjects import FULL, Precision

ADAPTERS_TOLD = 64
"""How many adapters a replica is known to have at hand, the latest ones."""


@dataclass(frozen=True)
class Base:
    """What an engine is made of: a model's folder, the folder that its adapters lie in, and how it runs."""

    folder: str
    adapters: str
    precision: Precision = FULL
    rows: int = 64
    "Requests that it answers at once."
    gpus: float = 0
    "Those that its weights are on; with none, or where CUDA knows of none, they are in memory."
    engine: EngineName = "transformers"


def engine(base: Base) -> Engine:
    """The engine of a base. It is imported here, as whoever only passes requests on needs no torch."""
    if base.engine == "vllm":
        from .engine_vllm import VllmEngine

        return VllmEngine(base.folder, base.adapters, rows=base.rows, gpus=base.gpus, precision=base.precision)
    import torch

    from .engine_transformers import TransformersEngine

    device = "cuda" if base.gpus and torch.cuda.is_available() else "cpu"
    return TransformersEngine(base.folder, base.adapters, rows=base.rows, device=device, precision=base.precision)


class Model:
    """One base model and its adapters, answering in the OpenAI protocol: bodies in, status and bodies out."""

    def __init__(self, name: str, base: Base, counts: Counts | None = None) -> None:
        self._name, self._engine, self._counts = name, engine(base), counts or Counts()

    async def answer(self, kind: Kind, raw: bytes, adapter: str | None) -> tuple[int, bytes]:
        """The whole answer."""
        await self._tell()
        try:
            body = read(kind, raw)
            replies = await self._all(body.requests(adapter))
            self._counts.said(self._name, replies)
            return 200, answer(kind, body, replies)
        except RequestError as error:
            return refusal(error)

    async def stream(self, kind: Kind, raw: bytes, adapter: str | None) -> AsyncIterator[tuple[int, bytes]]:
        """The answer piece by piece; a refusal comes before anything else."""
        await self._tell()
        try:
            body = read(kind, raw)
            (request,) = body.requests(adapter)
            chunks = Chunks(kind, body)
            news = self._engine.stream(request)
            first = await anext(news)
        except RequestError as error:
            yield refusal(error)
            return
        for chunk in chunks.opening():
            yield 200, chunk
        while isinstance(first, str):
            yield 200, chunks.piece(first)
            first = await anext(news)
        self._counts.said(self._name, [first])
        for chunk in chunks.closing(first):
            yield 200, chunk

    def loaded(self) -> dict[str, int]:
        """How many adapters are in memory, by their base."""
        return {self._name: self._engine.loaded()}

    def metrics(self) -> tuple[str, str]:
        """This replica's name, and what it counts."""
        return serve.get_replica_context().replica_tag, self._counts.text(self.loaded())

    def check_health(self) -> None:
        """What Serve asks from time to time; a replica that fails is replaced."""
        self._engine.check_health()

    async def _tell(self) -> None:
        """Tells Serve which adapters are at hand here, where it asks: it then sends more of theirs to this replica."""
        if adapter := serve.get_multiplexed_model_id():
            await self._at_hand(adapter)

    @serve.multiplexed(max_num_models_per_replica=ADAPTERS_TOLD)
    async def _at_hand(self, adapter: str) -> str:
        return adapter

    async def _all(self, requests: list[Request]) -> list[Reply]:
        """All the replies; where one cannot be had, the others are not waited for."""
        if len(requests) == 1:
            return [await self._engine.generate(requests[0])]
        tasks = [asyncio.ensure_future(self._engine.generate(request)) for request in requests]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
