"""Where clients come in: finds the base that a model's name belongs to, and passes the request on."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from . import serve_page, serve_verdicts
from .engine import RequestError
from .serve_access import Access, Busy, body
from .serve_http import application, json_of
from .serve_metrics import Counts, together
from .serve_model import Base, Model
from .serve_names import Names
from .serve_protocol import Kind, failure
from .serve_shortcut import Shortcut

Answers = AsyncIterator[tuple[int, bytes]]
TRIES = 3
"""A replica that dies takes its requests with it; they are asked of another this often."""
BUSY = "as many requests wait as may; ask again in a second"


class Door:
    """Where clients come in. It may hold the first base itself (`own`), which spares its requests a hop."""

    def __init__(
        self,
        bases: Mapping[str, Base],
        own: str | None,
        others: Mapping[str, DeploymentHandle[Any]],
        access: Access,
        most: int,
        about: Mapping[str, Mapping[str, Any]],
        certificates: str | None,
    ) -> None:
        self._own, self._others, self._access, self._about = own, others, access, about
        self._most, self._in_flight, self._certificates = most, 0, certificates
        self._names, self._counts, self._shortcut = Names(bases), Counts(), Shortcut()
        self._model = Model(own, bases[own], self._counts) if own else None

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Serve asks for the application once the door is made."""
        routes = [
            *serve_page.routes(),
            Route("/health", self._health),
            Route("/metrics", self._metrics),
            Route("/v1/models", self._models),
            Route("/v1/models/{name}", self._one_model),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/completions", self._completions, methods=["POST"]),
        ]
        return application(routes, self._access, self._counts, self._shortcut.headers)

    def check_health(self) -> None:
        """What Serve asks from time to time; a replica that fails is replaced."""
        if self._model:
            self._model.check_health()

    async def _health(self, _: HttpRequest) -> Response:
        return Response(status_code=200)

    def metrics(self) -> tuple[str, str]:
        """This door's name, and what it counts."""
        text = self._counts.text(self._model.loaded() if self._model else {})
        return serve.get_replica_context().replica_tag, text

    async def _metrics(self, _: HttpRequest) -> Response:
        me = serve.get_replica_context()
        doors: DeploymentHandle[Any] = serve.get_deployment_handle(me.deployment, me.app_name)
        texts = dict([self.metrics()])
        for handle in (doors, *self._others.values()):
            texts |= dict(await handle.broadcast("metrics").results_async())
        return Response(together(texts), media_type="text/plain; version=0.0.4")

    async def _models(self, _: HttpRequest) -> Response:
        found = serve_verdicts.verdicts(self._certificates)
        data = [self._card(name, base, found) for name, base in self._names.all().items()]
        return json_of(200, json.dumps({"object": "list", "data": data}).encode())

    async def _one_model(self, http: HttpRequest) -> Response:
        name, found = http.path_params["name"], serve_verdicts.verdicts(self._certificates)
        return json_of(200, json.dumps(self._card(name, self._names.base(name), found)).encode())

    def _card(self, name: str, base: str, found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """What OpenAI says of a model, and beside it what the run says, and what was found of it as it is served."""
        card = {"id": name, "object": "model", "created": 0, "owned_by": "warmth", "base": base}
        attested = {"attestation": found.get(name)} if self._certificates else {}
        return {**card, **self._about.get(name, {}), **attested}

    async def _chat(self, http: HttpRequest) -> Response:
        return await self._pass_on("chat", http)

    async def _completions(self, http: HttpRequest) -> Response:
        return await self._pass_on("completion", http)

    async def _pass_on(self, kind: Kind, http: HttpRequest) -> Response:
        if self._in_flight >= self._most:
            raise Busy(BUSY)
        self._in_flight += 1
        try:
            return await self._answered(kind, http)
        finally:
            self._in_flight -= 1

    async def _answered(self, kind: Kind, http: HttpRequest) -> Response:
        raw = await body(http, self._access.most_bytes)
        head = _head(raw)
        base = self._names.base(head["model"])
        adapter = None if head["model"] == base else head["model"]
        try:
            if head.get("stream") is True:
                return await _streamed(self._stream(base, kind, raw, adapter))
            return json_of(*await self._whole(base, kind, raw, adapter))
        except BackPressureError as error:
            raise Busy(BUSY) from error

    async def _whole(self, base: str, kind: Kind, raw: bytes, adapter: str | None) -> tuple[int, bytes]:
        if self._model and base == self._own:
            return await self._model.answer(kind, raw, adapter)
        handle, tries = self._others[base].options(multiplexed_model_id=self._preferred(adapter)), TRIES
        while True:
            try:
                return await handle.answer.remote(kind, raw, adapter)
            except RayActorError:
                tries -= 1
                if not tries:
                    raise

    def _stream(self, base: str, kind: Kind, raw: bytes, adapter: str | None) -> Answers:
        if self._model and base == self._own:
            return self._model.stream(kind, raw, adapter)
        handle = self._others[base].options(stream=True, multiplexed_model_id=self._preferred(adapter))
        return handle.stream.remote(kind, raw, adapter)

    def _preferred(self, adapter: str | None) -> str:
        """What the replica should have at hand, if there is a choice of replicas."""
        return adapter or "" if self._own is None else ""


def _head(raw: bytes) -> dict[str, Any]:
    """A body as far as the door needs to understand it: an object with a model's name."""
    try:
        head = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {str(error)[:200]}") from error
    if not isinstance(head, dict) or not isinstance(head.get("model"), str):
        raise RequestError("model: the name of a model is needed", "model")
    return head


async def _streamed(chunks: Answers) -> Response:
    """A stream of events, unless what comes first is a refusal."""
    status, first = await anext(chunks)
    if status != 200:
        return json_of(status, first)

    async def events() -> AsyncIterator[bytes]:
        """What fails on the way is said on the way: a stream that only ends looks whole."""
        yield first
        try:
            async for _, chunk in chunks:
                yield chunk
        except Exception:
            yield b"data: " + failure("the engine failed in the middle of this reply", "server_error") + b"\n\n"
            raise

    return StreamingResponse(events(), media_type="text/event-stream")
