"""Token ids to text, as they come: characters that are still incomplete wait, and stop strings end the reply."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from .engine import FinishReason, Reply, Request, RequestError, Token

INCOMPLETE = "\ufffd"
"""What a tokenizer writes for bytes that do not yet make a character."""

Scored = tuple[int, float | None, list[tuple[int, float]]]
"""A token, its log-probability, and the likeliest tokens in its place with theirs."""


class Spelling:
    """The text of one growing reply. `text` is final up to `len(text)`; nothing in it is taken back later."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str]) -> None:
        self.text, self.stopped = "", False
        self._tokenizer, self._stop = tokenizer, tuple(stop)
        self._held = ""
        self._tokens: list[int] = []
        self._start = self._end = 0

    def add(self, token: int) -> None:
        """Takes one more token; sets `stopped` when a stop string is complete, and cuts the text before it."""
        self._tokens.append(token)
        piece = self._decoded(len(self._tokens))
        if not piece.endswith(INCOMPLETE):
            self._take(piece)

    def finish(self) -> None:
        """No more tokens will come: what waited for them is text as it stands."""
        if not self.stopped:
            self._take(self._decoded(len(self._tokens)))
            self.text, self._held = self.text + self._held, ""

    def _decoded(self, end: int) -> str:
        """The text the tokens since `_end` add. Some tokens before them are decoded too, as spaces depend on them."""
        before = _decode(self._tokenizer, self._tokens[self._start : self._end])
        return _decode(self._tokenizer, self._tokens[self._start : end])[len(before) :]

    def _take(self, piece: str) -> None:
        self._start, self._end = self._end, len(self._tokens)
        self._held += piece
        found = [place for stop in self._stop if (place := self._held.find(stop)) >= 0]
        if found:
            self.text, self._held, self.stopped = self.text + self._held[: min(found)], "", True
            return
        wait = max((_overlap(self._held, stop) for stop in self._stop), default=0)
        sure = len(self._held) - wait
        self.text, self._held = self.text + self._held[:sure], self._held[sure:]


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of the text could be the beginning of the stop string."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)


def _decode(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    text = tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return text


class Speller:
    """The tokenizer's side of an engine: prompts to ids, ids to text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.spelled = lru_cache(maxsize=100_000)(self._spelled)

    def spelling(self, stop: Sequence[str]) -> Spelling:
        """A new reply."""
        return Spelling(self.tokenizer, stop)

    def prompt(self, request: Request) -> Sequence[int]:
        """What is asked, as ids. Raises RequestError where it cannot be asked."""
        if request.messages is not None:
            prompt: Sequence[int] = self.chat(request.messages)
        elif isinstance(request.prompt, str):
            prompt = self.tokens(request.prompt, request.special_tokens)
        else:
            prompt = self.checked(request.prompt or ())
        if not prompt:
            raise RequestError("the prompt is empty", "prompt")
        return prompt

    def reply(
        self,
        request: Request,
        prompt: Sequence[int],
        tokens: Sequence[int],
        scored: Iterable[Scored],
        spelling: Spelling | None,
        finish_reason: FinishReason,
    ) -> Reply:
        """What was said, as text; the text is the spelling's, if the reply was spelled as it came."""
        text = spelling.text if spelling else self.text(tokens)
        if request.echo:
            text = self.echo(request.prompt, prompt) + text
        logprobs = None if request.logprobs is None else tuple(map(self._token, scored))
        return Reply(text, finish_reason, len(prompt), len(tokens), logprobs)

    def ends(self, named: int | list[int] | None) -> frozenset[int]:
        """The tokens that end a reply: those that the model's generation settings name, and the tokenizer's."""
        ends = named if isinstance(named, list) else [named]
        return frozenset(end for end in [*ends, self.tokenizer.eos_token_id] if end is not None)

    def text(self, tokens: Sequence[int]) -> str:
        """A whole reply at once, without special tokens."""
        return _decode(self.tokenizer, tokens)

    def chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """A chat in the model's own template, ready for its answer. The template brings all special tokens."""
        if not self.tokenizer.chat_template:
            raise RequestError(f"{self.tokenizer.name_or_path} has no chat template: ask it by `prompt`", "messages")
        try:
            text = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        except TemplateError as error:
            raise RequestError(f"the model's chat template refuses this chat: {error}", "messages") from error
        return self.tokens(str(text), special=False)

    def tokens(self, text: str, special: bool) -> list[int]:
        """A text's ids, with or without the special tokens that the tokenizer puts around a text."""
        return list(self.tokenizer(text, add_special_tokens=special, return_attention_mask=False)["input_ids"])

    def checked(self, tokens: Sequence[int]) -> Sequence[int]:
        """The ids themselves, once they are known to be ids of this tokenizer."""
        if any(not 0 <= token < len(self.tokenizer) for token in tokens):
            raise RequestError(f"token ids go from 0 to {len(self.tokenizer) - 1}", "prompt")
        return tokens

    def echo(self, prompt: str | Sequence[int] | None, tokens: Sequence[int]) -> str:
        """The prompt as text: as it was given, or else as its tokens spell it."""
        return prompt if isinstance(prompt, str) else "".join(map(self.spelled, tokens))

    def _token(self, scored: Scored) -> Token:
        token, logprob, top = scored
        return Token(self.spelled(token), logprob, tuple((self.spelled(other), value) for other, value in top))

    def _spelled(self, token: int) -> str:
        """One token by itself, special or not."""
        return str(self.tokenizer.decode([token], clean_up_tokenization_spaces=False))


def budget(request: Request, prompt: Sequence[int], max_length: int) -> int:
    """How many tokens the reply may have. Raises RequestError where a model of that length has no room for them."""
    room = max_length - len(prompt)
    wanted = room if request.max_tokens is None else request.max_tokens
    if room < max(wanted, 0 if request.max_tokens == 0 else 1):
        asked = f"{len(prompt)} tokens of prompt and {max(wanted, 0)} of reply"
        raise RequestError(f"this model has room for {max_length} tokens, not for {asked}", "max_tokens")
    return wanted
