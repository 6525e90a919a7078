"""Whether a rewritten reply still says what the original one said. Rules of thumb, each of them stated here.

withheld: the endpoint would not answer. empty: there is no text. cut: it ended at the token limit.
refused: it declines where the original does not. meta: it speaks of the rewriting.
length: it is shorter or longer than the persona allows.
numbers: one is lost, or one is new that the user did not give either; `two` is as good as `2`, and the numbers of a
    list do not count.
code: a block, or code within a line, is not there letter by letter.
quotes: a quotation of three words or more, or a link, is not there either.
language: another script prevails or, in Latin script, another language's stop words.
facts: a language model says that something else is stated (see `rewriters`).
"""

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable

from .client import WITHHELD

SHORT = 80
"""A reply of fewer characters may become so long as one of this many may, and as short as it likes."""

_FENCES = re.compile(r"```[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINKS = re.compile(r"https?://[^\s)\]>\"']*[^\s)\]>\"'.,;:!?]")
_QUOTES = re.compile(r'"([^"\n]+)"')
_QUOTED_LINES = re.compile(r"^> ?(.+)$", re.MULTILINE)
_LIST_NUMBERS = re.compile(r"^\s*\d+[.)]\s", re.MULTILINE)
_NUMBERS = re.compile(r"\d+(?:[.,]\d+)*")
_WORDS = re.compile(r"[^\W\d_]+")
_NUMBER_WORDS = dict(
    zip(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"],
        map(str, range(13)),
        strict=True,
    )
)
_DECLINES = re.compile(
    r"\b(?:I can(?:'t|not| not)|I(?:'m| am) (?:not able to|unable to)|I won't)\b[^.!?\n]{0,40}"
    r"\b(?:help(?! but| \w+ing)|assist|rewrite|rephrase|comply|fulfil|provide|do that|continue|create|generate)"
    r"|\bas an AI\b|\bI must decline\b",
    re.IGNORECASE,
)
_META = re.compile(
    r"\A[^\n]{0,80}\b(?:rewritten|rewrite|rephrased|reworded|version|transformed)\b[^\n]{0,60}:\s*$", re.MULTILINE
)
_STOP_WORDS = {
    "English": "the and of to is that it you for with are this not be have",
    "German": "der die das und ist nicht ein eine zu mit auf für sie ich es",
    "French": "le la les des et est une que pour dans pas vous ce il du",
    "Spanish": "el los las que una es por con para no se del como más lo",
    "Italian": "il di che è un per non una con sono del della gli come si",
    "Portuguese": "o os um uma que não com para é do da em se como mais",
    "Dutch": "de het een en van is niet dat op te zijn met voor ik je",
}
_LANGUAGES = {language: frozenset(words.split()) for language, words in _STOP_WORDS.items()}


def check(
    user: str, original: str, rewritten: str, finish_reason: str | None, length: tuple[float, float]
) -> dict[str, str]:
    """What was looked at, and what is wrong with it; nothing where all is well."""
    if finish_reason in WITHHELD:
        return {"withheld": str(finish_reason)}
    if not rewritten.strip():
        return {"empty": "no text"}
    found: dict[str, Callable[[], str]] = {
        "cut": lambda: "at the token limit" if finish_reason == "length" else "",
        "refused": lambda: _first(_DECLINES, rewritten, original),
        "meta": lambda: _first(_META, rewritten, original),
        "length": lambda: _length(original, rewritten, length),
        "numbers": lambda: _numbers(user, original, rewritten),
        "code": lambda: _lost(_code(original), rewritten),
        "quotes": lambda: _lost(_quotes(_straight(original)), _straight(rewritten)),
        "language": lambda: _language(original, rewritten),
    }
    return {"withheld": "", "empty": "", **{name: wrong() for name, wrong in found.items()}}


def _first(pattern: re.Pattern[str], rewritten: str, original: str) -> str:
    """What of a kind stands at the beginning of the new reply, if the original has nothing of the kind."""
    said = pattern.search(_straight(rewritten)[:200])
    return said[0].strip() if said and not pattern.search(_straight(original)) else ""


def _length(original: str, rewritten: str, allowed: tuple[float, float]) -> str:
    before, after = len(original.strip()), len(rewritten.strip())
    too_short = before >= SHORT and after < allowed[0] * before
    too_long = after > allowed[1] * max(before, SHORT)
    return f"{after / max(1, before):.2f} times as long" if too_short or too_long else ""


def _numbers(user: str, original: str, rewritten: str) -> str:
    (before, before_in_words), (after, after_in_words), (asked, _) = map(_all_numbers, (original, rewritten, user))
    lost = before - after - after_in_words
    new = after - before - before_in_words - asked
    told = [f"{word} {', '.join(sorted(which))}" for word, which in (("lost", lost), ("new", new)) if which]
    return "; ".join(told)


def _all_numbers(text: str) -> tuple[set[str], set[str]]:
    """The numbers of a text outside its code, without thousands' commas: those in digits, and those in words."""
    prose = _LIST_NUMBERS.sub("", _prose(text))
    digits = {re.sub(r",(?=\d{3}\b)", "", number) for number in _NUMBERS.findall(prose)}
    return digits, {_NUMBER_WORDS[word] for word in _WORDS.findall(prose.lower()) if word in _NUMBER_WORDS}


def _prose(text: str) -> str:
    return _INLINE.sub(" ", _FENCES.sub(" ", text))


def _code(text: str) -> list[str]:
    blocks = [block.strip() for block in _FENCES.findall(text)]
    return [code for code in (*blocks, *_INLINE.findall(_FENCES.sub(" ", text))) if code]


def _quotes(text: str) -> list[str]:
    """Quotations of three words or more, without the punctuation at their end, and links."""
    prose = _prose(text)
    quoted = [each.strip(" .,;:!?") for each in (*_QUOTES.findall(prose), *_QUOTED_LINES.findall(prose))]
    return [*(each for each in quoted if len(each.split()) >= 3), *_LINKS.findall(prose)]


def _straight(text: str) -> str:
    return text.translate(str.maketrans("“”„‘’", '"""\'\''))


def _lost(pieces: list[str], text: str) -> str:
    """The first piece that a text does not hold; white space counts as one space."""
    there = " ".join(text.split())
    gone = next((piece for piece in pieces if " ".join(piece.split()) not in there), None)
    return f"lost {gone[:80]!r}" if gone is not None else ""


def _language(original: str, rewritten: str) -> str:
    before, after = language(original), language(rewritten)
    return f"{after} in place of {before}" if before and after and before != after else ""


def language(text: str) -> str | None:
    """The script that most letters are of or, if that is Latin, the language; None where too little tells."""
    prose = _prose(text)[:2000]
    scripts = Counter(_script(letter) for letter in prose if letter.isalpha())
    if scripts.total() < 20:
        return None
    script = scripts.most_common(1)[0][0]
    return _latin_language(prose) if script == "LATIN" else script.capitalize()


@functools.cache
def _script(letter: str) -> str:
    """The first word of a letter's name says its script; Japanese writes in three of them."""
    script = unicodedata.name(letter, "?").split()[0]
    return "CJK" if script in ("HIRAGANA", "KATAKANA") else script


def _latin_language(prose: str) -> str | None:
    words = Counter(_WORDS.findall(prose.lower()))
    hits = {name: sum(words[word] for word in stops) for name, stops in _LANGUAGES.items()}
    (best, most), (_, second) = sorted(hits.items(), key=lambda item: -item[1])[:2]
    return best if most >= 3 and most > second else None
