"""The OpenAI protocol: what a client sends, as requests to an engine, and what it is sent back."""

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .engine import MOST_ALTERNATIVES, Reply, Request, RequestError, Token

Kind = Literal["chat", "completion"]
Stop = Annotated[str, Field(min_length=1, max_length=1000)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
MOST_PROMPTS = 1024
"""Prompts in one request."""
Alternatives = Annotated[int, Field(ge=0, le=MOST_ALTERNATIVES)]


class StreamOptions(BaseModel):
    """Whether the stream ends with a count of tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    include_usage: bool = False


class Body(BaseModel):
    """What both kinds of request share. `top_k` is vLLM's addition; a setting that cannot be honoured is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str
    max_tokens: int | None = Field(None, ge=1)
    temperature: float = Field(1.0, ge=0, le=100, allow_inf_nan=False)
    top_p: float = Field(1.0, ge=0, le=1, allow_inf_nan=False)
    top_k: int = Field(0, ge=-1, lt=2**31)
    seed: Seed | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] | None = None
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    n: Literal[1] = 1
    presence_penalty: Literal[0] = 0
    frequency_penalty: Literal[0] = 0
    user: str | None = None

    def sampling(self, adapter: str | None) -> dict[str, Any]:
        """The engine's settings that have the same meaning for both kinds."""
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return {
            "adapter": adapter,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": max(0, self.top_k),
            "seed": self.seed,
            "stop": tuple(stops),
        }


class Part(BaseModel):
    """A piece of what is said; some chat pages send pieces."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One turn of a chat."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    role: str
    content: str | list[Part]

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatBody(Body):
    """POST /v1/chat/completions."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool = False
    top_logprobs: Alternatives | None = None

    def requests(self, adapter: str | None) -> list[Request]:
        """The one request this is."""
        messages = [{"role": message.role, "content": message.text} for message in self.messages]
        return [
            Request(
                messages=messages,
                max_tokens=self.max_completion_tokens or self.max_tokens,
                logprobs=(self.top_logprobs or 0) if self.logprobs else None,
                **self.sampling(adapter),
            )
        ]


class CompletionBody(Body):
    """POST /v1/completions. `add_special_tokens` is vLLM's addition."""

    prompt: str | list[str] | list[int] | list[list[int]]
    max_tokens: int | None = Field(16, ge=0)
    echo: bool = False
    logprobs: Alternatives | None = None
    add_special_tokens: bool = True

    def requests(self, adapter: str | None) -> list[Request]:
        """One request for each prompt."""
        many = isinstance(self.prompt, list) and self.prompt and not isinstance(self.prompt[0], int)
        prompts: Sequence[Any] = self.prompt if many else [self.prompt]
        if len(prompts) > MOST_PROMPTS:
            raise RequestError(f"{len(prompts)} prompts; the most in one request is {MOST_PROMPTS}", "prompt")
        return [
            Request(
                prompt=prompt,
                special_tokens=self.add_special_tokens,
                max_tokens=self.max_tokens,
                logprobs=self.logprobs,
                echo=self.echo,
                **self.sampling(adapter),
            )
            for prompt in prompts
        ]


BODIES: dict[Kind, type[ChatBody] | type[CompletionBody]] = {"chat": ChatBody, "completion": CompletionBody}


def read(kind: Kind, raw: bytes) -> ChatBody | CompletionBody:
    """A body, checked. Raises RequestError naming the first field at fault."""
    try:
        body = BODIES[kind].model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RequestError(f"{place}: {first['msg']}" if place else first["msg"], place or None) from error
    if body.stream and body.logprobs not in (None, False):
        raise RequestError("log-probabilities are not streamed", "stream")
    if body.stream and isinstance(body, CompletionBody) and (body.echo or not isinstance(body.prompt, str)):
        raise RequestError("only the reply to one text prompt is streamed, without its echo", "stream")
    return body


def failure(message: str, kind: str, param: str | None = None, code: str | None = None) -> bytes:
    """An error's body, as OpenAI's clients expect it."""
    return json.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}}).encode()


def refusal(error: RequestError) -> tuple[int, bytes]:
    """The status and the body that say what is wrong with a request."""
    return error.status, failure(str(error), error.kind, error.param, error.code)


def answer(kind: Kind, body: ChatBody | CompletionBody, replies: Sequence[Reply]) -> bytes:
    """The whole answer to a request that is not streamed."""
    name = "chat.completion" if kind == "chat" else "text_completion"
    say = _chat_choice if kind == "chat" else _completion_choice
    choices = [{"index": index, **say(reply)} for index, reply in enumerate(replies)]
    return json.dumps({**_head(name, body.model), "choices": choices, "usage": _usage(replies)}).encode()


class Chunks:
    """The server-sent events of one streamed answer."""

    def __init__(self, kind: Kind, body: ChatBody | CompletionBody) -> None:
        self._chat, self._body = kind == "chat", body
        self._head = _head("chat.completion.chunk" if self._chat else "text_completion", body.model)

    def opening(self) -> Iterator[bytes]:
        """A chat begins by saying who speaks."""
        if self._chat:
            yield self._event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])

    def piece(self, text: str) -> bytes:
        """A piece of the reply."""
        return self._event([{"index": 0, **self._said(text), "finish_reason": None}])

    def closing(self, reply: Reply) -> Iterator[bytes]:
        """Why the reply ended, how long it was if the client wants to know, and the end of the stream."""
        yield self._event([{"index": 0, **self._said(None), "finish_reason": reply.finish_reason}])
        if self._body.stream_options.include_usage:
            yield self._event([], usage=_usage([reply]))
        yield b"data: [DONE]\n\n"

    def _said(self, text: str | None) -> dict[str, Any]:
        if self._chat:
            return {"delta": {} if text is None else {"content": text}}
        return {"text": text or "", "logprobs": None}

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        return f"data: {json.dumps({**self._head, 'choices': choices, **more})}\n\n".encode()


def _head(name: str, model: str) -> dict[str, Any]:
    return {"id": f"{name}-{uuid.uuid4().hex}", "object": name, "created": int(time.time()), "model": model}


def _usage(replies: Sequence[Reply]) -> dict[str, int]:
    asked, said = sum(reply.prompt_tokens for reply in replies), sum(reply.reply_tokens for reply in replies)
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def _chat_choice(reply: Reply) -> dict[str, Any]:
    logprobs = None
    if reply.logprobs is not None:
        logprobs = {"content": [_chat_token(token) for token in reply.logprobs], "refusal": None}
    message = {"role": "assistant", "content": reply.text, "refusal": None}
    return {"message": message, "logprobs": logprobs, "finish_reason": reply.finish_reason}


def _chat_token(token: Token) -> dict[str, Any]:
    def one(text: str, logprob: float | None) -> dict[str, Any]:
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    return {**one(token.text, token.logprob), "top_logprobs": [one(text, logprob) for text, logprob in token.top]}


def _completion_choice(reply: Reply) -> dict[str, Any]:
    logprobs = None if reply.logprobs is None else _completion_logprobs(reply.logprobs)
    return {"text": reply.text, "logprobs": logprobs, "finish_reason": reply.finish_reason}


def _completion_logprobs(tokens: Sequence[Token]) -> dict[str, Any]:
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [None if token.logprob is None else dict(token.top) for token in tokens],
        "text_offset": list(accumulate((len(token.text) for token in tokens), initial=0))[: len(tokens)],
    }
