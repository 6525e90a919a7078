"""Asks any OpenAI-protocol endpoint: patient, bounded, and exact about what failed."""

import asyncio
import json
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from yarl import URL

from . import answered
from .answered import WITHHELD, Answer, RequestFailed
from .pace import Pace

__all__ = ["WITHHELD", "Answer", "Client", "RequestFailed"]

T = TypeVar("T")

PATIENCE = (0.2, 0.5, 1, 2, 5, 10)
"""Seconds between attempts when an endpoint is busy or away; each is stretched by up to half at random."""

SHORTCUT = re.compile(r'http%2F1\.1=":([0-9]{1,5})"')
"""How an endpoint says that it can be asked at another port of its host as well (RFC 7838)."""
_SCORING = {"logprobs": 0, "temperature": 0}


class _Again(Exception):
    """An attempt that failed for now; `after` is how long the endpoint wants to be left alone, as it is `busy`.

    It is `slow` if it has more to do than it can, or seems to.
    """

    def __init__(self, why: str, after: float = 0, busy: bool = False, slow: bool = False) -> None:
        super().__init__(why)
        self.after, self.busy, self.slow = after, busy, slow


class Client:
    """One endpoint; `close` it, or use it as `async with`.

    At most `in_flight` requests are open at once, fewer while the endpoint does not keep up (`pace`). An attempt may
    take `timeout` seconds; after `hedge` seconds, if given, a second one is made beside it and the first answer counts.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        in_flight: int = 64,
        timeout: float = 300,
        hedge: float | None = None,
    ) -> None:
        self._url, self._key = url.rstrip("/"), (key or "").strip()
        self._headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self.pace = Pace(in_flight)
        self._patience, self._hedge = 2 * timeout, hedge
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None
        self._short: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the endpoint."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def chat(self, model: str, messages: list[dict[str, str]], **sampling: Any) -> Answer:
        """One reply. `sampling` is sent as it is (temperature, max_tokens, seed). Raises RequestFailed."""
        async with self.pace:
            began = time.perf_counter()
            body = {"model": model, "messages": messages, **sampling}
            said = await self.patiently("/chat/completions", lambda path: self._first(path, body))
            seconds = time.perf_counter() - began
        await asyncio.sleep(0)  # whoever waited for this request's place asks before the answer is seen to
        return answered.answer(said, seconds)

    async def score(self, model: str, prompts: Sequence[Sequence[int]]) -> list[list[float]]:
        """The log-probability of every token of prompts given in tokens; NaN for the first. Raises RequestFailed."""
        body = {"model": model, "prompt": [list(each) for each in prompts], "max_tokens": 0, "echo": True}
        async with self.pace:
            said = await self.patiently("/completions", lambda path: self._first(path, body | _SCORING))
        return answered.scored(said, prompts)

    async def patiently(self, path: str, attempt: Callable[[str], Awaitable[T]]) -> T:
        """As many attempts as patience lasts; none begins later than twice the time that one may take.

        An endpoint that is busy and says for how long is asked again for all that time.
        """
        deadline, why, wait, pauses = time.monotonic() + self._patience, "", 0.0, iter(PATIENCE)
        while time.monotonic() + wait <= deadline:
            await asyncio.sleep(wait)
            began = time.monotonic()
            try:
                return await self._paced(attempt(path), began)
            except _Again as failure:
                why, after, busy = str(failure), failure.after, failure.busy
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                self._short = None  # whoever was there may be gone
                why, after, busy = f"{type(error).__name__}: {self._safe(str(error))}", 0, False
            pause = 0 if busy else next(pauses, None)
            if pause is None:
                break
            wait = max(after, pause) * random.uniform(1, 1.5)
        raise RequestFailed(f"{self._url}{path}: {why}")

    async def _paced(self, attempt: Awaitable[T], began: float) -> T:
        """One attempt, from which the pace is learnt."""
        try:
            found = await attempt
        except _Again as failure:
            if failure.slow:
                self.pace.busy(began, failure.after if failure.after <= self._patience else 0)
            raise
        except TimeoutError:
            self.pace.busy(began, 0)
            raise
        self.pace.well()
        return found

    async def attempt(self, method: str, path: str, **what: Any) -> Any:
        """One request, made once: what it was answered, from JSON. To be called within `patiently`."""
        async with self._connected().request(method, (self._short or self._url) + path, **what) as response:
            text = self._safe((await response.read()).decode("utf-8", "replace"))
            self._short = self._shorter(response.headers)
            if response.status not in (200, 201):
                raise self._refusal(response.status, text, path, answered.after(response.headers))
        try:
            return json.loads(text)
        except ValueError as error:
            raise _Again(f"200 with half an answer, or none in JSON: {text[:300]}") from error

    async def _first(self, path: str, body: dict[str, Any]) -> Any:
        """What was answered; where that takes long and hedging is on, the first answer to one of two requests."""
        if self._hedge is None:
            return await self._complete(path, body)
        asked = [asyncio.create_task(self._complete(path, body))]
        try:
            done, _ = await asyncio.wait(asked, timeout=self._hedge)
            if not done:
                asked.append(asyncio.create_task(self._complete(path, body)))
                done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            return await done.pop()
        finally:
            for each in asked:
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def _complete(self, path: str, body: dict[str, Any]) -> Any:
        said = await self.attempt("POST", path, json=body)
        if isinstance(said, dict) and said.get("error") and not said.get("choices"):
            code = said["error"].get("code") if isinstance(said["error"], dict) else None
            raise self._refusal(
                code if isinstance(code, int) else 500, f"200 with an error: {json.dumps(said)}", path, 0
            )
        if answered.empty(said):
            raise _Again("200 with an empty reply")
        return said

    def _refusal(self, status: int, text: str, path: str, after: float) -> Exception:
        """What another attempt may cure, and what it may not: a request that is wrong, an account that is empty."""
        why = f"{status}: {text[:300]}"
        passing = status in (408, 409, 425, 429) or status >= 500
        if passing and "insufficient_quota" not in text:
            return _Again(why, after, after > 0 and status in (429, 503), slow=status == 429 or status >= 500)
        return RequestFailed(f"{self._url}{path}: {why}", status)

    def _shorter(self, headers: Mapping[str, str]) -> str | None:
        """The shorter way that an endpoint names. A key goes nowhere but where it was meant for."""
        named = SHORTCUT.fullmatch(headers.get("Alt-Svc", ""))
        return str(URL(self._url).with_port(int(named[1]))) if named and not self._key else None

    def _connected(self) -> aiohttp.ClientSession:
        """The connections; made when they are first needed, as they belong to the event loop that is running then."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), headers=self._headers, timeout=self._timeout
            )
        return self._session

    def _safe(self, text: str) -> str:
        """What came back, without the key: some endpoints repeat what they were sent. Words like `none` are no keys."""
        return text.replace(self._key, "[key]") if len(self._key) >= 8 else text
