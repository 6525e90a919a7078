"""Settings of a search: values of training settings that are listed or drawn, and what proposes and stops trials."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    NonNegativeInt,
    PlainSerializer,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    WrapValidator,
    create_model,
    model_validator,
)

from . import documents
from .settings import Settings, distinct, mistake

KINDS = {"uniform": "[low, high]", "loguniform": "[low, high]", "choice": "[value, value]"}
"""What values are drawn from, under the names that Ray Tune gives them, and how each is written."""


@dataclass(frozen=True)
class Domain:
    """What a setting's values are drawn from: the bounds, both included, or the values to choose among."""

    kind: Literal["uniform", "loguniform", "choice"]
    values: tuple[Any, ...]
    whole: bool
    "Whether only whole numbers are drawn."

    def at(self, share: float) -> Any:
        """The value with this share of the distribution, in [0, 1), below it."""
        if self.kind == "choice":
            return self.values[int(share * len(self.values))]
        low, high = self.values
        wide = high + 1 if self.whole else high
        value = low + share * (wide - low) if self.kind == "uniform" else low * (wide / low) ** share
        return self.near(value)

    def near(self, value: float) -> int | float:
        """A number as it is tried: whole, or to four digits, so that it can be read; never beyond the bounds."""
        low, high = self.values
        return min(high, max(low, int(value) if self.whole else float(f"{value:.4g}")))

    def dump(self) -> dict[str, Any]:
        """As it is written in a study."""
        return {self.kind: list(self.values)}


def _pbt(said: Any) -> Any:
    if said == "pbt":
        raise ValueError(
            "pbt changes a trial's settings while it trains, so what comes out was trained with none that could be "
            "named; take asha or median"
        )
    return said


class Searching(Settings):
    """Settings to try several values of. A list is a grid: each of its values goes with everything else."""

    samples: PositiveInt | None = None
    "How often the settings that are drawn are drawn, together; all models, personas and seeds get the same draws."
    method: Literal["random", "optuna"] = "random"
    "optuna: each draw follows from the training losses before it (its default sampler, TPE); known only as it comes."
    at_once: PositiveInt = 4
    "optuna: draws that are trained before their losses are looked at."
    scheduler: Annotated[Literal["asha", "median"] | None, BeforeValidator(_pbt)] = None
    "Stops trials whose training loss is behind: cheaper, but what is left is a selection by loss. None unless set."
    seed: NonNegativeInt = 0
    "Of the draws."
    tried: tuple[dict[str, Any], ...] = ()
    "optuna: the draws so far. A run writes them here, in its study.json, before it trains them."

    @property
    def values(self) -> dict[str, "tuple[Any, ...] | Domain"]:
        """What is searched, by setting."""
        own = set(type(self).model_fields) - set(Searching.model_fields)
        return {name: found for name in type(self).model_fields if name in own and (found := getattr(self, name))}

    @property
    def listed(self) -> dict[str, tuple[Any, ...]]:
        """The settings of the grid."""
        return {name: found for name, found in self.values.items() if not isinstance(found, Domain)}

    @property
    def drawn(self) -> dict[str, Domain]:
        """The settings that are drawn."""
        return {name: found for name, found in self.values.items() if isinstance(found, Domain)}

    @property
    def draws(self) -> list[dict[str, Any]]:
        """Every draw that is known: values by setting; a single one, of nothing, where only a grid is searched.

        The n-th draw of a setting follows from the seed alone: more samples add to those there are.
        """
        if self.method == "optuna":
            return list(self.tried)
        if not self.drawn:
            return [{}]
        each = range(self.samples or 0)
        return [{name: of.at(_share(self.seed, n, name)) for name, of in self.drawn.items()} for n in each]

    @property
    def coming(self) -> int:
        """How many draws are still to be proposed."""
        return max(0, (self.samples or 0) - len(self.tried)) if self.method == "optuna" else 0

    def span(self, name: str, otherwise: Any) -> tuple[Any, Any]:
        """The smallest and the largest value of a setting that can come up."""
        found = self.values.get(name, (otherwise,))
        values = found.values if isinstance(found, Domain) else found
        return min(values), max(values)

    @model_validator(mode="after")
    def _draws_belong_together(self) -> Self:
        if self.drawn and not self.samples:
            wrong = ("how many times to draw is missing: samples: 8", next(iter(self.drawn)))
        elif not self.drawn and (self.samples or self.method == "optuna"):
            what = "samples" if self.samples else "method"
            wrong = (f"{what} needs a setting that is drawn, like learning_rate: {{loguniform: [1e-5, 1e-3]}}", what)
        elif self.method == "optuna" and self.scheduler:
            wrong = ("optuna goes by last losses, which a stopped trial has none of; keep one of the two", "scheduler")
        else:
            return self
        raise ValidationError.from_exception_data(type(self).__name__, [mistake(*wrong)])


def said(value: Any) -> str:
    """A setting's value in a few characters."""
    if isinstance(value, tuple):
        return "+".join(map(str, value))
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _share(seed: int, n: int, name: str) -> float:
    """A number in [0, 1) for one draw of one setting, the same everywhere and for ever."""
    drawn = hashlib.sha256(f"{seed} {n} {name}".encode()).hexdigest()
    return int(drawn[:13], 16) / 16**13


def search_of(settings: type[Settings]) -> Any:
    """The settings of a search over these settings: several values of each, or what they are drawn from."""
    fields: dict[str, Any] = {name: (_several(settings, name), ()) for name in settings.model_fields}
    return create_model("Search", __base__=Searching, __doc__=Searching.__doc__, **fields)


def _several(settings: type[Settings], name: str) -> Any:
    """Several values of a setting, each checked as the setting is."""
    setting = settings.model_fields[name]
    value: Any = Annotated[(setting.annotation, setting.description, *setting.metadata)]
    several: Any = tuple[value, ...]
    return Annotated[
        several,
        AfterValidator(distinct),
        WrapValidator(_or_domain(TypeAdapter(several), setting.annotation)),
        PlainSerializer(lambda found: found.dump() if isinstance(found, Domain) else found),
    ]


def _or_domain(several: TypeAdapter[Any], kind: Any) -> Callable[[Any, Any], Any]:
    def either(said: Any, listed: Callable[[Any], Any]) -> Any:
        return _domain(said, several, kind) if isinstance(said, Mapping) else listed(said)

    return either


def _domain(said: Mapping[str, Any], several: TypeAdapter[Any], kind: Any) -> Domain:
    """What values are drawn from. Raises ValueError where it is not written as one of KINDS."""
    word = next(iter(said), "")
    if len(said) != 1 or word not in KINDS:
        hint = documents.suggestion(str(word), KINDS) if len(said) == 1 else ""
        raise ValueError(f"a list is a grid; to draw, write one of {_written(KINDS)}{hint}")
    if not isinstance(said[word], list | tuple):
        raise ValueError(f"{word} is written {word}: {KINDS[word]}")
    values = distinct(several.validate_python(tuple(said[word])))
    if word == "choice" and values:
        return Domain("choice", values, False)
    if kind not in (int, float) or len(values) != 2 or values[0] >= values[1]:
        why = "" if kind in (int, float) else "; values that are no numbers can only be drawn by choice"
        raise ValueError(f"{word} is written {word}: {KINDS[word]}, the lower bound first{why}")
    if word == "loguniform" and values[0] <= 0:
        raise ValueError("loguniform draws above 0; raise the lower bound")
    return Domain("uniform" if word == "uniform" else "loguniform", values, kind is int)


def _written(kinds: Mapping[str, str]) -> str:
    each: Iterable[str] = (f"{{{word}: {how}}}" for word, how in kinds.items())
    return ", ".join(each)
