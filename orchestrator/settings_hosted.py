"""Settings of models that others host: how one is reached and tuned, what that costs, and what may be spent."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from pydantic_core import InitErrorDetails

from .settings import SERVED, Endpoint, Settings, Several, mistake

if TYPE_CHECKING:
    from .config import Study
    from .settings_asking import Judge


class Hosted(Endpoint):
    """A model at somebody else's OpenAI-protocol endpoint, which is tuned by that endpoint's fine-tuning jobs."""

    usd_training: NonNegativeFloat = 0
    "Dollars per million tokens that are trained on, each epoch counted."
    usd_in_tuned: NonNegativeFloat | None = None
    "Dollars per million tokens of prompts to a tuned model; `usd_in` if not given."
    usd_out_tuned: NonNegativeFloat | None = None
    "Dollars per million tokens of a tuned model's replies; `usd_out` if not given."
    checkpoints: Several[PositiveInt] | None = None
    "Epochs whose checkpoints are kept, as jobs keep whole epochs only; those of `training.checkpoints` if not given."


class Budget(Settings):
    """What a run may take, in all its starts together. It stops there; a higher one goes on with it."""

    usd: PositiveFloat | None = None
    "A run stops before it has paid endpoints more dollars than this."
    gpu_hours: PositiveFloat | None = None
    "A run stops when its trials and engines have held GPUs for so long; what is being asked then is still answered."

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.usd is None and self.gpu_hours is None:
            raise ValueError("a budget limits something: set usd, gpu_hours or both, or leave it out")
        return self


def endpoints(study: "Study", served: bool = False) -> "Iterator[tuple[tuple[str | int, ...], Endpoint | Judge]]":
    """Every endpoint, and the setting that names it; the run's own only where `served` asks for it."""
    for place, model in enumerate(study.models):
        if model.hosted:
            yield ("models", place, "hosted"), model.hosted
    for place, judge in enumerate(study.judges):
        if judge.kind == "llm" and (served or judge.url != SERVED):
            yield ("judges", place), judge
    if study.warmth and study.warmth.judge:
        yield ("warmth", "judge"), study.warmth.judge
    for name in ("rewriter", "fact_checker"):
        endpoint = getattr(study.rewriting, name, None)
        if endpoint and (served or endpoint.url != SERVED):
            yield ("rewriting", name), endpoint


def priced(endpoint: "Endpoint | Judge") -> bool:
    """Whether it is known what tokens cost: who asks for a key asks for money, and who does not is free."""
    return bool(endpoint.usd_in or endpoint.usd_out) or not endpoint.api_key_env


def mistakes(study: "Study") -> Iterator[InitErrorDetails]:
    """What settings of hosted models and of the budget say together that cannot be."""
    for where, endpoint in endpoints(study) if study.budget and study.budget.usd else ():
        if not priced(endpoint):
            yield mistake("there is a budget, but not what this costs; set usd_in and usd_out (per million)", *where)
    for place, model in enumerate(study.models):
        if model.hosted and model.hosted.url == SERVED:
            yield mistake("the run serves what has its weights here; give the address of who hosts it", "models", place)
        if model.hosted and any(persona.trained and study.gets(model, persona) for persona in study.personas):
            yield from _training_mistakes(study, model.hosted, "models", place, "hosted")
        if model.hosted and study.warmth and study.warmth.scorer == model.name:
            yield mistake(
                f"'{model.name}' has no weights here; name a checkpoint, for instance gpt2", "warmth", "scorer"
            )


def _training_mistakes(study: "Study", hosted: Hosted, *where: str | int) -> Iterator[InitErrorDetails]:
    if study.budget and study.budget.usd and hosted.api_key_env and not hosted.usd_training:
        yield mistake("there is a budget, but not what training costs; set usd_training (per million)", *where)
    if not hosted.checkpoints and not any(epoch == int(epoch) for epoch in study.training.checkpoints):
        yield mistake("jobs keep whole epochs only, and training.checkpoints has none; set checkpoints here", *where)
