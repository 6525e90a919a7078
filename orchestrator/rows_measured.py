"""Rows about how warm replies are, and about what was paid."""

from dataclasses import dataclass


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
