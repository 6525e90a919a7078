"""Where clients come in: the OpenAI protocol over HTTP, and which base a model's name belongs to."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import FastAPI, Response
from fastapi import Request as HttpRequest
from fastapi.responses import StreamingResponse
from ray.serve.handle import DeploymentHandle

from .engine import RequestError, UnknownModel
from .engine_folders import adapters_in, base_named, same_base
from .serve_model import Base, Model
from .serve_protocol import Kind, refusal

app = FastAPI()


class Door:
    """Where clients come in: finds the base that a model's name belongs to, and passes the request on."""

    def __init__(self, bases: Mapping[str, Base], own: str, others: Mapping[str, DeploymentHandle[Any]]) -> None:
        self._bases, self._own, self._others = bases, own, others
        self._model = Model(bases[own])
        self._known: dict[str, str] = {}

    def check_health(self) -> None:
        """What Serve asks from time to time; a replica that fails is replaced."""
        self._model.check_health()

    @app.get("/health")
    async def health(self) -> Response:
        """Says that the door is open."""
        return Response(status_code=200)

    @app.get("/v1/models")
    async def models(self) -> Response:
        """Lists the bases and their adapters."""
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "warmth"} for name in self._names()]
        return _json(200, json.dumps({"object": "list", "data": data}).encode())

    @app.post("/v1/chat/completions")
    async def chat(self, http: HttpRequest) -> Response:
        """Answers a chat."""
        return await self._pass_on("chat", await http.body())

    @app.post("/v1/completions")
    async def completions(self, http: HttpRequest) -> Response:
        """Continues a text, or scores one."""
        return await self._pass_on("completion", await http.body())

    async def _pass_on(self, kind: Kind, raw: bytes) -> Response:
        try:
            head = _head(raw)
            base = self._base(head["model"])
        except RequestError as error:
            return _json(*refusal(error))
        adapter = None if head["model"] == base else head["model"]
        if head.get("stream") is True:
            return await _streamed(self._stream(base, kind, raw, adapter))
        if base == self._own:
            return _json(*await self._model.answer(kind, raw, adapter))
        return _json(*await self._others[base].answer.remote(kind, raw, adapter))

    def _stream(self, base: str, kind: Kind, raw: bytes, adapter: str | None) -> AsyncIterator[tuple[int, bytes]]:
        if base == self._own:
            return self._model.stream(kind, raw, adapter)
        return self._others[base].options(stream=True).stream.remote(kind, raw, adapter)

    def _base(self, model: str) -> str:
        """The name of the base that a model is, or is an adapter of. Raises UnknownModel, naming what is served."""
        if model in self._bases:
            return model
        if model not in self._known:
            folder = base_named(self._adapters(), model)
            found = folder and self._base_name(folder)
            if not found:
                raise UnknownModel(f"no model {model!r} is served; there are: {', '.join(self._names())}", "model")
            self._known[model] = found
        return self._known[model]

    def _base_name(self, folder: str) -> str | None:
        return next((name for name, base in self._bases.items() if same_base(base.folder, folder)), None)

    def _adapters(self) -> str:
        return self._bases[self._own].adapters

    def _names(self) -> list[str]:
        return [*self._bases, *(name for name, base in adapters_in(self._adapters()) if self._base_name(base))]


def _head(raw: bytes) -> dict[str, Any]:
    """A body as far as the door needs to understand it: an object with a model's name."""
    try:
        head = json.loads(raw)
    except ValueError as error:
        raise RequestError(f"the body is not JSON: {error}") from error
    if not isinstance(head, dict) or not isinstance(head.get("model"), str):
        raise RequestError("model: the name of a model is needed", "model")
    return head


def _json(status: int, body: bytes) -> Response:
    return Response(body, status, media_type="application/json")


async def _streamed(chunks: AsyncIterator[tuple[int, bytes]]) -> Response:
    """A stream of events, unless what comes first is a refusal."""
    status, first = await anext(chunks)
    if status != 200:
        return _json(status, first)

    async def events() -> AsyncIterator[bytes]:
        yield first
        async for _, chunk in chunks:
            yield chunk

    return StreamingResponse(events(), media_type="text/event-stream")
