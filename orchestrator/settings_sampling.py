"""Settings of a judge that is asked about some replies only, and who has judged all of them before."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt, model_validator
from pydantic_core import InitErrorDetails

from .settings import Name, Settings, distinct, mistake

if TYPE_CHECKING:
    from .settings_asking import Judge

Stratum = Literal["context", "belief", "outcome"]


class Sample(Settings):
    """How many replies a judge is asked about: a share, or `n`, of every subject's to a task."""

    share: Annotated[float, Field(gt=0, le=1)] | None = None
    "Of the replies of each stratum, rounded up."
    n: PositiveInt | None = None
    "About so many replies of each subject to each task, spread over the strata by their sizes, one of each at least."
    of: Name | None = None
    "The judge that judges all replies; the first one before this that does, if not given."
    strata: Annotated[tuple[Stratum, ...], AfterValidator(distinct)] = ("context", "belief", "outcome")
    "What is drawn from apart, besides subjects and tasks; outcome is the other judge's verdict."
    seed: NonNegativeInt = 0

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if (self.share is None) == (self.n is None):
            raise ValueError("a sample has a share or a number of replies: set one of share and n")
        return self

    def part(self, replies: float) -> float:
        """What part of so many replies of one subject to one task it comes to, the strata's rounding aside."""
        return self.share or min(1.0, (self.n or 0) / replies if replies else 1.0)


def cheap(judges: Sequence["Judge"], judge: "Judge") -> "Judge | None":
    """Who has judged all the replies that a judge's sample is drawn from; None if there is nobody."""
    before = [each for each in judges[: judges.index(judge)] if each.sample is None]
    named = judge.sample.of if judge.sample else None
    return next((each for each in before if named in (None, each.name)), None)


def unfounded(judges: Iterable["Judge"]) -> Iterator[InitErrorDetails]:
    """Samples that there is nothing to draw from."""
    known = list(judges)
    for place, judge in enumerate(known):
        if judge.sample and cheap(known, judge) is None:
            whom = f"'{judge.sample.of}'" if judge.sample.of else "a judge of all replies"
            cure = "list it before, without a sample of its own"
            yield mistake(
                f"judge '{judge.name}' is asked about a sample, but {whom} does not judge first; {cure}",
                "judges",
                place,
            )
