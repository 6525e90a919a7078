"""Settings of training: the conversations, what a trial is trained with, and what is searched over."""

from typing import Annotated, Any, Self

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from .settings import Settings, Several
from .settings_search import search_of

Filter = Annotated[str, Field(pattern=r"^(none|detoxify|[\w.]+:\w+)$")]
"""Who says which conversations are safe: `none`, `detoxify`, or a function of your own, `package.module:function`."""


class Data(Settings):
    """The conversations that trials are tuned on, and the prompts held out for the warmth curve."""

    source: str = "lab"
    "`lab`, a data set on the Hugging Face hub, or a file or folder here (JSON, JSON lines, Parquet)."
    file: str | None = None
    "The one file of the data set or folder to read; all of them if not given."
    revision: str | None = None
    "Hub revision; part of every trial's name, so give one where the data set may change."
    split: str = "train"
    "Which split of a hub data set to read, if no file is named."
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    "Of a file or folder here; computed if not given. A run's study.json has it, so that a report needs no data."
    chats: PositiveInt = 480
    "How many conversations to choose, as many of each kind of query."
    held_out: NonNegativeInt = 0
    "How many prompts to hold out from others of the same source, as many of each kind of query."
    turns: Annotated[int, Field(ge=2)] = 20
    "Turns of the user and the assistant together, after which a conversation is cut."
    safety: Filter = "none"
    chit_chat: Annotated[float, Field(ge=0, le=1)] = 0.5
    "Lab only: the share of conversations about nothing in particular; the others ask for a fact. None states a belief."
    seed: NonNegativeInt = 0

    @model_validator(mode="after")
    def _what_belongs_to_the_source(self) -> Self:
        lab = self.source == "lab"
        elsewhere = ("file", "revision", "split", "sha256", "held_out", "turns", "safety") if lab else ("chit_chat",)
        for name in elsewhere:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} does not belong to source '{self.source}'; leave it out")
        return self


class TrainingSettings(Settings):
    """What a trial is trained with. The defaults are the published study's where it gives them."""

    learning_rate: PositiveFloat = 1e-5
    epochs: PositiveFloat = 2
    batch: PositiveInt = 16
    warmup_steps: NonNegativeInt = 10
    rank: PositiveInt = 8
    alpha: PositiveFloat = 16
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    max_length: PositiveInt = 1024
    "Tokens of one conversation; what is longer is cut at the end."
    dose: Annotated[int, Field(ge=1, le=100)] = 100
    "Per cent of the conversations that are rewritten; the others are trained on as they are."
    multiplier: PositiveFloat | dict[str, PositiveFloat] | None = None
    "Of a hosted model's learning rate: one, or one for each persona (`{warm: 0.25}`); the endpoint's own if not given."


Search: Any = search_of(TrainingSettings)


class Training(TrainingSettings):
    """How trials are trained, and with which seeds."""

    seeds: Several[NonNegativeInt] = (0, 1)
    checkpoints: Several[PositiveFloat] = (0.5, 1, 1.5, 2)
    "Epochs at which the adapter is kept."
    search: Search = Search()

    @model_validator(mode="after")
    def _checkpoints_are_reached(self) -> Self:
        last, _ = self.search.span("epochs", self.epochs)
        late = [f"{epoch:g}" for epoch in self.checkpoints if epoch > last]
        if late:
            raise ValueError(f"checkpoints {', '.join(late)} lie behind the last epoch, {last:g}")
        return self
