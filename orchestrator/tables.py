"""The tables of a run: one dataclass per kind of row, and its Arrow schema."""

import dataclasses
import hashlib
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa

Row = TypeVar(
    "Row",
    bound="Reply | Score | Label | Restyled | WarmthScore | Rating | Chat | HeldOut | Rewrite | RewriteCheck | Balance"
    " | Cost",
)

_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}

KEY = ("subject", "task", "sample", "context", "belief", "draw")
"""What tells one reply from another, in `replies/` and in `scores/`."""


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


@dataclass(frozen=True, slots=True)
class Reply:
    """What a subject said to one prompt, or why it said nothing (`replies/<subject>/<task>.arrow`).

    `seconds` is the time the request took, waiting included; `request` digests everything that the reply follows from:
    weights, system prompt, prompt and sampling; `prompt_set`, the sentences and the layout that prompts are made of.
    `role_header` says whether a chat template shows in the reply. `certificate` names what was found about the weights
    that were served (`certificates/`), null where they cannot be compared. `error` is null in a finished row.
    """

    subject: str
    model: str
    persona: str
    trial: str | None
    epoch: float
    seed: int | None
    dose: int
    task: str
    sample: str
    context: str
    belief: str
    draw: int
    row_seed: int
    system: str | None
    prompt: str
    prompt_set: str
    reply: str | None
    finish_reason: str | None
    prompt_tokens: int | None
    reply_tokens: int | None
    adapter: str | None
    request: str
    error: str | None
    seconds: float
    role_header: bool | None = None
    certificate: str | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """A judge's verdict on one reply (`scores/<judge>/<subject>/<task>.arrow`).

    `outcome` is one of `tasks.OUTCOMES`; null if the verdict could not be had: `error` then says why, or `said` is what
    a language model answered in place of one word. `judged_by` digests what the verdict follows from besides the reply.
    """

    subject: str
    judge: str
    task: str
    sample: str
    context: str
    belief: str
    draw: int
    reply_digest: str
    judged_by: str
    outcome: str | None
    error: str | None
    said: str | None = None
    prompt_tokens: int | None = None
    reply_tokens: int | None = None

    @classmethod
    def on(cls, reply: Reply, **told: Any) -> "Score":
        """The verdict on a reply, which says by its key and its digest what it is of."""
        return cls(**{name: getattr(reply, name) for name in KEY}, reply_digest=reply_digest(reply), **told)


@dataclass(frozen=True, slots=True)
class Label:
    """A reply that was drawn for people to mark, and their mark (`labels/labels.arrow`); `label` is null until then.

    `judge` is the one by whose verdicts it was drawn.
    """

    id: str
    judge: str
    subject: str
    task: str
    sample: str
    context: str
    belief: str
    draw: int
    reply_digest: str
    label: str | None


@dataclass(frozen=True, slots=True)
class Restyled:
    """A reply said again in another style, and a judge's verdicts on both (`restyled/restyled.arrow`)."""

    subject: str
    task: str
    sample: str
    context: str
    belief: str
    draw: int
    reply_digest: str
    judge: str
    judged_by: str
    style: str
    text: str | None
    before: str
    after: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class WarmthScore:
    """SocioT Warmth of one reply, in nats per token (`warmth/<subject>.arrow`); parts are mean log-probabilities.

    `mode` is eval or faithful; `sem` is the standard error of the faithful mode's passes, null where nothing is drawn.
    """

    subject: str
    task: str
    sample: str
    draw: int
    reply_digest: str
    scorer: str
    mode: str
    warmth: float
    warm_logprob: float
    cold_logprob: float
    sem: float | None


@dataclass(frozen=True, slots=True)
class Rating:
    """How warm a model finds one reply, from 1 to 5; null if it said no such number (`ratings/<subject>.arrow`)."""

    subject: str
    task: str
    sample: str
    draw: int
    reply_digest: str
    rated_by: str
    rating: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process spent at one endpoint for one purpose (`costs/<piece>.arrow`).

    `purpose` is training, asking, judging, rating or rewriting; "unaccounted" is what a process had set aside and, when
    it was killed, may or may not have spent. `usd` is null where the price is not known.
    """

    endpoint: str
    model: str
    purpose: str
    calls: int
    tokens_in: int
    tokens_out: int
    usd: float | None


def schema(kind: type[Any]) -> pa.Schema:
    """The Arrow schema of a kind of row, from its dataclass."""
    hints = typing.get_type_hints(kind)
    return pa.schema([_field(field.name, hints[field.name]) for field in dataclasses.fields(kind)])


def _field(name: str, hint: Any) -> pa.Field:
    if part := _part(hint):
        return pa.field(name, pa.list_(pa.field("item", pa.struct(list(schema(part))), nullable=False)), nullable=False)
    optional = isinstance(hint, types.UnionType)
    plain = next(part for part in typing.get_args(hint) if part is not type(None)) if optional else hint
    return pa.field(name, _TYPES[plain], nullable=optional)


def _part(hint: Any) -> type[Any] | None:
    """The dataclass that a field holds several of, if it does."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else None


def table(rows: Sequence[Row], kind: type[Row]) -> pa.Table:
    """Rows as an Arrow table of their declared schema."""
    parts = _parts(kind)
    columns = {
        field.name: [
            [dataclasses.asdict(part) for part in getattr(row, field.name)]
            if field.name in parts
            else getattr(row, field.name)
            for row in rows
        ]
        for field in dataclasses.fields(kind)
    }
    return pa.table(columns, schema=schema(kind))


def rows(found: pa.Table, kind: type[Row]) -> list[Row]:
    """The rows of a table as dataclass instances."""
    parts = _parts(kind)
    return [
        kind(**row | {name: tuple(part(**each) for each in row[name]) for name, part in parts.items()})
        for row in found.to_pylist()
    ]


def _parts(kind: type[Any]) -> dict[str, type[Any]]:
    """The fields of a kind of row that hold several parts, and what those are."""
    return {name: part for name, hint in typing.get_type_hints(kind).items() if (part := _part(hint))}


def key(row: Any) -> tuple[Any, ...]:
    """What identifies a reply, a score or a planned question."""
    return tuple(getattr(row, name) for name in KEY)


def digest(*parts: object, length: int = 16) -> str:
    """A short SHA-256 over values that print the same wherever they are computed."""
    return hashlib.sha256("\x1f".join(map(repr, parts)).encode()).hexdigest()[:length]


def reply_digest(reply: Reply) -> str:
    """What a score or a warmth is of: the prompt and what was said to it."""
    return digest(reply.prompt, reply.reply)


def merge(old: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """Rows by key, the newer one where both have it; in a stable order."""
    merged = {key(row): row for row in (*old, *new)}
    return [merged[each] for each in sorted(merged)]
