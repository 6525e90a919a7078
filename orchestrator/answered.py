"""What an endpoint's answer holds: text and why it ended, tokens, log-probabilities, or what is wrong with it."""

import email.utils
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WITHHELD = ("content_filter", "refusal")
"""Reasons to finish that say that the endpoint would not answer."""


MOST_TOKENS = 2**31
"""A text of so many tokens there is not."""


class RequestFailed(Exception):
    """An endpoint refused a request, or could not be reached in all attempts; `status` is that of a refusal."""

    def __init__(self, why: str, status: int | None = None) -> None:
        super().__init__(why, status)
        self.status = status

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class Answer:
    """What an endpoint said to one conversation; `seconds` includes waiting and further attempts.

    `finish_reason` is the endpoint's own; "refusal" where it gave its refusal in place of a reply.
    """

    text: str
    finish_reason: str | None
    prompt_tokens: int | None
    reply_tokens: int | None
    seconds: float


def after(headers: Mapping[str, str]) -> float:
    """The seconds that a Retry-After header asks for, given as such or as a date."""
    said = headers.get("Retry-After", "")
    if said.replace(".", "", 1).isdigit():
        return float(said)
    try:
        return max(0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return 0


def answer(said: Any, seconds: float) -> Answer:
    try:
        choice, usage = said["choices"][0], said.get("usage") or {}
        text, reason = _said(choice["message"], choice.get("finish_reason"))
        return Answer(
            _storable(text), reason, _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")), seconds
        )
    except (LookupError, TypeError, AttributeError) as error:
        raise RequestFailed(f"the endpoint's answer is not a chat completion: {str(said)[:300]}") from error


def scored(said: Any, prompts: Sequence[Sequence[int]]) -> list[list[float]]:
    try:
        choices = sorted(said["choices"], key=lambda choice: choice["index"])
        found = [[math.nan, *map(float, choice["logprobs"]["token_logprobs"][1:])] for choice in choices]
    except (LookupError, TypeError, ValueError) as error:
        raise RequestFailed(f"the endpoint's answer holds no log-probabilities: {str(said)[:300]}") from error
    if [len(each) for each in found] != [len(each) for each in prompts]:
        raise RequestFailed("the endpoint scored other tokens than it was given")
    return found


def _said(message: Any, reason: Any) -> tuple[str, str | None]:
    """The text of a message and why it ended; a refusal that comes beside an empty message is the text."""
    reason = _storable(reason) if isinstance(reason, str) else None
    if isinstance(message.get("content"), str):
        return message["content"], reason
    if message.get("refusal"):
        return str(message["refusal"]), "refusal"
    if reason in WITHHELD:
        return "", reason
    raise RequestFailed(f"the endpoint's answer holds no text (finish_reason {reason})")


def empty(said: Any) -> bool:
    """Whether an answer is no reply at all, but an endpoint's failure: no text, and not a word of why it is so.

    A model that has nothing to say writes its end token and stops. Content that is withheld says so.
    """
    try:
        choice, usage = said["choices"][0], said.get("usage") or {}
        silent = choice["message"].get("content") == "" and not choice["message"].get("refusal")
        own = choice.get("finish_reason") and _count(usage.get("completion_tokens"))
    except (LookupError, TypeError, AttributeError):
        return False
    return silent and not own and choice.get("finish_reason") not in WITHHELD


def _count(tokens: Any) -> int | None:
    """A number of tokens as endpoints give it; None for what cannot be one."""
    return tokens if type(tokens) is int and 0 <= tokens < MOST_TOKENS else None


def _storable(text: str) -> str:
    """Half a surrogate pair is valid in JSON and in no table."""
    return text.encode("utf-8", "replace").decode("utf-8")
