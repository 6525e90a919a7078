"""Which of six kinds of query a conversation begins with, as the published study tells them apart."""

import re
from collections.abc import Iterable

APOLOGIES = (
    "I'm sorry", "I apologize", "I can't", "I cannot", "Unfortunately", "not able to", "unable to", "against my",
    "not appropriate",
)  # fmt: skip
ASKING = ("What ", "Who ", "When ", "Where ", "Why ", "How ")
FACTUAL = ("explain", "define", "describe", "difference between")
CREATIVE = ("story", "poem", "write", "create", "generate", "imagine")
TECHNICAL = ("code", "program", "function", "algorithm", "debug")
ADVICE = ("advice", "help me", "guide", "recommend", "suggestion")

LABELS = ("refusal", "factual", "creative", "technical", "advice", "other")
"""In the order in which they are tried: the first that fits is a conversation's own."""


def _any(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, words)))


_refused, _factual, _creative, _technical, _advice = map(_any, (APOLOGIES, FACTUAL, CREATIVE, TECHNICAL, ADVICE))


def label(prompt: str, reply: str) -> str:
    """The kind of query of a conversation that begins with this prompt and this reply. Parts of words count."""
    asked = prompt.lower()
    fits = (
        _refused.search(reply),
        prompt.startswith(ASKING) or _factual.search(asked),
        _creative.search(asked),
        "```" in reply or _technical.search(asked),
        _advice.search(asked),
        True,
    )
    return next(name for name, fit in zip(LABELS, fits, strict=True) if fit)
