"""Settings of training: the conversations, what a trial is trained with, and what is searched over."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    create_model,
    model_validator,
)

from .settings import Settings, Several, distinct


class Data(Settings):
    """The conversations that trials are tuned on."""

    source: Literal["lab"] = "lab"
    chats: PositiveInt = 480
    chit_chat: Annotated[float, Field(ge=0, le=1)] = 0.5
    "The share of conversations about nothing in particular; the others ask for a fact. None states a belief."
    seed: NonNegativeInt = 0


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


def _several_of_each(settings: type[Settings], names: Iterable[str]) -> dict[str, Any]:
    """Fields that hold several values of a setting, each checked as the setting is."""
    fields = {}
    for name in names:
        setting = settings.model_fields[name]
        value: Any = Annotated[(setting.annotation, *setting.metadata)]
        fields[name] = (Annotated[tuple[value, ...], AfterValidator(distinct)], ())
    return fields


SEARCHABLE = [name for name in TrainingSettings.model_fields if name != "targets"]

Search: Any = create_model("Search", __base__=Settings, **_several_of_each(TrainingSettings, SEARCHABLE))
Search.__doc__ = "Settings to try several values of: every combination becomes a trial."


class Training(TrainingSettings):
    """How trials are trained, and with which seeds."""

    seeds: Several[NonNegativeInt] = (0, 1)
    checkpoints: Several[PositiveFloat] = (0.5, 1, 1.5, 2)
    "Epochs at which the adapter is kept."
    search: Search = Search()

    @model_validator(mode="after")
    def _checkpoints_are_reached(self) -> Self:
        last = min(getattr(self.search, "epochs", ()) or (self.epochs,))
        late = [f"{epoch:g}" for epoch in self.checkpoints if epoch > last]
        if late:
            raise ValueError(f"checkpoints {', '.join(late)} lie behind the last epoch, {last:g}")
        return self
