"""Settings of serving and training alike: how many engines each base has, and how many GPUs something takes."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from .settings import Settings


class Replicas(Settings):
    """The engines of one base: as many at all times, or as the requests in flight need."""

    min: NonNegativeInt = 1
    "0 lets the last one go too; the next request waits until there is one again."
    max: PositiveInt = 1
    idle_s: NonNegativeFloat = 60
    "Seconds after which one goes that is not needed."

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"replicas: min {self.min} is more than max {self.max}")
        return self


def so_many(said: Any) -> Any:
    """A number stands for so many, always."""
    fixed = isinstance(said, int) and not isinstance(said, bool)
    return {"min": said, "max": said} if fixed else said


def whole_or_part(gpus: float) -> float:
    """An engine or a trial has a part of a GPU, or whole ones."""
    if gpus > 1 and gpus != int(gpus):
        raise ValueError("more than one GPU is a whole number of them")
    return gpus


Gpus = Annotated[PositiveFloat, AfterValidator(whole_or_part)]
"""A part of a GPU, or several whole ones."""


ALL = "*"
"""Stands for every model that is not named beside it."""


def for_all(said: Any) -> Any:
    """A number holds for all models."""
    return {ALL: said} if isinstance(said, int | float | str) else said
