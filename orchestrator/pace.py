"""How many requests an endpoint is given at once: more as it keeps up, fewer as soon as it does not."""

import asyncio
import math
import time


class Pace:
    """Room for requests at one endpoint, `most` of them to begin with and at most. Entered for each request.

    Additive increase, multiplicative decrease (Chiu and Jain 1989): one more for every `limit` requests that went well,
    half as many when the endpoint is overburdened, at least one.
    """

    def __init__(self, most: int) -> None:
        self.limit = self._most = most
        self._free, self._owed, self._gained = asyncio.Semaphore(most), 0, 0.0
        self._slowed, self._until = -math.inf, -math.inf

    async def __aenter__(self) -> None:
        await self._free.acquire()
        try:
            while (rest := self._until - time.monotonic()) > 0:
                await asyncio.sleep(rest)
        except BaseException:
            self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._owed:
            self._owed -= 1
        else:
            self._free.release()

    def well(self) -> None:
        """A request went well."""
        if self.limit < self._most:
            self._gained += 1 / self.limit
            if self._gained >= 1:
                self.limit, self._gained = self.limit + 1, 0.0
                self._leave()

    def busy(self, began: float, after: float) -> None:
        """A request that was made at `began` (`time.monotonic`) found the endpoint overburdened.

        It wants to be left alone for `after` seconds. Those asked before it was last slowed down say nothing new.
        """
        now = time.monotonic()
        self._until = max(self._until, now + after)
        if began >= self._slowed:
            fewer = max(1, self.limit // 2)
            self._owed += self.limit - fewer
            self.limit, self._gained, self._slowed = fewer, 0.0, now
