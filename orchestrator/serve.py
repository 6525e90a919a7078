"""All models behind one OpenAI-compatible address: Ray Serve around the engines.

Every base model has a `Model`, the engine that answers in the OpenAI protocol. The `Door` that clients come to holds
the first base's model itself, and hands what the others are asked to their own deployments: a hop between processes
costs about as much as a short answer, so a study of one base has none.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import FastAPI, Response
from fastapi import Request as HttpRequest
from fastapi.responses import StreamingResponse
from ray import serve
from ray.serve.config import HTTPOptions, ProxyLocation
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import LoggingConfig

from .engine import Engine, Reply, Request, RequestError, UnknownModel
from .engine_folders import adapters_in, base_of, folder_of, same_base
from .errors import WarmthError
from .serve_protocol import Chunks, Kind, answer, failure, read
from .settings_subjects import FULL, Precision

AT_ONCE = 1024
"""How many requests a replica takes in; those beyond the engine's rows wait inside it."""
SETTINGS: dict[str, Any] = {
    "max_ongoing_requests": AT_ONCE,
    "health_check_timeout_s": 120,
    "graceful_shutdown_timeout_s": 5,
    "logging_config": LoggingConfig(enable_access_log=False),
}
app = FastAPI()


def deploy(
    bases: Mapping[str, str],
    adapters: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    precisions: Mapping[str, Precision] | None = None,
    rows: int = 64,
    cpus: float = 1,
    gpus: float = 0,
) -> str:
    """Serves the bases (name to folder) and every adapter of theirs in `adapters`; returns the address, ending in /v1.

    Ray is initialised already. Whatever Serve served before is shut down. port 0 takes a free one. rows: requests each
    engine answers at once. precisions: what each base's weights are held in, by its name; float32 if not given.
    cpus and gpus are what each engine reserves; with gpus it runs on CUDA.
    Raises WarmthError when the port is taken.
    """
    port = check_port(host, port)
    serve.shutdown()
    http, quiet = HTTPOptions(host=host, port=port), LoggingConfig(enable_access_log=False)
    serve.start(proxy_location=ProxyLocation.HeadOnly, http_options=http, logging_config=quiet)
    needs = {"num_cpus": cpus, "num_gpus": gpus}
    first, *others = bases
    held = {name: (precisions or {}).get(name, FULL) for name in bases}
    models = {
        name: MODEL.options(name=f"model-{name}", ray_actor_options=needs).bind(
            bases[name], adapters, held[name], rows, gpus > 0
        )
        for name in others
    }
    door = DOOR.options(ray_actor_options=needs).bind(dict(bases), adapters, first, models, held[first], rows, gpus > 0)
    serve.run(door, name="warmth", route_prefix="/")
    return f"http://{host}:{port}/v1"


def shut_down() -> None:
    """Ends everything `deploy` started."""
    serve.shutdown()


def check_port(host: str, port: int) -> int:
    """The port itself, or a free one for 0. Raises WarmthError when it is taken."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            problem = f"port {port} on {host} cannot be had ({error.strerror})"
            raise WarmthError(f"resources.port: {problem}; choose another, or 0 for any free one") from error
        return int(probe.getsockname()[1])


class Model:
    """One base model and its adapters, answering in the OpenAI protocol: bodies in, status and bodies out."""

    def __init__(self, base: str, adapters: str, precision: Precision, rows: int, cuda: bool) -> None:
        from .engine_transformers import TransformersEngine

        device = "cuda" if cuda else "cpu"
        self._engine: Engine = TransformersEngine(base, adapters, rows=rows, device=device, precision=precision)

    async def answer(self, kind: Kind, raw: bytes, adapter: str | None) -> tuple[int, bytes]:
        """The whole answer."""
        try:
            body = read(kind, raw)
            replies = await self._all(body.requests(adapter))
            return 200, answer(kind, body, replies)
        except RequestError as error:
            return _refusal(error)

    async def stream(self, kind: Kind, raw: bytes, adapter: str | None) -> AsyncIterator[tuple[int, bytes]]:
        """The answer piece by piece; a refusal comes before anything else."""
        try:
            body = read(kind, raw)
            (request,) = body.requests(adapter)
            chunks = Chunks(kind, body)
            news = self._engine.stream(request)
            first = await anext(news)
        except RequestError as error:
            yield _refusal(error)
            return
        for chunk in chunks.opening():
            yield 200, chunk
        while isinstance(first, str):
            yield 200, chunks.piece(first)
            first = await anext(news)
        for chunk in chunks.closing(first):
            yield 200, chunk

    def check_health(self) -> None:
        """What Serve asks from time to time; a replica that fails is replaced."""
        self._engine.check_health()

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


class Door:
    """Where clients come in: finds the base that a model's name belongs to, and passes the request on."""

    def __init__(
        self,
        bases: Mapping[str, str],
        adapters: str,
        own: str,
        others: Mapping[str, DeploymentHandle[Any]],
        precision: Precision,
        rows: int,
        cuda: bool,
    ) -> None:
        self._bases, self._adapters, self._own, self._others = bases, adapters, own, others
        self._model = Model(bases[own], adapters, precision, rows, cuda)
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
            return _json(*_refusal(error))
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
            folder = base_of(folder_of(self._adapters, model))
            found = folder and self._base_name(folder)
            if not found:
                raise UnknownModel(f"no model {model!r} is served; there are: {', '.join(self._names())}", "model")
            self._known[model] = found
        return self._known[model]

    def _base_name(self, folder: str) -> str | None:
        return next((name for name, own in self._bases.items() if same_base(own, folder)), None)

    def _names(self) -> list[str]:
        return [*self._bases, *(name for name, base in adapters_in(self._adapters) if self._base_name(base))]


def _head(raw: bytes) -> dict[str, Any]:
    """A body as far as the door needs to understand it: an object with a model's name."""
    try:
        head = json.loads(raw)
    except ValueError as error:
        raise RequestError(f"the body is not JSON: {error}") from error
    if not isinstance(head, dict) or not isinstance(head.get("model"), str):
        raise RequestError("model: the name of a model is needed", "model")
    return head


def _refusal(error: RequestError) -> tuple[int, bytes]:
    if isinstance(error, UnknownModel):
        return 404, failure(str(error), "not_found_error", "model", "model_not_found")
    return 400, failure(str(error), "invalid_request_error", error.param)


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


MODEL = serve.deployment(Model, **SETTINGS)
DOOR = serve.deployment(serve.ingress(app)(Door), **SETTINGS)
