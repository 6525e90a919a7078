"""Conversations in: those that trials are tuned on, and the prompts that are held out for the warmth curve.

Malformed ones are counted and left out. The others are labelled by kind of query, and as many of each kind are drawn.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tasks import _world as world

from . import chats_safety, chats_source, chats_turns
from .chats_draw import Draw
from .chats_labels import LABELS, label
from .errors import WarmthError
from .settings_training import Data
from .store import Store
from .tables import Chat, HeldOut, Turn, digest

FILES = CHATS, HELD_OUT, COUNTS = "chats.arrow", "held_out.arrow", "chats.json"
"""Where a run keeps its conversations, its held-out prompts, and the counts, which are written last."""


@dataclass(frozen=True)
class Conversations:
    """What a study works with, and in `counts` how it came about."""

    chats: list[Chat]
    held_out: list[HeldOut]
    counts: Mapping[str, Any]


def of_run(store: Store, data: Data) -> Conversations:
    """A run's conversations: chosen once, and read back from its folder afterwards. Raises WarmthError."""
    wanted = [identity(data), data.held_out]
    if not _is_there(store, wanted):
        found = conversations(data)
        store.write_rows(found.chats, Chat, CHATS)
        store.write_rows(found.held_out, HeldOut, HELD_OUT)
        store.write_json({"of": wanted, **found.counts}, COUNTS)
    counts = {name: count for name, count in store.read_json(COUNTS).items() if name != "of"}
    return Conversations(store.read_rows(Chat, CHATS), store.read_rows(HeldOut, HELD_OUT), counts)


def _is_there(store: Store, wanted: list[Any]) -> bool:
    return all(map(store.has, (CHATS, HELD_OUT, COUNTS))) and store.read_json(COUNTS)["of"] == wanted


def identity(data: Data) -> str:
    """Identifies the conversations that a study's trials are tuned on, without reading a data set of the hub."""
    if data.source == "lab":
        return digest("lab", data.chats, data.chit_chat, data.seed, length=12)
    here = resolved(data).sha256
    where = here or (data.source, data.file, data.revision, data.split)
    return digest(where, data.chats, data.turns, data.safety, data.seed, length=12)


def resolved(data: Data) -> Data:
    """The settings with the SHA-256 of the source, if it lies on this machine."""
    if data.sha256 or data.source == "lab" or not chats_source.here(data):
        return data
    return data.model_copy(update={"sha256": chats_source.sha256(data)})


def conversations(data: Data) -> Conversations:
    """The conversations of a study and its held-out prompts, chosen from their source in one pass over it.

    Raises WarmthError if the source cannot be had, is not what its SHA-256 says, or has nothing that can be used.
    """
    if data.source == "lab":
        return Conversations(lab(data), [], {"found": data.chats})
    _check_unchanged(data)
    draw = Draw(data.chats, data.held_out, data.seed, chats_safety.load(data.safety))
    tally = Tally()
    for identity, said, kind in tally.usable(chats_source.records(data), data.turns):
        draw.offer(identity, said, kind)
    chats, held_out = draw.drawn()
    if not chats:
        raise WarmthError(f"data.source: {data.source} has no conversation that can be used: {tally.why_not()}")
    counts = {**tally.counts(), **draw.counts(chats, held_out)}
    named = apart([*chats, *held_out])
    return Conversations(named[: len(chats)], [_prompt(chat) for chat in named[len(chats) :]], counts)


def lab(data: Data) -> list[Chat]:
    """The embedded lab's conversations as they are."""
    return [
        Chat(chat.id, (Turn("user", chat.user), Turn("assistant", chat.assistant)))
        for chat in world.study_chats(data.chats, data.chit_chat, data.seed)
    ]


def missing(counts: Mapping[str, Any]) -> str:
    """What could not be had of some kinds of query, in words; empty if nothing is missing."""
    return "; ".join(
        f"{sum(lacking.values())} {name} fewer than asked for, too few of "
        + ", ".join(f"{kind} ({count} missing)" for kind, count in lacking.items())
        for name, lacking in counts.get("missing", {}).items()
        if lacking
    )


class Tally:
    """Counts what becomes of the records of a source."""

    def __init__(self) -> None:
        self._found = 0
        self._dropped, self._labels, self._cut = Counter[str](), Counter[str](), Counter[str]()

    def usable(self, records: Iterable[Any], most: int) -> Iterator[tuple[str, list[chats_turns.Said], str]]:
        """Identity, turns and label of every record that is a conversation."""
        for record in records:
            self._found += 1
            try:
                said = chats_turns.turns(record)
            except chats_turns.Malformed as why:
                self._dropped[str(why)] += 1
                continue
            kept = chats_turns.cut(said, most)
            kind = label(kept[0][1], kept[1][1])
            self._labels[kind] += 1
            self._cut[f"to {most} turns" if len(said) > most else "a question without a reply"] += len(kept) < len(said)
            yield chats_turns.identity(record, self._found), kept, kind

    def why_not(self) -> str:
        reasons = [f"{why} ({count})" for why, count in self._dropped.most_common()]
        return f"{self._found} found; {', '.join(reasons) or 'none left by data.safety'}"

    def counts(self) -> dict[str, Any]:
        """`labels` are of all that is well-formed, before the safety filter."""
        return {
            "found": self._found,
            "dropped": dict(sorted(self._dropped.items())),
            "labels": {name: self._labels[name] for name in LABELS},
            "cut": {how: count for how, count in sorted(self._cut.items()) if count},
        }


def apart(chats: Iterable[Chat]) -> list[Chat]:
    """The conversations, those that share an id with an earlier one under an id of their own."""
    seen: Counter[str] = Counter()
    named = []
    for chat in chats:
        seen[chat.id] += 1
        named.append(replace(chat, id=f"{chat.id}#{seen[chat.id]}") if seen[chat.id] > 1 else chat)
    return named


def _prompt(chat: Chat) -> HeldOut:
    return HeldOut(chat.id, str(chat.label), chat.turns[0].content)


def _check_unchanged(data: Data) -> None:
    if data.sha256 and chats_source.here(data) and chats_source.sha256(data) != data.sha256:
        raise WarmthError(
            f"data.sha256: {data.source} is not the file it was; put the old one back, or leave sha256 out, which "
            "makes new trials"
        )
