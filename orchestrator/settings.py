"""What all settings are made of: frozen and closed models, names, and lists without repetition."""

from collections.abc import Iterable
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeFloat
from pydantic_core import InitErrorDetails, PydanticCustomError

from . import documents

T = TypeVar("T")


class Settings(BaseModel):
    """Frozen and closed: no setting changes after it is read, none is unknown.

    Errors do not show what was set: it may be a key in the wrong place.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=60)]
"""A name that is also a folder's name: small letters, digits, `-`, `_` and `.`."""


def _bare(url: str) -> str:
    """An address holds no secret: it is written to the run's folder and said in errors."""
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query:
        raise ValueError(
            "a url holds no user, password or query; put the key into an environment variable: api_key_env"
        )
    return url


Url = Annotated[str, AfterValidator(_bare)]
"""The address of an OpenAI-protocol endpoint, for instance https://api.openai.com/v1."""


def _variable(name: str) -> str:
    """Never says what it was given: that may be the key itself."""
    if not (name.isidentifier() and name.isascii() and len(name) <= 60):
        raise ValueError("this is the name of an environment variable that holds the key, not the key itself")
    return name


Variable = Annotated[str, AfterValidator(_variable)]
"""An environment variable's name."""


SERVED = "served"
"""The address of an endpoint that the run itself starts."""
EngineName = Literal["transformers", "vllm"]


class Endpoint(Settings):
    """A model at an OpenAI-protocol endpoint, and what a million of its tokens cost."""

    url: Url
    model: str
    api_key_env: Variable | None = None
    "The environment variable that holds the key; the key itself never stands in a file."
    usd_in: NonNegativeFloat = 0
    "Dollars per million tokens of prompts."
    usd_out: NonNegativeFloat = 0
    "Dollars per million tokens of replies."


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


def mistake(what: str, *where: str | int) -> InitErrorDetails:
    """Something that settings say together and that cannot be, and the setting to correct."""
    return InitErrorDetails(type=PydanticCustomError("unknown_name", "{what}", {"what": what}), loc=where, input=None)


def distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    names = [getattr(value, "name", value) for value in values]
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} stands here twice; keep one")
    return values


Several = Annotated[tuple[T, ...], Field(min_length=1), AfterValidator(distinct)]
"""One or more values, none twice."""
