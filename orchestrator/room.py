"""Asking for rows, and filing them piece by piece: no more is ever asked and not on file than there is room for."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

Work = TypeVar("Work")
Row = TypeVar("Row")

SIZE = 64
"""Rows in a piece."""


class Room:
    """Room for so many rows that are asked and not on file yet. All that a worker asks at a time shares one."""

    def __init__(self, most: int) -> None:
        self._most, self._free = most, asyncio.Semaphore(most)
        self._pieces: set[_Piece[Any]] = set()
        self._had = 0
        "Rows that were had and are not filed; where there is no room for more, a quarter of it is worth a file or two."

    async def ask(
        self,
        work: Sequence[Work],
        ask: Callable[[Work], Awaitable[Row]],
        file: Callable[[Sequence[Work], list[Row]], None],
    ) -> None:
        """Have every row asked, in order, and filed; `file` is given what a piece is of, and its rows so far.

        What is filed for the same work again has the earlier rows in it. An error ends it; what was had is filed.
        """
        size = max(1, min(SIZE, self._most // 2))
        opened: list[_Piece[Any]] = []
        try:
            async with asyncio.TaskGroup() as group:
                for start in range(0, len(work), size):
                    piece = _Piece(work[start : start + size], file)
                    opened = [each for each in opened if each.waiting] + [piece]
                    for each in piece.work:
                        await self._free.acquire()
                        piece.waiting += 1
                        self._pieces.add(piece)
                        group.create_task(self._one(piece, ask, each))
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None
        finally:
            for piece in opened:
                self._file(piece)
                self._leave(piece, piece.waiting)

    async def _one(self, piece: "_Piece[Any]", ask: Callable[[Any], Awaitable[Any]], work: Any) -> None:
        piece.rows.append(await ask(work))
        self._had += 1
        if piece.whole:
            self._file(piece)
        elif self._free.locked() and 4 * self._had >= self._most:
            for each in tuple(self._pieces):
                self._file(each)

    def _file(self, piece: "_Piece[Any]") -> None:
        """File what came for a piece since it was filed; there is room for as much again."""
        if new := len(piece.rows) - piece.filed:
            piece.file(piece.work, list(piece.rows))
            piece.filed += new
            self._had -= new
            self._leave(piece, new)

    def _leave(self, piece: "_Piece[Any]", count: int) -> None:
        piece.waiting -= count
        for _ in range(count):
            self._free.release()
        if not piece.waiting:
            self._pieces.discard(piece)


class _Piece(Generic[Work]):
    """Some work that is filed together, and how far it is; `waiting` rows are asked for and not on file."""

    def __init__(self, work: Sequence[Work], file: Callable[[Sequence[Work], list[Any]], None]) -> None:
        self.work, self.file = work, file
        self.rows: list[Any] = []
        self.filed = self.waiting = 0

    @property
    def whole(self) -> bool:
        return len(self.rows) == len(self.work)
