"""What all settings are made of: frozen and closed models, names, and lists without repetition."""

from collections.abc import Iterable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from . import documents

T = TypeVar("T")


class Settings(BaseModel):
    """Frozen and closed: no setting changes after it is read, none is unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=60)]
"""A name that is also a folder's name: small letters, digits, `-`, `_` and `.`."""


def one_of(kind: str, known: Iterable[str]) -> AfterValidator:
    names = list(known)

    def check(name: str) -> str:
        if name not in names:
            hint = documents.suggestion(name, names)
            raise PydanticCustomError(
                "unknown_name", "no {kind} is named '{name}'{hint}", {"kind": kind, "name": name, "hint": hint}
            )
        return name

    return AfterValidator(check)


def distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    names = [getattr(value, "name", value) for value in values]
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} stands here twice; keep one")
    return values


Several = Annotated[tuple[T, ...], Field(min_length=1), AfterValidator(distinct)]
"""One or more values, none twice."""
