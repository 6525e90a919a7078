"""The endpoint over HTTP: who is let in, how everything is counted, and errors in the form of the OpenAI protocol."""

import ipaddress
import logging
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import serve_page
from .engine import RequestError
from .errors import WarmthError
from .serve_access import VARIABLE, Access, Busy
from .serve_metrics import Counts
from .serve_protocol import failure, refusal

Headers = list[tuple[bytes, bytes]]
OPEN = {"/health", *serve_page.FILES}
"""Paths that hold nothing of a run and need no key."""

logger = logging.getLogger(__name__)


def json_of(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON."""
    return Response(body, status, headers, media_type="application/json")


def application(
    routes: Sequence[BaseRoute], access: Access, counts: Counts, headers: Callable[[], Headers] = list
) -> ASGIApp:
    """These routes behind the guard; whatever goes wrong is said in the form that OpenAI's clients expect.

    `headers` gives what every answer says beside its own.
    """
    handlers = {RequestError: _refused, HTTPException: _no_such_path, WarmthError: _broken, Exception: _failed}
    paths = {route.path for route in routes if isinstance(route, Route)}
    return _Guard(Starlette(routes=routes, exception_handlers=handlers), access, counts, paths, headers)


class _Guard:
    """Looks at who comes in before anything else does, and counts how everyone was answered."""

    def __init__(
        self, app: ASGIApp, access: Access, counts: Counts, paths: set[str], headers: Callable[[], Headers]
    ) -> None:
        self._app, self._access, self._counts, self._paths = app, access, counts, paths
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *self._headers()]}
            await send(message)

        with self._counts.in_flight.track_inprogress():
            try:
                await (self._refusal(scope) or self._app)(scope, receive, sent)
            except Exception:  # the seam between one request and the endpoint
                logger.exception("a request failed")
        path = _path(scope)
        self._counts.answered(path if path in self._paths else "other", status)

    def _refusal(self, scope: Scope) -> Response | None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if self._access.digest is None and _from_a_page_elsewhere(headers):
            said = "without a key, this endpoint answers no pages of other sites; ask it at its own address"
            return json_of(403, failure(said, "permission_error"))
        if _path(scope) in OPEN or self._access.admits(headers.get(b"authorization")):
            return None
        said = f"this endpoint needs its API key: `Authorization: Bearer KEY`, the one of {VARIABLE} or --api-key-file"
        body = failure(said, "authentication_error", code="invalid_api_key")
        return json_of(401, body, {"WWW-Authenticate": "Bearer"})


def _path(scope: Scope) -> str:
    """The path as routes know it: without what the whole application is under."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def _from_a_page_elsewhere(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser asks for another site: by its origin, or by a name that was made to mean this machine."""
    host = headers.get(b"host", b"").decode("latin-1")
    origin = headers.get(b"origin")
    if origin is not None and urlsplit(origin.decode("latin-1")).netloc != host:
        return True
    try:
        name = urlsplit(f"//{host}").hostname or "localhost"
        return name != "localhost" and not ipaddress.ip_address(name)
    except ValueError:
        return True


async def _refused(_: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return json_of(*refusal(error), {"Retry-After": "1"} if isinstance(error, Busy) else None)


async def _no_such_path(http: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = f"{http.method} {http.url.path[:100]}: {error.detail}"
    return json_of(error.status_code, failure(said, "invalid_request_error"), error.headers)


async def _broken(_: HttpRequest, error: Exception) -> Response:
    """What whoever runs the endpoint can put right, for instance an adapter that cannot be served."""
    return json_of(500, failure(str(error), "server_error"))


async def _failed(_: HttpRequest, error: Exception) -> Response:
    return json_of(500, failure(f"the engine failed ({type(error).__name__}); its log says why", "server_error"))
