"""Asks any OpenAI-protocol endpoint: patient, bounded, and exact about what failed."""

import asyncio
import random
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp

PATIENCE = (0.2, 0.5, 1, 2, 5, 10)
"""Seconds between attempts when an endpoint is busy or away; each is stretched by up to half at random."""


class RequestFailed(Exception):
    """An endpoint refused a request, or could not be reached in all attempts."""


@dataclass(frozen=True)
class Answer:
    """What an endpoint said to one conversation; `seconds` includes waiting and further attempts."""

    text: str
    finish_reason: str | None
    prompt_tokens: int | None
    reply_tokens: int | None
    seconds: float


class Client:
    """One endpoint. At most `in_flight` requests are open at once; use as `async with`."""

    def __init__(self, url: str, key: str | None = None, in_flight: int = 64, timeout: float = 300) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._open = asyncio.Semaphore(in_flight)
        self._timeout = aiohttp.ClientTimeout(total=timeout)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), headers=self._headers, timeout=self._timeout
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def chat(self, model: str, messages: list[dict[str, str]], **sampling: Any) -> Answer:
        """One reply. `sampling` is sent as it is (temperature, max_tokens, seed). Raises RequestFailed."""
        async with self._open:
            began = time.perf_counter()
            said = await self._post("/chat/completions", {"model": model, "messages": messages, **sampling})
        return _answer(said, time.perf_counter() - began)

    async def _post(self, path: str, body: dict[str, Any]) -> Any:
        why = ""
        for pause in (0, *PATIENCE):
            await asyncio.sleep(pause * random.uniform(1, 1.5))
            try:
                async with self._session.post(self._url + path, json=body) as response:
                    if response.status == 200:
                        return await response.json()
                    why = f"{response.status}: {(await response.text())[:300]}"
                    if response.status not in (408, 409, 429) and response.status < 500:
                        break
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                why = f"{type(error).__name__}: {error}"
        raise RequestFailed(f"{self._url}{path}: {why}")


def _answer(said: Any, seconds: float) -> Answer:
    try:
        choice, usage = said["choices"][0], said.get("usage") or {}
        return Answer(
            choice["message"]["content"] or "",
            choice.get("finish_reason"),
            usage.get("prompt_tokens"),
            usage.get("completion_tokens"),
            seconds,
        )
    except (LookupError, TypeError, AttributeError) as error:
        raise RequestFailed(f"the endpoint's answer is not a chat completion: {str(said)[:300]}") from error
