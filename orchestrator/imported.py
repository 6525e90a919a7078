"""What was imported into a run: rows like any others, and what they do not say of themselves (`imported.json`)."""

import re
from dataclasses import dataclass

import polars as pl

from . import frames, tables
from .errors import WarmthError
from .store import IMPORTED, Store
from .tables import Reply, Score

JUDGE = "imported"
"""What a judge is called that nobody names."""


@dataclass(frozen=True)
class Who:
    """Who said it: model, persona, training seed and epoch, in the words of whoever imports."""

    model: str
    persona: str
    seed: int | None = None
    epoch: float = 0

    @property
    def subject(self) -> str:
        """A name that is a folder's, too; two subjects never share one."""
        seed = "" if self.seed is None else f"-s{self.seed}"
        whole = tables.digest("imported", self.model, self.persona, self.seed, self.epoch, length=8)
        return f"{slug(self.model)}-{slug(self.persona)}{seed}-i{whole}"


@dataclass(frozen=True)
class Piece:
    """One file that was imported: what it is called, what is in it, and how it was taken."""

    file: str
    sha256: str
    subject: str
    model: str
    persona: str
    seed: int | None
    epoch: float
    task: str
    judge: str
    refusals: str
    rows: int
    refused: int
    unscored: int
    failed: int
    repeated: int

    @property
    def replies(self) -> tuple[str, str, str]:
        return "replies", self.subject, f"{slug(self.task)}.arrow"

    @property
    def scores(self) -> tuple[str, str, str, str]:
        return "scores", slug(self.judge), self.subject, f"{slug(self.task)}.arrow"

    def told(self) -> str:
        """The same in words."""
        counts = {
            "refused": self.refused,
            "without a verdict": self.unscored,
            "without a reply": self.failed,
            "that stand there again": self.repeated,
        }
        rest = "".join(f", {count} {what}" for what, count in counts.items() if count)
        return (
            f"{self.file}: {self.rows} replies of {self.model} as {self.persona} to {self.task}, by {self.judge}{rest}"
        )


def of_run(store: Store) -> list[Piece]:
    """What was imported into a run, in order; nothing if nothing was."""
    found = store.read_json(IMPORTED) if store.has(IMPORTED) else []
    try:
        return [Piece(**piece) for piece in found]
    except TypeError as error:
        raise WarmthError(
            f"{store.path(IMPORTED)}: not a list of imported files ({error}); import them again"
        ) from error


def answers(store: Store) -> pl.DataFrame:
    """One row per imported reply and judge, with the columns of `frames.answers`."""
    pieces = of_run(store)
    replies = frames.digested(frames.frame(Reply, sorted({store.path(*piece.replies) for piece in pieces})))
    scores = frames.frame(Score, sorted({store.path(*piece.scores) for piece in pieces}))
    who = replies.with_columns(
        world=pl.lit(None, pl.String),
        base_seed=pl.lit(None, pl.Int64),
        settings=pl.when(pl.col("seed").is_not_null()).then(pl.lit("")),
    )
    return frames.with_verdicts(who.join(scores.select(*tables.KEY, "judge"), on=tables.KEY), scores)


def slug(name: str) -> str:
    """A name as part of a path; what is lost of it is made up for by a digest."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:40]
    return plain if plain == name else f"{plain}-{tables.digest(name, length=6)}".strip("-")
