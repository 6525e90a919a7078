"""What a look at a run finds: one line each, with the file, what is wrong with it and the cure. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from .errors import WarmthError

if TYPE_CHECKING:
    import polars as pl

Kind = Literal["wrong", "missing", "left over", "noted"]
"""Damaged or at odds with something else; planned and not there; left by a killed process; good to know."""
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Found:
    """One thing that was found. `file` is relative to the run; `cure` says what puts it right."""

    kind: Kind
    file: str
    what: str
    cure: str


class Notes:
    """Everything that is found in a run's folder, and how much was looked at."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.found: list[Found] = []
        self.counted: Counter[str] = Counter()

    def add(self, kind: Kind, file: Path | tuple[str, ...], what: str, cure: str) -> None:
        """Note something about a file, given whole or by its parts in the run."""
        place = self._folder.joinpath(*file) if isinstance(file, tuple) else file
        told = place.relative_to(self._folder) if place.is_relative_to(self._folder) else place
        self.found.append(Found(kind, told.as_posix(), what, cure))

    def wrong(self, file: Path | tuple[str, ...], what: str, cure: str) -> None:
        """Note what is damaged, or at odds with something else."""
        self.add("wrong", file, what, cure)

    def wrong_rows(self, file: Path, those: "pl.DataFrame", on: Sequence[str], what: str, cure: str) -> None:
        """Note what is wrong with rows, if there are any; the first is named by these columns."""
        if those.height:
            self.wrong(file, f"{rows(those.height, '/'.join(map(str, those.select(on).row(0))))}: {what}", cure)

    def missing(self, file: Path | tuple[str, ...], what: str, cure: str = "`warmth run` goes on with it") -> None:
        """Note what is planned and not there."""
        self.add("missing", file, what, cure)

    def raised(self, file: Path | tuple[str, ...], error: WarmthError) -> None:
        """Note an error about a file, or about the one in the run that it names, and after a semicolon the cure."""
        place, _, rest = str(error).partition(": ")
        named = Path(place).is_relative_to(self._folder)
        what, _, cure = (rest if named else str(error)).rpartition("; ")
        self.wrong(Path(place) if named else file, what or cure, cure if what else "put it right and run again")


def rows(count: int, first: object) -> str:
    """How many rows something is true of, and which is the first."""
    return f"{count:,} row{'s' * (count > 1)} (first: {first})"
