"""Settings of who is asked: models, and the personas that they are brought to."""

from typing import Literal, Self

from pydantic import NonNegativeInt, model_validator

from .settings import Name, Settings


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
