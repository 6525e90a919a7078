"""An engine behind a real endpoint on this machine, which may be told to serve other weights than it is asked for."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Self

from aiohttp import web

from orchestrator.engine import Engine, RequestError
from orchestrator.serve_protocol import Kind, answer, read, refusal


class Endpoint:
    """Up for the length of a `with` block, in a thread of its own; `url` ends in /v1.

    `wrong` says which adapter (None: the base) is served in place of which; `leaks`, whose weights rows of the base get
    while that adapter is asked beside them.
    """

    def __init__(self, engine: Engine, base: str) -> None:
        self.wrong: Mapping[str, str | None] = {}
        self.leaks: str | None = None
        self.url = ""
        self._engine, self._base = engine, base
        self._beside: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._runner, port = asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        self.url = f"http://127.0.0.1:{port}/v1"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> tuple[web.AppRunner, int]:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/completions", partial(self._answer, "completion"))
        app.router.add_post("/v1/chat/completions", partial(self._answer, "chat"))
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner, runner.addresses[0][1]

    async def _answer(self, kind: Kind, http: web.Request) -> web.Response:
        try:
            body = read(kind, await http.read())
            with self._together(body.model):
                await asyncio.sleep(0.01)  # whatever comes together is together in the batch
                asked = (self._engine.generate(each) for each in body.requests(self._weights(body.model)))
                replies = await asyncio.gather(*asked)
        except RequestError as error:
            status, said = refusal(error)
            return web.Response(status=status, body=said, content_type="application/json")
        return web.Response(body=answer(kind, body, replies), content_type="application/json")

    @contextmanager
    def _together(self, model: str) -> Iterator[None]:
        if model == self._base:
            yield
            return
        self._beside.append(model)
        try:
            yield
        finally:
            self._beside.remove(model)

    def _weights(self, model: str) -> str | None:
        if model == self._base:
            return self.leaks if self.leaks in self._beside else None
        return self.wrong.get(model, model)
