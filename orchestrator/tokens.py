"""Tokens that models read and write, and what they cost in hours and dollars. Pure."""

import math
from dataclasses import dataclass

from . import sizes
from .settings import Endpoint
from .settings_asking import Judge
from .settings_subjects import Model

UNKNOWN = math.nan
"""Every sum that it enters is unknown too."""


CANARIES, LONGEST = 16, 256
"""Conversations that a subject is examined on, and tokens of each: some hundreds of those it was trained to say."""


@dataclass(frozen=True)
class Assumed:
    """What the estimates assume. Tokens are means; seconds and rates are one H100's."""

    prompt_tokens: int = 70
    "Statement, question and belief."
    reply_tokens: int = 200
    "Where `max_tokens` lets it: the published replies have 730 to 880 characters."
    rubric_tokens: int = 350
    "What a judge is told besides prompt and reply."
    verdict_tokens: int = 5
    replies_per_chat: float = 2.27
    "3,667 replies in the published 1,617 conversations."
    chat_reply_tokens: int = 230
    chat_tokens: int = 800
    "A conversation as it is trained on."
    persona_tokens: int = 450
    "What a rewriter is told besides the reply: the persona, and the user's message."
    seconds_per_chat: tuple[float, float] = (0.03, 0.0179)
    "To train on a conversation once: a, and b for each billion parameters (8B took 0.17 s, 32B 0.60 s)."
    reading_rate: float = 200_000
    "Prompt tokens a second, times billions of parameters: 40 % of 989 TFLOP/s."
    writing_rate: float = 80_000
    "Reply tokens a second, times billions of parameters: 16 % of them."


ASSUMED = Assumed()


@dataclass(frozen=True)
class Tokens:
    """Calls of a model, and the tokens of their prompts and of what is written."""

    calls: float = 0
    prompt: float = 0
    reply: float = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.calls + other.calls, self.prompt + other.prompt, self.reply + other.reply)

    def times(self, part: float) -> "Tokens":
        """A part of it; of calls, a whole number."""
        return Tokens(math.ceil(part * self.calls), part * self.prompt, part * self.reply)

    def usd(self, endpoint: Endpoint | Judge) -> float:
        """What it costs; unknown where there is a key but no price, nothing where there is neither."""
        if endpoint.api_key_env and not (endpoint.usd_in or endpoint.usd_out):
            return UNKNOWN if self.calls else 0
        return (self.prompt * endpoint.usd_in + self.reply * endpoint.usd_out) / 1e6

    def gpu_hours(self, model: Model) -> float:
        """How long one GPU takes to read and to write it; the embedded lab's models need none."""
        if model.lab or not self.calls:
            return 0
        billions = sizes.parameters(model) or UNKNOWN
        return billions * (self.prompt / ASSUMED.reading_rate + self.reply / ASSUMED.writing_rate) / 3600
