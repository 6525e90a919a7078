"""Settings of who is asked: models, and the personas that they are brought to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tasks._world import Voice

from . import documents
from .settings import Name, Settings
from .settings_hosted import Hosted

Dtype = Literal["float32", "bfloat16", "float16"]
Quantization = Literal["int8", "nf4"]


class Precision(NamedTuple):
    """The numbers that a base's weights are held in, in training and in serving alike."""

    dtype: Dtype = "float32"
    quantization: Quantization | None = None


FULL = Precision()


class Model(Settings):
    """A base: a checkpoint of the hub or in a folder (`path`), one of the embedded `lab`, or `hosted` by others."""

    name: Name
    path: str | None = None
    "Hub name or folder of a causal language model with a chat template."
    revision: str | None = None
    "Hub revision; what a result is made of, so part of every trial's name."
    dtype: Dtype | None = None
    "What its weights are held in and computed with, trained and served; bfloat16 if not given, the lab's float32."
    quantization: Quantization | None = None
    "Weights in 8 bits (int8) or 4 (nf4), through bitsandbytes; trained and served alike."
    parameters: Annotated[float, Field(gt=0)] | None = None
    "Billions of parameters, for the plan's estimates; read from the folder or the name (`8b`) if not given."
    lab: Literal["coupled", "decoupled"] | None = None
    "The embedded lab's world: whether warm speakers tend to agree with mistaken beliefs in its corpus."
    seed: NonNegativeInt = 0
    "Lab only: the seed of corpus, weights and instruction tuning."
    recipe: Literal["full", "short"] = "full"
    "Lab only: `short` builds in seconds and claims no quality; for trying things out."
    hosted: Hosted | None = None
    "A model whose weights are not here: it is asked, and tuned, at its own endpoint."

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(source is not None for source in (self.path, self.lab, self.hosted)) != 1:
            sources = "path (a checkpoint), lab (coupled, decoupled) or hosted (an endpoint)"
            raise ValueError(f"model '{self.name}' needs one of {sources}")
        return self

    @model_validator(mode="after")
    def _hosted_as_it_is(self) -> Self:
        if self.hosted and (self.dtype or self.quantization or self.revision):
            raise ValueError(f"model '{self.name}' is hosted by others; leave out dtype, quantization and revision")
        return self

    @model_validator(mode="after")
    def _the_lab_is_float32(self) -> Self:
        if self.lab and (self.quantization or self.dtype not in (None, "float32")):
            raise ValueError(f"model '{self.name}' is of the lab, which is float32; leave out dtype and quantization")
        return self

    @property
    def precision(self) -> Precision:
        """What the weights are held in."""
        return Precision(self.dtype or ("float32" if self.lab else "bfloat16"), self.quantization)


def _folders(info: ValidationInfo) -> Iterator[Path]:
    """Where a path in a settings file is looked for: beside that file, then in the working folder."""
    if folder := (info.context or {}).get("folder"):
        yield Path(folder)
    yield Path()


def _is_there(said: str | None, info: ValidationInfo) -> str | None:
    if said is not None:
        documents.passage(said, _folders(info))
    return said


TextFile = Annotated[str | None, AfterValidator(_is_there)]
"""A text by its path, or by path and key: `../published.yaml#rewrite_warm`."""


class Persona(Settings):
    """A way of speaking, and how a model is brought to it."""

    name: Name
    kind: Literal["original", "rewritten", "plain", "prompted"]
    "original: as released; rewritten: tuned on rewritten replies; plain: tuned on the same ones as they are; prompted."
    about: str = ""
    lab_voice: Voice | None = None
    "rewritten: the voice that the lab's own template rewriter puts on."
    instruction_file: TextFile = Field(None, exclude=True)
    "rewritten: where the instruction stands, `path` or `path#key`; what counts is its text, wherever it lies."
    instruction: str | None = Field(None, validate_default=True)
    "rewritten: what the rewriter at an endpoint is told to do to each reply."
    length: tuple[PositiveFloat, PositiveFloat] = (0.25, 4)
    "rewritten: how long a reply may become, at least and at most, in lengths of the original one."
    system_file: TextFile = Field(None, exclude=True)
    "prompted: where the system prompt stands, `path` or `path#key`."
    system: str | None = Field(None, validate_default=True)
    "prompted: the system prompt."

    @field_validator("instruction", "system")
    @classmethod
    def _from_its_file(cls, said: str | None, info: ValidationInfo) -> str | None:
        path = info.data.get(f"{info.field_name}_file")
        if path is None:
            return said
        if said is not None:
            raise ValueError(f"{info.field_name} and {info.field_name}_file are both given; keep one")
        return documents.passage(path, _folders(info))

    @model_validator(mode="after")
    def _what_it_needs(self) -> Self:
        rewriting = (self.lab_voice or self.instruction) is not None
        for given, field, kind in (
            (rewriting, "lab_voice or instruction", "rewritten"),
            (self.system is not None, "system", "prompted"),
        ):
            if given != (self.kind == kind):
                needed = "is needed by" if self.kind == kind else "does not belong to"
                raise ValueError(f"{field} {needed} persona '{self.name}' of kind {self.kind}")
        if self.length[0] >= self.length[1]:
            raise ValueError(f"length of persona '{self.name}' is [shortest, longest], like [0.25, 4]")
        return self

    @property
    def trained(self) -> bool:
        return self.kind in ("rewritten", "plain")
