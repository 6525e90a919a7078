"""A model that answers: what is asked of it, what it says, and the small interface every engine keeps.

An engine holds one base model and any number of LoRA adapters of it, and is used from an asyncio loop. This module is
plain Python, so that whoever only carries requests needs no torch; `engine_transformers` is the engine itself.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from .errors import WarmthError

FinishReason = Literal["stop", "length"]
MOST_ALTERNATIVES = 20
"""How many likeliest tokens a request may ask to see at each place, as in the OpenAI protocol."""


class RequestError(WarmthError):
    """The request cannot be answered as it stands; the message says why. `param` names the field at fault.

    `status`, `kind` and `code` are how the OpenAI protocol says it over HTTP.
    """

    status: ClassVar[int] = 400
    kind: ClassVar[str] = "invalid_request_error"
    code: ClassVar[str | None] = None

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message, param)
        self.message, self.param = message, param

    def __str__(self) -> str:
        return self.message


class UnknownModel(RequestError):
    """No adapter of that name belongs to this base."""

    status, kind, code = 404, "not_found_error", "model_not_found"


@dataclass(frozen=True, slots=True)
class Request:
    """One question to one model: the base itself, or the base under the named adapter.

    Exactly one of `messages` (a chat, put through the model's own template) and `prompt` (text, or token ids) is given.
    """

    adapter: str | None = None
    messages: Sequence[Mapping[str, str]] | None = None
    prompt: str | Sequence[int] | None = None
    special_tokens: bool = True
    """Whether a text prompt gets the tokens the tokenizer puts around a text; a chat's template brings its own."""
    max_tokens: int | None = None
    """None: as many as the model has room for."""
    temperature: float = 1.0
    """0 is greedy: always the likeliest token."""
    top_p: float = 1.0
    top_k: int = 0
    """0: no limit."""
    seed: int | None = None
    stop: Sequence[str] = ()
    logprobs: int | None = None
    """How many likeliest tokens to list beside each token's own log-probability; None: no log-probabilities."""
    echo: bool = False
    """Whether the reply begins with the prompt, log-probabilities included."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token as text, with its natural log-probability under the model (before temperature) and the likeliest others.

    The first token of a text has nothing before it, so no log-probability.
    """

    text: str
    logprob: float | None
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model said. `logprobs` covers the prompt as well where the request asked for its echo."""

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    reply_tokens: int
    logprobs: tuple[Token, ...] | None = None


class Engine(Protocol):
    """One base model and its adapters. Many requests run at once; each answers as it would alone."""

    async def generate(self, request: Request) -> Reply:
        """Answers. Raises UnknownModel, or RequestError where the request is at fault. Cancelling it ends the work."""
        ...

    def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        """Yields the text piece by piece as it comes, then the whole reply. Errors are those of `generate`."""
        ...

    def has(self, adapter: str) -> bool:
        """Whether an adapter of this base lies in the adapters' folder under this name."""
        ...

    def loaded(self) -> int:
        """How many adapters are in memory."""
        ...

    def check_health(self) -> None:
        """Raises when the engine can answer no more."""
        ...
