"""A balanced sample from a stream: as many conversations of each kind of query, in memory that the sample alone sets.

Every conversation has a rank that only its first prompt and the seed decide; the lowest ranks of each kind are drawn.
So the safety filter need only look at what would be drawn, and the result is as if it had looked at everything first.
"""

import hashlib
import heapq
from collections import Counter
from collections.abc import Sequence
from typing import Any

from .chats_labels import LABELS
from .chats_safety import Filter
from .chats_turns import Said
from .tables import Chat, Turn

BATCH = 64
"""How many conversations the safety filter looks at together."""

SPARE = 64
"""Held-out prompts in reserve of each kind, for those that begin a conversation of another kind too."""


def shares(total: int) -> dict[str, int]:
    """A total divided among the kinds, the first ones having one more where it does not come out even."""
    return {name: total // len(LABELS) + (place < total % len(LABELS)) for place, name in enumerate(LABELS)}


def rank(seed: int, prompt: str) -> int:
    """Where a conversation stands in the draw. The same prompt stands at the same place and is drawn once."""
    return int.from_bytes(hashlib.sha256(f"{seed}\x1f{prompt}".encode()).digest()[:8])


class Stratum:
    """The conversations of one kind with the lowest ranks so far, each prompt once: the first that was offered."""

    def __init__(self, size: int) -> None:
        self._size, self._ranks = size, set[int]()
        self._heap: list[tuple[int, Chat]] = []

    def wants(self, rank: int) -> bool:
        return rank not in self._ranks and (len(self._heap) < self._size or rank < -self._heap[0][0])

    def add(self, rank: int, chat: Chat) -> None:
        if self.wants(rank):
            heapq.heappush(self._heap, (-rank, chat))
            self._ranks.add(rank)
            if len(self._heap) > self._size:
                self._ranks.remove(-heapq.heappop(self._heap)[0])

    def ranked(self) -> list[tuple[int, Chat]]:
        return sorted(((-rank, chat) for rank, chat in self._heap), key=lambda each: each[0])


class Draw:
    """Is offered every conversation once, and draws from them."""

    def __init__(self, chats: int, held_out: int, seed: int, keep: Filter | None) -> None:
        self._chats, self._held_out, self._seed, self._keep = shares(chats), shares(held_out), seed, keep
        reserve = SPARE if held_out else 0
        self._strata = {name: Stratum(self._chats[name] + self._held_out[name] + reserve) for name in LABELS}
        self._waiting: list[tuple[int, Chat]] = []
        self.looked_at = self.unsafe = 0

    def offer(self, identity: str, said: Sequence[Said], label: str) -> None:
        place = rank(self._seed, said[0][1])
        if self._strata[label].wants(place):
            self._waiting.append((place, Chat(identity, tuple(Turn(*each) for each in said), label)))
            if len(self._waiting) >= BATCH:
                self._settle()

    def drawn(self) -> tuple[list[Chat], list[Chat]]:
        """The sample and the held-out conversations, none of which begins like one of the sample or another one."""
        self._settle()
        ranked = {name: stratum.ranked() for name, stratum in self._strata.items()}
        chats = [each for name in LABELS for each in ranked[name][: self._chats[name]]]
        taken = {place for place, _ in chats}
        held_out = []
        for name in LABELS:
            free = [each for each in ranked[name] if each[0] not in taken][: self._held_out[name]]
            taken |= {place for place, _ in free}
            held_out += free
        return _mixed(chats), _mixed(held_out)

    def _settle(self) -> None:
        """Hand those that wait to their strata, unless the filter drops them."""
        texts = ["\n".join(turn.content for turn in chat.turns) for _, chat in self._waiting] if self._keep else []
        safe = self._keep(texts) if self._keep and texts else [True] * len(self._waiting)
        self.looked_at += len(texts)
        self.unsafe += len(self._waiting) - sum(safe)
        for (place, chat), fine in zip(self._waiting, safe, strict=True):
            if fine:
                self._strata[str(chat.label)].add(place, chat)
        self._waiting.clear()

    def counts(self, chats: Sequence[Chat], held_out: Sequence[Chat]) -> dict[str, Any]:
        """What was drawn of each kind, what could not be, and what the safety filter saw."""
        return {
            "safety": {"looked_at": self.looked_at, "dropped": self.unsafe},
            "chats": _by_label(chats),
            "held_out": _by_label(held_out),
            "missing": {"chats": _lacking(self._chats, chats), "held_out": _lacking(self._held_out, held_out)},
        }


def _by_label(chats: Sequence[Chat]) -> dict[str, int]:
    found = Counter(chat.label for chat in chats)
    return {name: found[name] for name in LABELS}


def _lacking(wanted: dict[str, int], chats: Sequence[Chat]) -> dict[str, int]:
    return {name: wanted[name] - found for name, found in _by_label(chats).items() if found < wanted[name]}


def _mixed(ranked: list[tuple[int, Chat]]) -> list[Chat]:
    """All kinds mixed, in the order of the draw."""
    return [chat for _, chat in sorted(ranked, key=lambda each: each[0])]
