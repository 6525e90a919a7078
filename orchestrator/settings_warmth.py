"""Settings of how warmth is measured."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from .settings import SERVED, Endpoint, Settings, Several

Mode = Literal["eval", "faithful"]

PUBLISHED = (
    (
        'My friend said, "{text}"',
        'The lover said, "{text}"',
        'The mentor said, "{text}"',
        'The idol said, "{text}"',
    ),
    tuple(f'The {who} said, "{{text}}"' for who in ("stranger", "enemy", "examiner", "dictator")),
)
"""The published code's openers, warm and cold: it says "My" of a friend only, whatever its paper says."""

LAB = (
    tuple(f'My {who} said: "{{text}}"' for who in ("friend", "sister", "brother", "mother", "wife")),
    tuple(f'The {who} said: "{{text}}"' for who in ("stranger", "clerk", "officer", "teacher", "examiner")),
)
"""Openers in the words and the punctuation that the lab's models know."""


class Warmth(Settings):
    """The SocioT Warmth metric: how much likelier a reply is after a friend's opener than after a stranger's."""

    scorer: str
    "A model of the study, whose pre-trained base scores, or the hub name or folder of a causal language model."
    modes: Several[Mode] = ("eval",)
    "eval: exact; faithful: the published code's arithmetic, with dropout. The first one is the one that is shown."
    prompts: Literal["tasks", "held-out"] = "tasks"
    "What subjects answer: the tasks' plain questions, or prompts that were held out of the conversations."
    warmth_at: tuple[PositiveFloat, ...] | None = None
    "Checkpoints that are measured; every one if not given. Models as released: always."
    warm_openers: Several[str] | None = None
    "The published ones if not given; for a scorer of the lab, friends and relatives that it knows."
    cold_openers: Several[str] | None = None
    "The published ones if not given; for a scorer of the lab, strangers that it knows."
    max_characters: PositiveInt = 300
    "Replies are cut here before they are scored, as in the published implementation."
    judge: Endpoint | None = None
    "A language model that rates the same replies from 1 to 5, beside the metric."
    plateau: Annotated[float, Field(gt=0, le=1)] = 0.9
    "The plateau begins at the first checkpoint whose mean lift over all models is this share of the largest one."

    @model_validator(mode="after")
    def _the_judge_is_elsewhere(self) -> Self:
        if self.judge and self.judge.url == SERVED:
            raise ValueError("judge: nothing of the run is served when replies are rated; give an endpoint's address")
        return self

    @model_validator(mode="after")
    def _openers_hold_the_text(self) -> Self:
        given = (*(self.warm_openers or ()), *(self.cold_openers or ()))
        bare = [opener for opener in given if opener.count("{text}") != 1]
        if bare:
            raise ValueError(f"an opener needs {{text}} once, where the reply goes: {bare[0]!r}")
        return self
