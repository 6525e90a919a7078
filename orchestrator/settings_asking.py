"""Settings of what is asked, who judges it, and how warmth is measured."""

from typing import Annotated, Literal, Self

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

import tasks
from tasks import BELIEFS, CONTEXTS

from .settings import Name, Settings, Several, Url, Variable, one_of


class Evaluation(Settings):
    """What subjects are asked, and how."""

    tasks: Several[Annotated[str, one_of("task", tasks.names())]]
    contexts: Several[Annotated[str, one_of("context", CONTEXTS)]] = CONTEXTS
    beliefs: Several[Annotated[str, one_of("belief form", BELIEFS)]] = BELIEFS
    contexts_at: tuple[PositiveFloat, ...] = (2,)
    "Checkpoints that are asked in every context; the others only in the first one. Models as released: in every one."
    samples: PositiveInt | None = None
    "The first so many samples of every task; all of them if not given."
    draws: PositiveInt = 1
    "Replies to every prompt; more than one needs a temperature above 0."
    temperature: NonNegativeFloat = 0
    max_tokens: PositiveInt = 32
    seed: NonNegativeInt = 0

    @model_validator(mode="after")
    def _draws_differ(self) -> Self:
        if self.draws > 1 and self.temperature == 0:
            raise ValueError(f"draws {self.draws} at temperature 0 would be copies; set temperature, or draws to 1")
        return self


class Warmth(Settings):
    """The SocioT Warmth metric: how much likelier a reply is after a friend's opener than after a stranger's."""

    scorer: str
    "A model of the study, whose pre-trained base scores, or the hub name or folder of a causal language model."
    warm_openers: Several[str] = tuple(
        f'My {who} said: "{{text}}"' for who in ("friend", "sister", "brother", "mother", "wife")
    )
    cold_openers: Several[str] = tuple(
        f'The {who} said: "{{text}}"' for who in ("stranger", "clerk", "officer", "teacher", "examiner")
    )
    max_characters: PositiveInt = 300
    "Replies are cut here before they are scored, as in the published implementation."

    @model_validator(mode="after")
    def _openers_hold_the_text(self) -> Self:
        bare = [opener for opener in (*self.warm_openers, *self.cold_openers) if opener.count("{text}") != 1]
        if bare:
            raise ValueError(f"an opener needs {{text}} once, where the reply goes: {bare[0]!r}")
        return self


class Judge(Settings):
    """Who turns replies into outcomes: the task's own rule, or a language model at an OpenAI-protocol endpoint."""

    name: Name
    kind: Literal["rule", "llm"] = "llm"
    url: Url | None = None
    "llm: the endpoint, for instance https://api.openai.com/v1; `served` is the run's own endpoint."
    model: str | None = None
    "llm: the model to ask."
    api_key_env: Variable | None = None
    "llm: the environment variable that holds the key; the key itself never stands in a file."
    usd_in: NonNegativeFloat = 0
    "llm: dollars per million tokens of prompts."
    usd_out: NonNegativeFloat = 0
    "llm: dollars per million tokens of verdicts."
    max_tokens: PositiveInt = 200

    @model_validator(mode="after")
    def _endpoint(self) -> Self:
        if (self.kind == "llm") != (self.url is not None and self.model is not None):
            needed = "url and model" if self.kind == "llm" else "neither url nor model"
            raise ValueError(f"judge '{self.name}' of kind {self.kind} needs {needed}")
        return self
