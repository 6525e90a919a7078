"""Which adapters are in vLLM's memory: so many at a time, each while someone needs it or until another wants its place.

vLLM's kernels for processors give rows of the base the weights in the last of the adapters' slots. So one slot more
is made than there are seats, and the last one stays empty: an adapter leaves before another one comes.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any


@dataclass(eq=False)
class Seat:
    """An adapter on its way into the engine or there already, and how many requests need it."""

    loading: "asyncio.Future[Any]"
    users: int = 0


class Seats:
    """`most` seats. `load` brings the adapter of a name into the engine, `unload` takes out what `load` gave."""

    def __init__(
        self, most: int, load: Callable[[str], Awaitable[Any]], unload: Callable[[Any], Awaitable[Any]]
    ) -> None:
        self._most, self._load, self._unload = most, load, unload
        self._seats: OrderedDict[str, Seat] = OrderedDict()
        self._turn, self._left = asyncio.Lock(), asyncio.Event()

    def __len__(self) -> int:
        return len(self._seats)

    @contextlib.asynccontextmanager
    async def taken(self, name: str) -> AsyncIterator[Any]:
        """The adapter, in the engine for the length of a block. Whoever comes first is seated first."""
        seat = await self._take(name)
        try:
            yield seat.loading.result()
        finally:
            seat.users -= 1
            self._left.set()

    async def _take(self, name: str) -> Seat:
        async with self._turn:
            if name not in self._seats:
                await self._make_room()
                self._seats[name] = Seat(asyncio.ensure_future(self._load(name)))
            self._seats.move_to_end(name)
            seat = self._seats[name]
            await self._loaded(name, seat)
            seat.users += 1
            return seat

    async def _loaded(self, name: str, seat: Seat) -> None:
        """Shielded: a request that is given up must not leave an adapter half in the engine."""
        try:
            await asyncio.shield(seat.loading)
        except asyncio.CancelledError:
            raise
        except Exception:
            self._seats.pop(name, None)
            raise

    async def _make_room(self) -> None:
        while len(self._seats) >= self._most:
            self._left.clear()
            idle = next((name for name, seat in self._seats.items() if not seat.users), None)
            if idle is None:
                await self._left.wait()
            else:
                await asyncio.shield(asyncio.ensure_future(self._empty(idle)))

    async def _empty(self, name: str) -> None:
        loading = self._seats[name].loading
        await asyncio.wait([loading])
        if not loading.exception():
            await self._unload(loading.result())
        del self._seats[name]
