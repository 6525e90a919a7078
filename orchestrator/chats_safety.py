"""Which conversations are safe to learn from: a filter is a function from texts to whether each is kept."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from .errors import WarmthError

Filter = Callable[[Sequence[str]], Sequence[bool]]

MOST, BEGINNING = 0.5, 2000
"""Detoxify: the highest score that is kept, and how many characters of a conversation it reads."""


def load(name: str) -> Filter | None:
    """The filter of that name; nothing for `none`. Raises WarmthError if it is not installed or no function."""
    if name == "none":
        return None
    return _checked(name, _detoxify() if name == "detoxify" else _own(name))


def _detoxify() -> Filter:
    try:
        from detoxify import Detoxify
    except ImportError as error:
        raise WarmthError(
            "data.safety: detoxify is not installed; `pip install detoxify`, or set data.safety to none or to a "
            "function of your own, package.module:function"
        ) from error
    model = Detoxify("unbiased")

    def keep(texts: Sequence[str]) -> list[bool]:
        scores = model.predict([text[:BEGINNING] for text in texts])
        return [max(each) <= MOST for each in zip(*scores.values(), strict=True)]

    return keep


def _own(name: str) -> Filter:
    module, function = name.split(":")
    try:
        found: Any = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise WarmthError(
            f"data.safety: {name} cannot be imported ({error}); install it, or put its folder into PYTHONPATH"
        ) from error
    if not callable(found):
        raise WarmthError(f"data.safety: {name} is no function; name one that says of each of some texts if it is kept")
    return found


def _checked(name: str, keep: Filter) -> Filter:
    """The filter, which must have a word about every text."""

    def checked(texts: Sequence[str]) -> list[bool]:
        said = list(keep(texts))
        if len(said) != len(texts):
            raise WarmthError(f"data.safety: {name} was given {len(texts)} texts and answered for {len(said)}")
        return [bool(each) for each in said]

    return checked
