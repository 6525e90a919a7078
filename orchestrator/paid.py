"""Asks endpoints that take money: calls are counted, and made only where the budget has room for what they may cost."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

from . import costs, gpu_hours
from .client import Answer, Client, RequestFailed
from .settings import SERVED, Endpoint
from .settings_asking import Judge
from .store import Store
from .tables import Cost

SLICE = 0.01
"""The part of a budget that a process takes at a time, so that it seldom has to look at what the others took."""

CALLS = 200
"""After so many calls a piece is filed even while others are open: a kill loses count of no more than these."""

LONGEST = 16384
"""Tokens that a reply without a limit of its own may have."""


class OverBudget(RequestFailed):
    """A call that was not made, as it could have taken more than is left of the budget."""


class Purse:
    """One process's piece of the ledger, and of the budget; `cap` is what the whole run may cost."""

    def __init__(self, folder: Path, cap: float | None) -> None:
        self._store, self._cap, self._piece = Store(folder), cap, f"{uuid.uuid4().hex}.arrow"
        self._spent: dict[tuple[str, str, str], Cost] = {}
        self._free, self._aside, self._open, self._unfiled = 0.0, 0.0, 0, 0
        self.closed = False
        "Whether a call was refused while none was open: there is no room for another one either."

    def take(self, usd: float) -> bool:
        """Set so much aside for a call; False if the budget has no room for it."""
        if self._cap is not None:
            if usd > self._free and not self._more(usd):
                return False
            self._free, self._aside = self._free - usd, self._aside + usd
        self._open += 1
        return True

    def _more(self, usd: float) -> bool:
        cap = self._cap or 0
        with costs.locked(self._store):
            others = costs.total(row for piece, row in costs.pieces(self._store) if piece != self._piece)
            own = costs.total(self._spent.values()) + self._aside
            free = min(max(usd, cap * SLICE), cap - others - own)
            if usd > free:
                return False
            self._free = free
            self.file()
        return True

    def give(self, usd: float, spent: Cost | None) -> None:
        """Hand back what was set aside for a call that is over; `spent` is what it came to."""
        self._open, self._aside, self._free = self._open - 1, self._aside - usd, self._free + usd
        if spent:
            where = (spent.endpoint, spent.model, spent.purpose)
            self._spent[where] = costs.add(self._spent[where], spent) if where in self._spent else spent
            self._free, self._unfiled = self._free - (spent.usd or 0), self._unfiled + 1
        if not self._open:
            self._free = self._aside = 0.0
        if not self._open or self._unfiled >= CALLS:
            self.file()

    def file(self) -> None:
        """Write the piece; what is set aside stands in it as unaccounted for."""
        held = self._aside + self._free if self._cap is not None else 0
        rows = [*self._spent.values(), *([costs.aside(held)] if held > 0 else [])]
        costs.file(self._store, self._piece, rows)
        self._unfiled = 0

    def close(self) -> None:
        """There is no room for the smallest call."""
        self.closed = True
        costs.refuse(self._store)

    def check_time(self) -> None:
        """Raises OverBudget once the run has used up its GPU time: what is being answered still is."""
        if gpu_hours.over(self._store):
            raise OverBudget("not asked: budget.gpu_hours is used up")


class Own(Client):
    """The run's own endpoint: free, and asked as long as the budget's GPU time lasts."""

    def __init__(
        self, url: str, purse: Purse, in_flight: int, seconds: float = 300, hedge: float | None = None
    ) -> None:
        super().__init__(url, None, in_flight, seconds, hedge)
        self._purse = purse

    async def attempt(self, method: str, path: str, **what: Any) -> Any:
        """One request, as `Client.attempt`. Raises OverBudget where no time is left, however long it has waited."""
        self._purse.check_time()
        return await super().attempt(method, path, **what)


class Paid(Client):
    """A client that counts what its calls cost, and makes none that the budget has no room for."""

    def __init__(
        self, endpoint: Endpoint | Judge, purpose: str, purse: Purse, in_flight: int, seconds: float = 300
    ) -> None:
        super().__init__(str(endpoint.url), costs.key(endpoint), in_flight, seconds)
        self._endpoint, self._purpose, self._purse = endpoint, purpose, purse
        self._turn, self._over, self._asking = asyncio.Semaphore(in_flight), asyncio.Condition(), 0

    async def chat(self, model: str, messages: list[dict[str, str]], **sampling: Any) -> Answer:
        """One reply, as `Client.chat`. Raises OverBudget where it may cost more than is left."""
        price = costs.prices(self._endpoint, model)
        longest = (sum(len(each["content"].encode()) + 16 for each in messages), sampling.get("max_tokens") or LONGEST)
        most = price.usd(*longest) if price else 0.0
        async with self._turn:
            self._purse.check_time()
            await self._room_for(most)
            spent = None
            try:
                said = await super().chat(model, messages, **sampling)
                spent = self._cost(model, said, longest)
            finally:
                await self._done(most, spent)
        return said

    def _cost(self, model: str, said: Answer, longest: tuple[int, int]) -> Cost:
        """What a reply came to; its most where the endpoint does not say how many tokens there were."""
        told = (said.prompt_tokens, said.reply_tokens)
        read, written = (most if told is None else told for told, most in zip(told, longest, strict=True))
        price = costs.prices(self._endpoint, model)
        usd = price.usd(read, written) if price else None
        return Cost(str(self._endpoint.url), model, self._purpose, 1, read, written, usd)

    async def _room_for(self, usd: float) -> None:
        """Set aside what a call may cost; while others are open, wait for what they leave."""
        async with self._over:
            while not self._purse.closed and not self._purse.take(usd):
                if self._asking:
                    await self._over.wait()
                else:
                    self._purse.close()
            if self._purse.closed:
                raise OverBudget("not asked: it may cost more than is left of budget.usd")
            self._asking += 1

    async def _done(self, usd: float, spent: Cost | None) -> None:
        async with self._over:
            self._asking -= 1
            self._purse.give(usd, spent)
            self._over.notify(1) if self._asking else self._over.notify_all()


def client(
    endpoint: Endpoint | Judge, purpose: str, purse: Purse, in_flight: int, served: str = "", seconds: float = 300
) -> Client:
    """Who asks an endpoint; the run's own is at `served`, and free."""
    if endpoint.url == SERVED:
        return Own(served, purse, in_flight, seconds)
    return Paid(endpoint, purpose, purse, in_flight, seconds)
