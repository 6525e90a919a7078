"""What else differs between a persona's replies and the original ones, besides the style that was asked for."""

import re
import statistics
from collections.abc import Iterable, Sequence

from .tables import Balance, Chat, Rewrite

ORIGINAL = "original"
"""The replies as they are."""

_LISTS = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s", re.MULTILINE)
_WORDS = re.compile(r"\w+(?:['’]\w+)*")
_HEDGES = re.compile(
    r"\b(?:maybe|perhaps|possibly|probably|likely|might|may|could|seems?|appears?|generally|usually|often|sometimes"
    r"|I think|I believe|I guess|I suppose|not sure|in my opinion|as far as I know)\b",
    re.IGNORECASE,
)


def balance(persona: str, chats: Sequence[Chat], rows: Iterable[Rewrite]) -> Balance:
    """One persona's line: the replies it learns from, next to the original ones; `failed` is of all that were tried."""
    said = [reply for chat in chats for reply in chat.replies]
    kept = {chat.id for chat in chats}
    rows = list(rows)
    ratios = [len(row.rewritten or "") / max(1, len(row.original)) for row in rows if row.chat in kept]
    words = [max(1, len(_WORDS.findall(reply))) for reply in said]

    def per_100_words(counts: Iterable[int]) -> float:
        return _mean([100 * count / of for count, of in zip(counts, words, strict=True)])

    return Balance(
        persona=persona,
        conversations=len(chats),
        replies=len(said),
        failed=sum(row.failed is not None or row.error is not None for row in rows),
        characters=_mean([len(reply) for reply in said]),
        words=_mean(words),
        length_ratio=statistics.median(ratios) if ratios else 1.0,
        lists=_mean([bool(_LISTS.search(reply)) for reply in said]),
        code=_mean(["```" in reply for reply in said]),
        hedges=per_100_words(len(_HEDGES.findall(reply)) for reply in said),
        exclamations=per_100_words(reply.count("!") for reply in said),
        questions=per_100_words(reply.count("?") for reply in said),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
