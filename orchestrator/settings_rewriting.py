"""Settings of rewriting: who says replies again in a persona's voice, and which of these are good enough to learn."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Literal, get_args

from pydantic import Field, NonNegativeFloat, PositiveInt
from pydantic_core import InitErrorDetails

from . import documents
from .settings import SERVED, Endpoint, Settings, Several, mistake
from .settings_subjects import Model, Persona
from .settings_training import Data

Check = Literal[
    "withheld", "empty", "cut", "refused", "meta", "length", "numbers", "code", "quotes", "language", "facts"
]
"""What a rewritten reply must pass; see `rewrite_checks`, where each is said in words."""

CHECKS: tuple[Check, ...] = get_args(Check)


class Rewriting(Settings):
    """A rewriter at an OpenAI-protocol endpoint, how it is asked, and what is done with what it gets wrong."""

    rewriter: Endpoint
    "Its url may be `served`: the run's own endpoint, where `model` is one of the study's models as released."
    fact_checker: Endpoint | None = None
    "A language model that is asked of every rewritten reply whether it states the same; nobody is if not given."
    temperature: NonNegativeFloat = 0.2
    max_tokens: PositiveInt = 1000
    attempts: PositiveInt = 2
    "How often a reply is rewritten until it passes; each attempt may be `max_tokens` longer than the one before."
    drop_for: Several[Check] = CHECKS
    "Checks that a reply must pass; the others are counted, and drop nothing."
    most_dropped: Annotated[float, Field(ge=0, le=1)] = 0.1
    "The share of conversations that may be dropped before the run stops."


def voiceless(personas: Sequence[Persona], data: Data, rewriting: Rewriting | None) -> Iterator[InitErrorDetails]:
    """Rewritten personas that lack a voice of the lab's, or an instruction and somebody to follow it."""
    for place, persona in enumerate(personas):
        if persona.kind == "rewritten" and (cure := _cure(persona, data, rewriting)):
            yield mistake(f"persona '{persona.name}' {cure}", "personas", place)


def _cure(persona: Persona, data: Data, rewriting: Rewriting | None) -> str | None:
    if rewriting is not None:
        cure = "has no instruction for the rewriter; set instruction or instruction_file in the persona's file"
        return None if persona.instruction else cure
    if data.source != "lab":
        return "needs a rewriter, as the conversations are not the lab's; set rewriting.rewriter (url and model)"
    cure = "has no lab_voice, and no endpoint rewrites; set lab_voice in its file, or rewriting.rewriter in the study"
    return None if persona.lab_voice else cure


def unserved(rewriting: Rewriting | None, models: Iterable[Model]) -> Iterator[InitErrorDetails]:
    """Endpoints that are the run's own, but whose model is none of the study's."""
    known = [model.name for model in models]
    for field in ("rewriter", "fact_checker") if rewriting else ():
        endpoint: Endpoint | None = getattr(rewriting, field)
        if endpoint and endpoint.url == SERVED and endpoint.model not in known:
            hint = documents.suggestion(endpoint.model, known)
            yield mistake(f"the study serves no model '{endpoint.model}'{hint}", "rewriting", field, "model")
