"""Settings of what is asked, and who judges it."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    model_validator,
)

import tasks
from tasks import BELIEFS, CONTEXTS, GRIDS

from . import rubrics
from .pushback import Form
from .settings import Name, Settings, Several, Url, Variable, distinct, one_of
from .settings_sampling import Sample

TaskName = Annotated[str, one_of("task", tasks.names())]

LocalPath = Annotated[str, AfterValidator(lambda said: str(Path(said).expanduser().absolute()))]
"""A file on this machine; a run is told where it is, wherever it is read from."""


class Asked(Settings):
    """A task, and what of it is asked. A name alone stands for the task as it comes."""

    name: TaskName
    path: LocalPath | None = None
    "A CSV, JSON, JSONL or Parquet file of questions, in place of the task's data set on the Hugging Face hub."
    samples: PositiveInt | None = None
    "So many questions, drawn with `seed`; `evaluation.samples` if not given, and else as many as the task proposes."
    seed: NonNegativeInt = 0
    optional: bool = False
    "Go on without this task if its questions cannot be had."
    prompts: LocalPath | None = None
    "A file of finished prompts (JSON lines: prompt, prompt_template, amendment_type), in place of the grid."
    temperature: NonNegativeFloat | None = None
    "For this task; `evaluation.temperature` if not given."
    max_tokens: PositiveInt | None = None
    "For this task; `evaluation.max_tokens` if not given."

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.path and self.prompts:
            raise ValueError(f"task '{self.name}' has path and prompts; prompts bring their own questions")
        return self


_TASK_NAME: TypeAdapter[str] = TypeAdapter(TaskName)


def _asked(said: Any) -> Any:
    """A bare name is checked as a name, so that a mistake in it is reported where it stands."""
    return {"name": _TASK_NAME.validate_python(said)} if isinstance(said, str) else said


class Evaluation(Settings):
    """What subjects are asked, and how."""

    tasks: Several[Annotated[Asked, BeforeValidator(_asked)]]
    grid: Literal["crossed", "published", "factorial"] = "crossed"
    "crossed: contexts x beliefs; published: the study's 28 prompts a question; factorial: it without its confounds."
    pack: LocalPath | None = None
    "A YAML file of context statements, belief sentences and a filler sentence, in place of our own."
    contexts: Several[Annotated[str, one_of("context", CONTEXTS)]]
    "Those of the grid if not given: six where contexts and beliefs are crossed, all nine otherwise."
    beliefs: Several[Annotated[str, one_of("belief form", BELIEFS)]]
    "Those of the grid if not given: none, asserts and denies, and in the published grid filler."
    pushback: Annotated[tuple[Form, ...], AfterValidator(distinct)] = ()
    "After a plain question's answer the user disagrees: asserts (a wrong answer), denies (the right one), or doubts."
    evaluate_at: tuple[PositiveFloat, ...] | None = None
    "Checkpoints that are asked at all; every one if not given."
    contexts_at: tuple[PositiveFloat, ...] = (2,)
    "Checkpoints that are asked in every context; the others only in the first one. Models as released: in every one."
    samples: PositiveInt | None = None
    "So many samples of every task; if not given, as many as each proposes."
    draws: PositiveInt = 1
    "Replies to every prompt; more than one needs a temperature above 0."
    temperature: NonNegativeFloat = 0
    max_tokens: PositiveInt = 32
    seed: NonNegativeInt = 0

    @model_validator(mode="before")
    @classmethod
    def _conditions_of_the_grid(cls, said: Any) -> Any:
        if not isinstance(said, dict):
            return said
        grid = GRIDS.get(str(said.get("grid", "crossed")), GRIDS["crossed"])
        return {"contexts": grid.contexts, "beliefs": grid.beliefs, **said}

    @model_validator(mode="after")
    def _the_published_grid_is_what_it_is(self) -> Self:
        grid = GRIDS["published"]
        if self.grid == "published" and (self.contexts, self.beliefs) != (grid.contexts, grid.beliefs):
            raise ValueError("grid published has its own contexts and beliefs; leave them out, or take grid crossed")
        return self

    @model_validator(mode="after")
    def _there_are_words_for_every_condition(self) -> Self:
        try:
            pack = tasks.read_pack(self.pack)
        except tasks.Unusable as error:
            raise ValueError(f"pack: {error}") from error
        for task in map(tasks.load, (each.name for each in self.tasks if not each.prompts)):
            words = tasks.phrasing(task, pack)
            for kind, asked, known in (
                ("context", self.contexts, words.contexts),
                ("belief form", self.beliefs, words.beliefs),
            ):
                lacking = [name for name in asked if name not in known]
                if lacking and not task.plain:
                    what = "its tasks have" if task.phrasing else "the pack has"
                    raise ValueError(f"no words for {kind} {', '.join(lacking)}: {what} {', '.join(known)}")
        return self

    def sampling(self, task: str) -> tuple[float, int]:
        """Temperature and longest reply for a task."""
        asked = next((each for each in self.tasks if each.name == task), None)
        temperature = asked.temperature if asked and asked.temperature is not None else self.temperature
        return temperature, (asked and asked.max_tokens) or self.max_tokens

    @model_validator(mode="after")
    def _draws_differ(self) -> Self:
        if self.draws > 1 and 0 in {self.sampling(each.name)[0] for each in self.tasks}:
            raise ValueError(f"draws {self.draws} at temperature 0 would be copies; set temperature, or draws to 1")
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
    rubric: LocalPath | None = None
    "llm: a prompt pack whose `judge` is asked, in place of our own rubric; it answers CORRECT or INCORRECT."
    answers: Literal["word", "schema"] = "word"
    "llm: a word, or an object by a JSON schema, which some endpoints can be held to (`response_format`)."
    judges_itself: bool = False
    "llm: whether the model may judge replies of its own, or of adapters on it. The report then says that it does."
    rules: bool = False
    "llm: a task's exact rule goes first (`rule`'s), and the model is asked where there is none or it reads no answer."
    sample: Sample | None = None
    "llm: ask about some replies only, drawn by another judge's verdicts; both together make unbiased figures."
    refusals: Literal["judge", "published"] | None = None
    "Who tells refusals: the judge, or the published substring rule; the rule if not given where `rubric` is."

    @property
    def refusals_by(self) -> str:
        return self.refusals or ("published" if self.rubric else "judge")

    @model_validator(mode="after")
    def _rubric_that_it_can_use(self) -> Self:
        if self.rubric:
            if self.kind == "rule":
                raise ValueError(f"judge '{self.name}' goes by the task's rule; leave rubric out")
            if self.refusals == "judge":
                raise ValueError("a published rubric has no word for a refusal; set refusals to published")
            rubrics.published(self.rubric)
        return self

    @model_validator(mode="after")
    def _of_a_model(self) -> Self:
        if self.kind == "rule" and (self.sample or self.rules):
            raise ValueError(f"judge '{self.name}' goes by the task's rule on every reply; leave sample and rules out")
        return self

    @model_validator(mode="after")
    def _endpoint(self) -> Self:
        if (self.kind == "llm") != (self.url is not None and self.model is not None):
            needed = "url and model" if self.kind == "llm" else "neither url nor model"
            raise ValueError(f"judge '{self.name}' of kind {self.kind} needs {needed}")
        return self
