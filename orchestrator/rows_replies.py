"""Rows about what subjects said, and what judges and people made of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .keys import KEY, digest, digests


@dataclass(frozen=True, slots=True)
class Reply:
    """What a subject said to one prompt, or why it said nothing (`replies/<subject>/<task>.arrow`).

    `seconds` is the time the request took, waiting included; `request` digests everything that the reply follows from:
    weights, system prompt, prompt and sampling; `prompt_set`, the sentences and the layout that prompts are made of.
    `role_header` says whether a chat template shows in the reply. `certificate` names what was found about the weights
    that were served (`certificates/`), null where they cannot be compared. `error` is null in a finished row.

    Where the user disagrees with the first answer (`pushback` is what was said, after `first_reply`), `reply` is the
    answer to that, and tokens and seconds are those of both requests.
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
    first_reply: str | None = None
    pushback: str | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """A judge's verdict on one reply (`scores/<judge>/<subject>/<task>.arrow`).

    `outcome` is one of `tasks.OUTCOMES`; null if the verdict could not be had: `error` then says why, or `said` is what
    a language model answered in place of one word. `judged_by` digests what the verdict follows from besides the reply.
    `first_outcome` is that of the first answer, where the user disagreed with it and was answered again.
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
    first_outcome: str | None = None

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


DIGESTED = ("prompt", "reply", "first_reply", "pushback")
"""The columns that `reply_digest` is made of."""


def reply_digest(reply: Reply) -> str:
    """What a score or a warmth is of: the prompt and what was said to it, in both turns where there were two."""
    return digest(*_digested([getattr(reply, name) for name in DIGESTED]))


def reply_digests(rows: Iterable[Sequence[Any]]) -> list[str]:
    """The same of many rows' columns `DIGESTED`."""
    return digests((), map(_digested, rows))


def _digested(row: Sequence[Any]) -> Sequence[Any]:
    return row[:2] if row[3] is None else row
