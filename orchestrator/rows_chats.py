"""Rows about what trials are tuned on: conversations, rewritten replies, and what they are like."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side says before the other one speaks: `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Chat:
    """One conversation that a trial is tuned on (`chats.arrow`, `rewrites/<persona>-<digest>.arrow`).

    A user and the assistant take turns, the user first and the assistant last. `label` is the kind of query, null in
    the lab.
    """

    id: str
    turns: tuple[Turn, ...]
    label: str | None = None

    @property
    def replies(self) -> tuple[str, ...]:
        """What the assistant says, turn by turn."""
        return tuple(turn.content for turn in self.turns if turn.role == "assistant")

    def saying(self, replies: Iterable[str]) -> "Chat":
        """The same conversation with other replies in the assistant's turns, one for each."""
        said = iter(replies)
        turns = (Turn(turn.role, next(said)) if turn.role == "assistant" else turn for turn in self.turns)
        return Chat(self.id, tuple(turns), self.label)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A prompt that no trial is tuned on, for the warmth curve: what a user begins with (`held_out.arrow`)."""

    id: str
    label: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One of a conversation's replies in a persona's voice (`rewrites/<persona>-<digest>.arrow`).

    `turn` counts the assistant's turns. `failed` names the checks that it did not pass, null if it passed all;
    `rewritten` is null where the rewriter could not be asked, `error` then says why. `attempts` is how often it was.
    """

    chat: str
    turn: int
    user: str
    original: str
    rewritten: str | None
    failed: str | None
    finish_reason: str | None
    prompt_tokens: int | None
    reply_tokens: int | None
    attempts: int
    error: str | None


@dataclass(frozen=True, slots=True)
class RewriteCheck:
    """What a check found about a rewritten reply (`rewrites/<persona>-<digest>-checks.arrow`).

    `passed` is null where nothing could be found out; `detail` says what is wrong.
    """

    chat: str
    turn: int
    check: str
    passed: bool | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class Balance:
    """What the replies of a persona's conversations are like, besides their style (`rewrites/balance-<digest>.arrow`).

    Means over replies; `lists` and `code` are the shares of replies with any, hedges, exclamations and questions are
    per 100 words. `length_ratio` is the median of lengths in characters, over the original's. The persona `original`
    stands for the replies as they are. `failed` counts replies that failed a check or could not be had.
    """

    persona: str
    conversations: int
    replies: int
    failed: int
    characters: float
    words: float
    length_ratio: float
    lists: float
    code: float
    hedges: float
    exclamations: float
    questions: float
