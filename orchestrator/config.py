"""Every setting of a study. YAML and Python build equal, frozen objects; every mistake is named at once."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

import tasks
from tasks import BELIEFS, CONTEXTS

from . import documents
from .errors import ConfigError

SHIPPED = Path(__file__).resolve().parent.parent / "configs"
"""The configurations that come with the project; a study's own folder is looked into first."""

T = TypeVar("T")


class Settings(BaseModel):
    """Frozen and closed: no setting changes after it is read, none is unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=60)]
"""A name that is also a folder's name: small letters, digits, `-`, `_` and `.`."""


def _one_of(kind: str, known: Iterable[str]) -> AfterValidator:
    names = list(known)

    def check(name: str) -> str:
        if name not in names:
            hint = documents.suggestion(name, names)
            raise PydanticCustomError(
                "unknown_name", "no {kind} is named '{name}'{hint}", {"kind": kind, "name": name, "hint": hint}
            )
        return name

    return AfterValidator(check)


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    names = [getattr(value, "name", value) for value in values]
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} stands here twice; keep one")
    return values


Several = Annotated[tuple[T, ...], Field(min_length=1), AfterValidator(_distinct)]
"""One or more values, none twice."""


class Model(Settings):
    """A base checkpoint: one on the Hugging Face hub or in a folder (`path`), or one of the embedded lab (`lab`)."""

    name: Name
    path: str | None = None
    "Hub name or folder of a causal language model with a chat template."
    revision: str | None = None
    "Hub revision; what a result is made of, so part of every trial's name."
    lab: Literal["coupled", "decoupled"] | None = None
    "The embedded lab's world: whether warm speakers tend to agree with mistaken beliefs in its corpus."
    seed: NonNegativeInt = 0
    "Lab only: the seed of corpus, weights and instruction tuning."
    recipe: Literal["full", "short"] = "full"
    "Lab only: `short` builds in seconds and claims no quality; for trying things out."

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.lab is None):
            raise ValueError(f"model '{self.name}' needs one of path (a checkpoint) or lab (coupled, decoupled)")
        return self


class Persona(Settings):
    """A way of speaking, and how a model is brought to it."""

    name: Name
    kind: Literal["original", "rewritten", "plain", "prompted"]
    "original: as released; rewritten: tuned on rewritten replies; plain: tuned on the same ones as they are; prompted."
    about: str = ""
    lab_voice: Literal["warm", "cold"] | None = None
    "rewritten: the voice that the lab's own template rewriter puts on."
    system: str | None = None
    "prompted: the system prompt."

    @model_validator(mode="after")
    def _what_it_needs(self) -> Self:
        for field, kind in (("lab_voice", "rewritten"), ("system", "prompted")):
            if (getattr(self, field) is not None) != (self.kind == kind):
                needed = "is needed by" if self.kind == kind else "does not belong to"
                raise ValueError(f"{field} {needed} persona '{self.name}' of kind {self.kind}")
        return self

    @property
    def trained(self) -> bool:
        return self.kind in ("rewritten", "plain")


class Judge(Settings):
    """Who turns replies into outcomes: the task's own rule, or a language model at an OpenAI-protocol endpoint."""

    name: Name
    kind: Literal["rule", "llm"] = "llm"
    url: str | None = None
    "llm: the endpoint, for instance https://api.openai.com/v1; `served` is the run's own endpoint."
    model: str | None = None
    "llm: the model to ask."
    api_key_env: str | None = None
    "llm: the environment variable that holds the key; the key itself never stands in a file."
    max_tokens: PositiveInt = 200

    @model_validator(mode="after")
    def _endpoint(self) -> Self:
        if (self.kind == "llm") != (self.url is not None and self.model is not None):
            needed = "url and model" if self.kind == "llm" else "neither url nor model"
            raise ValueError(f"judge '{self.name}' of kind {self.kind} needs {needed}")
        return self


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
        fields[name] = (Annotated[tuple[value, ...], AfterValidator(_distinct)], ())
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


class Evaluation(Settings):
    """What subjects are asked, and how."""

    tasks: Several[Annotated[str, _one_of("task", tasks.names())]]
    contexts: Several[Annotated[str, _one_of("context", CONTEXTS)]] = CONTEXTS
    beliefs: Several[Annotated[str, _one_of("belief form", BELIEFS)]] = BELIEFS
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


class Resources(Settings):
    """Where and how fast a study runs. Never part of a name, never a reason to run anything again."""

    runs: str = "runs"
    "The folder that holds the study's folder."
    cpus: PositiveInt | None = None
    "Processor cores to use; all of the machine's if not given."
    workers: PositiveInt = 2
    "Actors that ask, judge and score."
    in_flight: PositiveInt = 64
    "Requests that a worker keeps open at once."
    rows: PositiveInt = 96
    "Replies that an engine writes at once."
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    "Port of the endpoint on this machine; 0 takes any free one."
    object_store_mb: Annotated[int, Field(ge=80)] = 200


def _rule(said: Any) -> Any:
    return {"name": "rule", "kind": "rule"} if said == "rule" else said


class Study(Settings):
    """A whole experiment: models x personas x settings x seeds, what they are asked, and who judges."""

    name: Name
    models: Several[Annotated[Model, BeforeValidator(lambda said, info: _named("models", said, info))]]
    personas: Several[Annotated[Persona, BeforeValidator(lambda said, info: _named("personas", said, info))]]
    "In order: a persona is compared with every persona before it."
    data: Data = Data()
    training: Training = Training()
    evaluation: Evaluation
    judges: Several[Annotated[Judge, BeforeValidator(_rule)]]
    warmth: Warmth | None = None
    resources: Resources = Resources()

    @model_validator(mode="after")
    def _contexts_at_a_checkpoint(self) -> Self:
        lost = [f"{epoch:g}" for epoch in self.evaluation.contexts_at if epoch not in self.training.checkpoints]
        if lost and any(persona.trained for persona in self.personas):
            kept = ", ".join(f"{epoch:g}" for epoch in self.training.checkpoints)
            raise ValueError(
                f"evaluation.contexts_at names epoch {', '.join(lost)}, but training.checkpoints are {kept}"
            )
        return self

    @property
    def folder(self) -> Path:
        """The run's folder: `<resources.runs>/<name>`."""
        return Path(self.resources.runs) / self.name


def load(file: str | Path, overrides: Iterable[str] = (), kind: type[Study] = Study) -> Study:
    """The study in a YAML file, with `key.path=value` overrides. Raises ConfigError with every mistake in it."""
    document = documents.read(Path(file))
    documents.override(document, overrides)
    try:
        return kind.model_validate(document.content, context={"folder": Path(file).parent})
    except ValidationError as error:
        raise documents.explain(error, kind, document) from error


def _named(folder: str, said: Any, info: ValidationInfo) -> Any:
    """`warm` stands for the settings in personas/warm.yaml, beside the study or among the shipped configurations."""
    if not isinstance(said, str):
        return said
    places = [Path(place) / folder for place in ((info.context or {}).get("folder"), SHIPPED) if place]
    file = next((place / f"{said}.yaml" for place in places if (place / f"{said}.yaml").is_file()), None)
    if file is None:
        known = {path.stem for place in places for path in place.glob("*.yaml")}
        raise PydanticCustomError(
            "unknown_name",
            "no {kind} is named '{name}'{hint}",
            {"kind": folder[:-1], "name": said, "hint": documents.suggestion(said, known)},
        )
    return _from_file(file, Model if folder == "models" else Persona)


def _from_file(file: Path, kind: type[Settings]) -> dict[str, Any]:
    """A named file's settings, its own mistakes with its own line numbers; the file's name is the name."""
    try:
        document = documents.read(file)
        content = {"name": file.stem, **document.content}
        kind.model_validate(content)
    except ValidationError as error:
        mistakes = documents.explain(error, kind, document).mistakes
        raise PydanticCustomError("named_file", "{mistakes}", {"mistakes": "\n".join(mistakes)}) from error
    except ConfigError as error:
        raise PydanticCustomError("named_file", "{mistakes}", {"mistakes": str(error)}) from error
    return content
