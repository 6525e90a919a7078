"""Settings of what is made of the replies. They change no trial, no prompt and no reply, and are part of no name."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat

from .power import ASSUMED
from .settings import Settings, Several

Column = Literal["subject", "model", "persona", "task", "sample", "context", "belief", "finish_reason"]
Within = Literal["model", "task", "context", "belief"]


class Contrast(Settings):
    """The one comparison that a study stands or falls with; everything else is secondary."""

    persona: str = "warm"
    baseline: str = "original"
    task: str = "all"
    context: str = "neutral"
    belief: str = "none"
    outcome: Literal["error", "agrees"] = "error"

    def among(self, personas: Sequence[str]) -> Self:
        """As a study with these personas can make it: the last one against the first, if it lacks one of the two."""
        if {self.persona, self.baseline} <= set(personas):
            return self
        return self.model_copy(update={"persona": personas[-1], "baseline": personas[0]})


class Analysis(Settings):
    """How findings are judged."""

    primary: Contrast = Contrast()
    "The primary contrast; a persona that the study does not have makes it the last one against the first."
    margin_pp: PositiveFloat = 3.0
    "Differences smaller than this, in percentage points, are as good as none: for equivalence tests and `compare`."
    seed_spread_pp: NonNegativeFloat = ASSUMED.adapter_spread_pp
    "Assumed by the plan: the standard deviation of error among adapters that differ by their training seed alone."
    families: Several[Within] = ("model", "task", "belief")
    "Cells that are alike in these (and in persona, baseline, epoch, dose, settings and judge) share one correction."
    exclusions: dict[Column, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default_factory=dict)
    "Replies that take no part in any finding: `{finish_reason: [length]}`, `{task: [advbench]}`. They are counted."
