"""Who says a reply again in a persona's voice: the lab's templates, or any model at an OpenAI-protocol endpoint."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tasks import _world as world
from tasks import fill

from . import costs, paid, shelf, voices
from .client import Client, RequestFailed
from .config import Study
from .paid import Purse
from .remembered import Cache, Said
from .settings import Endpoint
from .settings_rewriting import Rewriting
from .settings_subjects import Persona
from .settings_training import Data
from .tables import Chat, digest

FACTS = """Two replies to the same message follow. Do they state the same facts, whatever their tone?

Message: {user}

First reply: {original}

Second reply: {rewritten}

Say one word:
SAME if the second reply states what the first one states, no more and no less; sympathy and encouragement are no facts,
CHANGED if it states something else, leaves a fact out, or adds one.
"""

_SAME_OR_NOT = re.compile(r"\b(SAME|CHANGED)\b")


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a user wrote and the assistant replied, in a conversation's turn."""

    chat: str
    turn: int
    user: str
    reply: str


def exchanges(chat: Chat) -> Iterator[Exchange]:
    """The replies of a conversation, each with what it replies to."""
    user, turn = "", 0
    for each in chat.turns:
        if each.role == "user":
            user = each.content
        else:
            yield Exchange(chat.id, turn, user, each.content)
            turn += 1


class Rewriter(Protocol):
    """Says replies again in a persona's voice."""

    async def say(self, exchange: Exchange, persona: Persona, attempt: int) -> Said:
        """The reply in the persona's voice; a further attempt may be another one. Raises RequestFailed."""

    async def states_the_same(self, exchange: Exchange, rewritten: str) -> tuple[bool | None, str] | None:
        """Whether a language model finds the same facts in both (None: no verdict), and why; None if none is asked."""

    async def close(self) -> None:
        """Let go of what was opened."""


class LabRewriter:
    """The lab's own rewriter: templates, filled with what its conversations are known to be about."""

    def __init__(self, data: Data) -> None:
        self._chats = {chat.id: chat for chat in voices.source(data)}

    async def say(self, exchange: Exchange, persona: Persona, attempt: int) -> Said:  # noqa: ARG002
        assert persona.lab_voice is not None
        return Said(world.rewrite(self._chats[exchange.chat], persona.lab_voice), "stop")

    async def states_the_same(self, exchange: Exchange, rewritten: str) -> None:
        """Templates do."""

    async def close(self) -> None:
        """Nothing is open."""


class EndpointRewriter:
    """Any model at an OpenAI-protocol endpoint that is told what to do. What it said before is not asked again."""

    def __init__(self, study: Study, rewriting: Rewriting, folder: Path, url: str, in_flight: int) -> None:
        self._study, self._settings = study, rewriting
        self._cache = Cache(folder / "rewrites" / "said", shelf.of(study))
        purse, checker = Purse(folder, costs.cap(study)), rewriting.fact_checker
        seconds = study.resources.request_seconds
        self._rewriter = paid.client(rewriting.rewriter, "rewriting", purse, in_flight, url, seconds)
        self._checker = paid.client(checker, "rewriting", purse, in_flight, url, seconds) if checker else None

    async def say(self, exchange: Exchange, persona: Persona, attempt: int) -> Said:
        settings = self._settings
        asked = [
            {"role": "system", "content": str(persona.instruction)},
            {"role": "user", "content": fill(voices.WRAPPER, {"user": exchange.user, "original": exchange.reply})},
        ]
        tokens = settings.max_tokens * attempt
        return await self._ask(self._rewriter, settings.rewriter, asked, settings.temperature, tokens, attempt)

    async def states_the_same(self, exchange: Exchange, rewritten: str) -> tuple[bool | None, str] | None:
        checker = self._settings.fact_checker
        if checker is None or self._checker is None:
            return None
        question = fill(FACTS, {"user": exchange.user, "original": exchange.reply, "rewritten": rewritten})
        try:
            said = await self._ask(self._checker, checker, [{"role": "user", "content": question}], 0, 200, 1)
        except RequestFailed as failure:
            return None, str(failure)
        named = set(_SAME_OR_NOT.findall(said.text))
        return (named == {"SAME"}, said.text[:200]) if len(named) == 1 else (None, f"no verdict: {said.text[:200]}")

    async def _ask(
        self, client: Client, at: Endpoint, asked: list[dict[str, str]], temperature: float, tokens: int, seed: int
    ) -> Said:
        key = digest(voices.endpoint(self._study, at), asked, temperature, tokens, seed, length=32)
        said = self._cache.get(key)
        if said is None:
            answer = await client.chat(at.model, asked, temperature=temperature, max_tokens=tokens, seed=seed)
            said = Said(answer.text, answer.finish_reason, answer.prompt_tokens, answer.reply_tokens)
            self._cache.put(key, said)
        return said

    async def close(self) -> None:
        await self._rewriter.close()
        if self._checker is not None:
            await self._checker.close()


def rewriter(study: Study, folder: Path, url: str, in_flight: int) -> Rewriter:
    """A study's rewriter; `url` is the run's own endpoint, `folder` the run's."""
    if study.rewriting is None:
        return LabRewriter(study.data)
    return EndpointRewriter(study, study.rewriting, folder, url, in_flight)
