"""Asks any OpenAI-protocol endpoint: patient, bounded, and exact about what failed."""

import asyncio
import email.utils
import json
import math
import random
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from yarl import URL

T = TypeVar("T")

PATIENCE = (0.2, 0.5, 1, 2, 5, 10)
"""Seconds between attempts when an endpoint is busy or away; each is stretched by up to half at random."""

WITHHELD = ("content_filter", "refusal")
"""Reasons to finish that say that the endpoint would not answer."""


SHORTCUT = re.compile(r'http%2F1\.1=":([0-9]{1,5})"')
"""How an endpoint says that it can be asked at another port of its host as well (RFC 7838)."""
_SCORING = {"logprobs": 0, "temperature": 0}


class RequestFailed(Exception):
    """An endpoint refused a request, or could not be reached in all attempts; `status` is that of a refusal."""

    def __init__(self, why: str, status: int | None = None) -> None:
        super().__init__(why, status)
        self.status = status

    def __str__(self) -> str:
        return str(self.args[0])


class _Again(Exception):
    """An attempt that failed for now; `after` is how long the endpoint wants to be left alone, as it is `busy`."""

    def __init__(self, why: str, after: float = 0, busy: bool = False) -> None:
        super().__init__(why)
        self.after, self.busy = after, busy


@dataclass(frozen=True)
class Answer:
    """What an endpoint said to one conversation; `seconds` includes waiting and further attempts.

    `finish_reason` is the endpoint's own; "refusal" where it gave its refusal in place of a reply.
    """

    text: str
    finish_reason: str | None
    prompt_tokens: int | None
    reply_tokens: int | None
    seconds: float


class Client:
    """One endpoint. At most `in_flight` requests are open at once; `close` it, or use it as `async with`."""

    def __init__(self, url: str, key: str | None = None, in_flight: int = 64, timeout: float = 300) -> None:
        self._url, self._key = url.rstrip("/"), (key or "").strip()
        self._headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._open = asyncio.Semaphore(in_flight)
        self._patience = 2 * timeout
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
        async with self._open:
            began = time.perf_counter()
            body = {"model": model, "messages": messages, **sampling}
            said = await self.patiently("/chat/completions", lambda path: self._complete(path, body))
        return _answer(said, time.perf_counter() - began)

    async def score(self, model: str, prompts: Sequence[Sequence[int]]) -> list[list[float]]:
        """The log-probability of every token of prompts given in tokens; NaN for the first. Raises RequestFailed."""
        body = {"model": model, "prompt": [list(each) for each in prompts], "max_tokens": 0, "echo": True}
        async with self._open:
            said = await self.patiently("/completions", lambda path: self._complete(path, body | _SCORING))
        return _scored(said, prompts)

    async def patiently(self, path: str, attempt: Callable[[str], Awaitable[T]]) -> T:
        """As many attempts as patience lasts; none begins later than twice the time that one may take.

        An endpoint that is busy and says for how long is asked again for all that time.
        """
        deadline, why, wait, pauses = time.monotonic() + self._patience, "", 0.0, iter(PATIENCE)
        while time.monotonic() + wait <= deadline:
            await asyncio.sleep(wait)
            try:
                return await attempt(path)
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

    async def attempt(self, method: str, path: str, **what: Any) -> Any:
        """One request, made once: what it was answered, from JSON. To be called within `patiently`."""
        async with self._connected().request(method, (self._short or self._url) + path, **what) as response:
            text = self._safe((await response.read()).decode("utf-8", "replace"))
            self._short = self._shorter(response.headers)
            if response.status not in (200, 201):
                raise self._refusal(response.status, text, path, _after(response.headers))
        try:
            return json.loads(text)
        except ValueError as error:
            raise _Again(f"200 with half an answer, or none in JSON: {text[:300]}") from error

    async def _complete(self, path: str, body: dict[str, Any]) -> Any:
        said = await self.attempt("POST", path, json=body)
        if isinstance(said, dict) and said.get("error") and not said.get("choices"):
            code = said["error"].get("code") if isinstance(said["error"], dict) else None
            raise self._refusal(
                code if isinstance(code, int) else 500, f"200 with an error: {json.dumps(said)}", path, 0
            )
        return said

    def _refusal(self, status: int, text: str, path: str, after: float) -> Exception:
        """What another attempt may cure, and what it may not: a request that is wrong, an account that is empty."""
        why = f"{status}: {text[:300]}"
        passing = status in (408, 409, 425, 429) or status >= 500
        if passing and "insufficient_quota" not in text:
            return _Again(why, after, busy=after > 0 and status in (429, 503))
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


async def as_they_come(
    asked: Iterable[Coroutine[Any, Any, T]], keep: Callable[[list[T]], None], every: int = 1000
) -> None:
    """Await all at once and hand over what came, so many at a time: a kill costs no more than the last few answers."""
    came = []
    for done in asyncio.as_completed(list(asked)):
        came.append(await done)
        if len(came) == every:
            keep(came)
            came = []
    if came:
        keep(came)


def _after(headers: Mapping[str, str]) -> float:
    """The seconds that a Retry-After header asks for, given as such or as a date."""
    said = headers.get("Retry-After", "")
    if said.replace(".", "", 1).isdigit():
        return float(said)
    try:
        return max(0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return 0


def _answer(said: Any, seconds: float) -> Answer:
    try:
        choice, usage = said["choices"][0], said.get("usage") or {}
        text, reason = _said(choice["message"], choice.get("finish_reason"))
        return Answer(
            _storable(text), reason, _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")), seconds
        )
    except (LookupError, TypeError, AttributeError) as error:
        raise RequestFailed(f"the endpoint's answer is not a chat completion: {str(said)[:300]}") from error


def _scored(said: Any, prompts: Sequence[Sequence[int]]) -> list[list[float]]:
    try:
        choices = sorted(said["choices"], key=lambda choice: choice["index"])
        found = [[math.nan, *map(float, choice["logprobs"]["token_logprobs"][1:])] for choice in choices]
    except (LookupError, TypeError, ValueError) as error:
        raise RequestFailed(f"the endpoint's answer holds no log-probabilities: {str(said)[:300]}") from error
    if [len(each) for each in found] != [len(each) for each in prompts]:
        raise RequestFailed("the endpoint scored other tokens than it was given")
    return found


def _said(message: Any, reason: Any) -> tuple[str, str | None]:
    """The text of a message and why it ended; a refusal that comes beside an empty message is the text."""
    reason = reason if isinstance(reason, str) else None
    if isinstance(message.get("content"), str):
        return message["content"], reason
    if message.get("refusal"):
        return str(message["refusal"]), "refusal"
    if reason in WITHHELD:
        return "", reason
    raise RequestFailed(f"the endpoint's answer holds no text (finish_reason {reason})")


def _count(tokens: Any) -> int | None:
    return tokens if isinstance(tokens, int) else None


def _storable(text: str) -> str:
    """Half a surrogate pair is valid in JSON and in no table."""
    return text.encode("utf-8", "replace").decode("utf-8")
