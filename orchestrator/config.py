"""A study's settings. YAML and Python build equal, frozen objects; every mistake is named at once."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

import tasks

from . import documents, settings_hosted, settings_judging, settings_rewriting, settings_sampling
from .errors import ConfigError, WarmthError
from .settings import EngineName, Name, Settings, Several, mistake
from .settings_analysis import Analysis
from .settings_asking import Evaluation, Judge
from .settings_hosted import Budget
from .settings_rewriting import Rewriting
from .settings_serving import ALL, Gpus, Replicas, for_all, so_many
from .settings_subjects import Model, Persona
from .settings_training import Data, Training
from .settings_warmth import Warmth

SHIPPED = Path(__file__).resolve().parent.parent / "configs"
"""The configurations that come with the project; a study's own folder is looked into first."""


class Resources(Settings):
    """Where and how fast a study runs. Never part of a name, never a reason to run anything again."""

    runs: str = "runs"
    "The folder that holds the study's folder."
    store: bool = True
    "Conversations, rewritten replies, trials and verdicts are kept in `.store` beside the run too, for others to take."
    cpus: PositiveInt | None = None
    "Processor cores to use; all of the machine's if not given."
    workers: PositiveInt = 2
    "Actors that ask, judge and score."
    in_flight: PositiveInt = 64
    "Requests that a worker keeps open at once."
    request_seconds: PositiveFloat = 300
    "Longest that an endpoint may take over a request; it is made again then."
    hedge_seconds: PositiveFloat | None = None
    "After so long a second request is made beside one to the run's own endpoint, and the first answer counts; off."
    unfiled: PositiveInt = 256
    "Replies and verdicts that all workers together have asked for and not filed, at most: what a kill can cost."
    engine: EngineName | None = None
    "transformers runs anywhere; vllm, if installed, is faster on GPUs, and so the one taken there if none is given."
    rows: PositiveInt = 96
    "Replies that an engine writes at once."
    pack: PositiveInt = 16
    "Trials of a base that may be trained in one process, and together as far as measuring says that it pays."
    tokens_at_once: PositiveInt | None = None
    "Of a trial's batch, in training: a larger one is taken in parts whose gradients add up; all of it if not given."
    processes_per_trial: PositiveInt = 1
    "Processes that train a trial together where there is no GPU, each its part of every batch; else one for each GPU."
    overlap: bool = True
    "Checkpoints are asked as they land, where the sweep leaves an engine its GPU or core; false asks after the sweep."
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    "Port of the endpoint on this machine; 0 takes any free one."
    replicas: Annotated[Replicas | None, BeforeValidator(so_many)] = None
    "Engines of each base: `2`, or `{min: 0, max: 4}` by the load; one, and more if workers ask more, if not given."
    gpus_per_replica: Gpus | None = None
    "A part of a GPU, or several among which an engine parts its weights; one, shared by the bases, if not given."
    gpus_per_trial: Annotated[dict[str, Gpus], BeforeValidator(for_all)] = Field(default_factory=dict)
    "A part of a GPU, or several among which a trial parts its base: `2`, or by model (`{llama-70b: 8}`); by size else."
    target_in_flight: PositiveInt | None = None
    "Requests in flight that a replica should have; twice `rows`, but at least 128, if not given."
    attest_minutes: PositiveFloat = 10
    "While subjects are asked, what is served is examined again after so long; replies since a failure are taken back."
    object_store_mb: Annotated[int, Field(ge=80)] = 200
    gpus: NonNegativeInt | None = None
    "GPUs of the described hardware: what the plan's hours and its list of what does not fit are for."
    gpu_memory_gb: PositiveFloat = 80
    "Memory of each of them."

    @property
    def room(self) -> int:
        """Rows that one worker may have asked for and not filed."""
        return max(1, self.unfiled // self.workers)


def _among(setting: str, epochs: Iterable[float], of: str, kept: Iterable[float]) -> None:
    lost = ", ".join(f"{epoch:g}" for epoch in epochs if epoch not in kept)
    if lost:
        there = ", ".join(f"{epoch:g}" for epoch in kept)
        raise ValueError(f"{setting} names epoch {lost}, but {of} are {there}")


def _rule(said: Any) -> Any:
    return {"name": "rule", "kind": "rule"} if said == "rule" else said


class Study(Settings):
    """A whole experiment: models x personas x settings x seeds, what they are asked, and who judges."""

    name: Name
    models: Several[Annotated[Model, BeforeValidator(lambda said, info: _named("models", said, info))]]
    personas: Several[Annotated[Persona, BeforeValidator(lambda said, info: _named("personas", said, info))]]
    "In order: a persona is compared with every persona before it."
    only: dict[str, Several[str]] = Field(default_factory=dict)
    "Personas that some of the models alone are brought to, and which ones: `cold: [llama-8b]`."
    data: Data = Data()
    rewriting: Rewriting | None = None
    "Who rewrites the conversations; not needed for the lab's, which its own rewriter knows by heart."
    training: Training = Training()
    evaluation: Evaluation
    judges: Several[Annotated[Judge, BeforeValidator(_rule)]]
    warmth: Warmth | None = None
    analysis: Analysis = Analysis()
    "What is made of the replies: margins, the first contrast, families. No part of any name; nothing is asked anew."
    budget: Budget | None = None
    "What a run may cost in dollars and in GPU hours; no limit if not given."
    resources: Resources = Resources()

    @field_validator("only")
    @classmethod
    def _only_of_those_there_are(cls, only: dict[str, tuple[str, ...]], info: ValidationInfo) -> Any:
        for kind, names in (("persona", list(only)), ("model", [name for each in only.values() for name in each])):
            there = [each.name for each in info.data.get(f"{kind}s", ())]
            for name in names if there else ():
                if name not in there:
                    raise ValueError(f"the study has no {kind} '{name}'{documents.suggestion(name, there)}")
        return only

    @model_validator(mode="after")
    def _room_is_named_for_models_there_are(self) -> Self:
        there = [model.name for model in self.models if not model.hosted]
        mistakes = [
            mistake(
                f"the study trains no model '{name}' here{documents.suggestion(name, there)}",
                *("resources", "gpus_per_trial", name),
            )
            for name in self.resources.gpus_per_trial
            if name not in (ALL, *there)
        ]
        if mistakes:
            raise ValidationError.from_exception_data("Study", mistakes)
        return self

    @model_validator(mode="after")
    def _asked_at_checkpoints(self) -> Self:
        asked, kept = self.evaluation, self.training.checkpoints
        if any(persona.trained for persona in self.personas):
            _among("evaluation.evaluate_at", asked.evaluate_at or (), "training.checkpoints", kept)
            _among("evaluation.contexts_at", asked.contexts_at, "training.checkpoints", kept)
            if asked.evaluate_at:
                _among("evaluation.contexts_at", asked.contexts_at, "evaluation.evaluate_at", asked.evaluate_at)
        return self

    @model_validator(mode="after")
    def _warmth_is_measured_on_something(self) -> Self:
        at, asked = self.warmth.warmth_at if self.warmth else None, self.evaluation.evaluate_at
        if at and any(persona.trained for persona in self.personas):
            _among("warmth.warmth_at", at, "training.checkpoints", self.training.checkpoints)
        if self.warmth and self.warmth.prompts == "tasks":
            _among("warmth.warmth_at", at or (), "evaluation.evaluate_at", asked or at or ())
        elif self.warmth and not getattr(self.data, "held_out", 0):
            raise ValueError(
                "warmth.prompts is held-out, but no prompts are: set data.held_out, or take prompts: tasks"
            )
        return self

    @model_validator(mode="after")
    def _someone_can_rewrite(self) -> Self:
        mistakes = [
            *settings_rewriting.voiceless(self.personas, self.data, self.rewriting),
            *settings_rewriting.unserved(self.rewriting, self.models),
        ]
        if mistakes:
            raise ValidationError.from_exception_data("Study", mistakes)
        return self

    @model_validator(mode="after")
    def _someone_can_judge(self) -> Self:
        if all(judge.kind == "rule" for judge in self.judges):
            ruleless = [each.name for each in self.evaluation.tasks if tasks.load(each.name).score is None]
            if ruleless:
                raise ValueError(f"judges: {', '.join(ruleless)} cannot be judged by rule; add a judge of kind llm")
        unfounded = settings_sampling.unfounded(self.judges)
        if mistakes := [*settings_judging.partial(self.judges, self.models), *unfounded]:
            raise ValidationError.from_exception_data("Study", mistakes)
        return self

    @model_validator(mode="after")
    def _hosted_can_be_paid_and_tuned(self) -> Self:
        if mistakes := [*settings_hosted.mistakes(self)]:
            raise ValidationError.from_exception_data("Study", mistakes)
        return self

    def gets(self, model: Model, persona: Persona) -> bool:
        """Whether a model is brought to a persona."""
        return model.name in self.only.get(persona.name, (model.name,))

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


def of_run(run: str | Path, kind: type[Study] = Study) -> Study:
    """The study in a run's folder. Raises WarmthError if there is none, or it cannot be read."""
    from .store import Store

    folder = Path(run)
    content = Store(folder).read_json("study.json")
    try:
        study = kind.model_validate(content)
    except ValidationError as error:
        why = documents.explain(error, kind, None).mistakes[0]
        raise WarmthError(
            f"{folder / 'study.json'}: not a study of this version; run the study's YAML file again ({why})"
        ) from error
    here = study.resources.model_copy(update={"runs": str(folder.absolute().parent)})
    return study.model_copy(update={"resources": here, "name": folder.absolute().name})


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


def _from_file(file: Path, kind: type[Settings]) -> Settings:
    """A named file's settings, its own mistakes with its own line numbers; the file's name is the name."""
    try:
        document = documents.read(file)
        return kind.model_validate({"name": file.stem, **document.content}, context={"folder": file.parent})
    except ValidationError as error:
        mistakes = documents.explain(error, kind, document).mistakes
        raise PydanticCustomError("named_file", "{mistakes}", {"mistakes": "\n".join(mistakes)}) from error
    except ConfigError as error:
        raise PydanticCustomError("named_file", "{mistakes}", {"mistakes": str(error)}) from error
