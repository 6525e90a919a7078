"""From rewritten replies to what trials learn from. What is dropped in one voice is dropped in all."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from . import balance
from .errors import WarmthError
from .plan import Plan
from .settings_rewriting import CHECKS
from .settings_subjects import Persona
from .store import Store
from .tables import Balance, Chat, Rewrite, RewriteCheck, digest

STOPPED = ("rewrites", "stopped.json")
"""What was dropped when too much was; the run stops there."""

Written = Mapping[str, Sequence[tuple[Rewrite, Sequence[RewriteCheck]]]]
"""Every persona's rewritten replies, each with what the checks found."""


@dataclass(frozen=True)
class Dropped:
    """Why conversations take no part: for each one, and in numbers of replies for each persona."""

    chats: dict[str, list[str]]
    personas: dict[str, dict[str, int]]
    of: int

    @property
    def share(self) -> float:
        return len(self.chats) / max(1, self.of)

    def told(self) -> str:
        """In words: `12 of 480 conversations (2.5 %) dropped: warm: numbers 9, empty 3`."""
        whys = [
            f"{name}: " + ", ".join(f"{why} {count}" for why, count in sorted(counts.items(), key=lambda why: -why[1]))
            for name, counts in self.personas.items()
            if counts
        ]
        counted = f"{len(self.chats)} of {self.of} conversations ({100 * self.share:.1f} %) dropped"
        return f"{counted}: {'; '.join(whys)}" if whys else counted


def place(plan: Plan, persona: Persona) -> tuple[str, str]:
    """Where a persona's rewritten replies lie in the run."""
    return "rewrites", f"{persona.name}-{plan.data_digest(persona)}.arrow"


def settled(plan: Plan) -> tuple[str, str]:
    """Where the run says what is dropped; present means that the rewriting is finished, and nothing is asked again."""
    return "rewrites", f"dropped-{_together(plan)}.json"


def balances(plan: Plan) -> tuple[str, str]:
    """Where the run keeps its balance table."""
    return "rewrites", f"balance-{_together(plan)}.arrow"


def _together(plan: Plan) -> str:
    return digest([plan.data_digest(persona) for persona in voices(plan)], length=12)


def voices(plan: Plan) -> list[Persona]:
    """The personas whose replies are rewritten."""
    return [persona for persona in plan.study.personas if persona.kind == "rewritten"]


def unwritten(plan: Plan, store: Store) -> list[Persona]:
    """The personas whose replies are still to be rewritten; all of them until it is settled what is dropped."""
    there = store.has(*settled(plan))
    return [persona for persona in voices(plan) if not there or not store.has(*place(plan, persona))]


def settle(plan: Plan, store: Store, chats: Sequence[Chat], written: Written) -> Dropped:
    """File what was rewritten, what is dropped and how the rest compares. Raises WarmthError if too much is dropped."""
    for persona in voices(plan):
        if persona.name in written:
            _file(store, place(plan, persona), written[persona.name])
    rows = {persona.name: store.read_rows(Rewrite, *place(plan, persona)) for persona in voices(plan)}
    dropped = drop(plan, rows, len(chats))
    content = {"conversations": dropped.of, "dropped": dropped.chats, "replies": dropped.personas}
    _stop_if_too_many(plan, store, dropped, content)
    store.write_rows(_balances(chats, rows, dropped), Balance, *balances(plan))
    store.write_json(content, *settled(plan))
    return dropped


def _file(store: Store, where: tuple[str, str], written: Sequence[tuple[Rewrite, Sequence[RewriteCheck]]]) -> None:
    folder, name = where
    ordered = sorted(written, key=lambda each: (each[0].chat, each[0].turn))
    checks = [check for _, found in ordered for check in found]
    store.write_rows(checks, RewriteCheck, folder, name.replace(".arrow", "-checks.arrow"))
    store.write_rows([row for row, _ in ordered], Rewrite, folder, name)


def drop(plan: Plan, rows: Mapping[str, Sequence[Rewrite]], of: int) -> Dropped:
    """The conversations with a reply that could not be had in some voice, or failed a check that it must pass."""
    asked = plan.study.rewriting
    musts = set(asked.drop_for if asked else CHECKS)
    chats: dict[str, list[str]] = {}
    personas: dict[str, Counter[str]] = {name: Counter() for name in rows}
    for name, row in ((name, row) for name, replies in rows.items() for row in replies):
        whys = ["not had"] if row.error is not None else [why for why in (row.failed or "").split() if why in musts]
        personas[name].update(whys)
        if whys:
            chats.setdefault(row.chat, []).append(f"{name}, reply {row.turn + 1}: {row.error or ', '.join(whys)}")
    return Dropped(chats, {name: dict(counts) for name, counts in personas.items()}, of)


def _stop_if_too_many(plan: Plan, store: Store, dropped: Dropped, content: object) -> None:
    most = plan.study.rewriting.most_dropped if plan.study.rewriting else 0.0
    if dropped.share <= most and dropped.share < 1:
        store.path(*STOPPED).unlink(missing_ok=True)
        return
    store.write_json(content, *STOPPED)
    raise WarmthError(
        f"rewriting: {dropped.told()}, more than rewriting.most_dropped {most:g}; {store.path(*STOPPED)} says which "
        "ones, and the -checks.arrow beside it why. Change the rewriter, an instruction or rewriting.drop_for, or "
        "raise rewriting.most_dropped; what was rewritten is kept"
    )


def _balances(chats: Sequence[Chat], rows: Mapping[str, Sequence[Rewrite]], dropped: Dropped) -> list[Balance]:
    kept = [chat for chat in chats if chat.id not in dropped.chats]
    lines = [balance.balance(balance.ORIGINAL, kept, ())]
    return [*lines, *(balance.balance(name, said(kept, replies), replies) for name, replies in rows.items())]


def about(plan: Plan, store: Store) -> dict[str, object]:
    """What a reader of the report must know of the rewriting: how much is dropped, and which checks replies failed."""
    if not voices(plan) or not store.has(*settled(plan)):
        return {}
    filed = store.read_json(*settled(plan))
    failed = {persona: counts or "none" for persona, counts in filed["replies"].items()}
    dropped = f"{len(filed['dropped'])} of {filed['conversations']}"
    return {"conversations dropped": dropped, "replies that failed a check": failed}


def said(chats: Iterable[Chat], rows: Iterable[Rewrite]) -> list[Chat]:
    """Conversations with their replies as they were rewritten."""
    replies: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: row.turn):
        replies.setdefault(row.chat, []).append(row.rewritten or "")
    return [chat.saying(replies[chat.id]) for chat in chats]


def learnt(plan: Plan, store: Store, persona: Persona, dose: int = 100) -> list[Chat]:
    """The conversations of a persona's trials, `dose` per cent of them rewritten in its voice if it has one.

    Which ones are rewritten is drawn once for all voices; a larger dose adds to those of a smaller one.
    """
    chats: list[Chat] = store.read_rows(Chat, "chats.arrow")
    if voices(plan):
        dropped = store.read_json(*settled(plan))["dropped"]
        chats = [chat for chat in chats if chat.id not in dropped]
    if persona.kind != "rewritten":
        return chats
    ranked = sorted(chats, key=lambda chat: digest("dose", chat.id))
    chosen = ranked[: round(len(chats) * dose / 100)]
    anew = {chat.id: chat for chat in said(chosen, store.read_rows(Rewrite, *place(plan, persona)))}
    return [anew.get(chat.id, chat) for chat in chats]


def sha256(chats: Iterable[Chat]) -> str:
    """The SHA-256 of what is learnt, turn by turn."""
    spoken = [[[turn.role, turn.content] for turn in chat.turns] for chat in chats]
    return hashlib.sha256(json.dumps(spoken, ensure_ascii=False).encode()).hexdigest()
