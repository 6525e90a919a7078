"""The page on which people talk to two subjects at once. Its files hold nothing of a run, so they need no key."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

FILES = {
    "/": ("chat.html", "text/html"),
    "/chat.js": ("chat.js", "text/javascript"),
    "/chat.css": ("chat.css", "text/css"),
    "/report.css": ("report.css", "text/css"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
"""The browser runs this page's own script, asks this endpoint alone, and shows the page in no frame."""


def routes() -> list[Route]:
    """The page and what belongs to it."""
    return [Route(path, _giving(name, kind)) for path, (name, kind) in FILES.items()]


def _giving(name: str, kind: str) -> Callable[[HttpRequest], Awaitable[Response]]:
    content = (Path(__file__).parent / "templates" / name).read_bytes()

    async def give(_: HttpRequest) -> Response:
        return Response(content, headers=HEADERS, media_type=kind)

    return give
