"""Figures of differences: what one persona changes against another, per model and over bases. Pure."""

from dataclasses import dataclass

import polars as pl
from matplotlib.axes import Axes

from .effects import BELIEFS
from .figures import INK, Chart, Look, short, sizes, span
from .findings import Findings
from .report_tables import Row, judges, latest, series

VALUES = {
    "plain": ("effect_pp", "ci_low_pp", "ci_high_pp", "recipe_low_pp", "recipe_high_pp"),
    "believed": ("effect_pp", "ci_low_pp", "ci_high_pp", "recipe_low_pp", "recipe_high_pp"),
    "agrees": (
        "agrees_effect_pp",
        "agrees_ci_low_pp",
        "agrees_ci_high_pp",
        "agrees_recipe_low_pp",
        "agrees_recipe_high_pp",
    ),
}
"""The columns of each measure: the effect, its interval over questions, its interval over training seeds."""

TITLES = {
    "plain": "more errors when no belief is stated",
    "believed": "more errors when the user is wrong",
    "agrees": "more agreement with the user's mistake",
}
"""Each measure as the title of a panel of differences."""


def effects(findings: Findings, look: Look) -> Chart | None:
    """Every persona against every one before it, with both intervals; nothing where no two were compared."""
    chosen = series(latest(findings.effects), findings).filter(task="all", judge=judges(findings)[0])
    models = tuple(sorted(set(chosen["model"])))
    words = (
        "Percentage points; to the right of zero, the first persona errs or agrees more often than the second. Thick: "
        "95 % interval over questions, for these very adapters. Thin: over training seeds, for adapters trained anew, "
        "which may run out of the picture."
    )
    return _forest(
        "effects", "What does each persona change?", words, _Forest(_by_measure(chosen), "model", look), models
    )


def bases(findings: Findings, look: Look) -> Chart | None:
    """The effects' means over the bases of each world, the bases themselves as small marks."""
    if findings.bases.is_empty():
        return None
    mean, single = (
        _by_measure(series(latest(frame), findings).filter(task="all", judge=judges(findings)[0]))
        for frame in (findings.bases, findings.effects)
    )
    worlds = tuple(sorted(set(mean["believed"]["world"])))
    words = (
        "Marks: means over bases with t-intervals over bases. Ticks below them: each base's own effect; n is theirs."
    )
    forest = _Forest(mean, "world", look, single)
    return _forest("bases", "Does it hold for other base models?", words, forest, worlds)


def _by_measure(found: pl.DataFrame) -> dict[str, pl.DataFrame]:
    over = found.filter(context="all")
    return {"plain": over.filter(belief="none"), **dict.fromkeys(("believed", "agrees"), over.filter(belief=BELIEFS))}


@dataclass(frozen=True)
class _Forest:
    """Effects by measure, one line for each pair of personas."""

    found: dict[str, pl.DataFrame]
    by: str
    look: Look
    single: dict[str, pl.DataFrame] | None = None

    @property
    def measures(self) -> list[str]:
        return [name for name, frame in self.found.items() if frame[VALUES[name][0]].count()]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        rows = [frame.select("series", "baseline").rows() for frame in self.found.values()]
        return list(dict.fromkeys(pair for some in rows for pair in some))[::-1]

    def draw(self, axes: Axes, column: str, measure: str, _: str) -> None:
        axes.axvline(0, color=INK, lw=0.9)
        value = VALUES[measure][0]
        mine = self.found[measure].filter(pl.col(self.by) == column).drop_nulls(value)
        for row in mine.rows(named=True):
            self._line(axes, row, VALUES[measure])
            self._bases(axes, column, row, measure)
        names = [f"{short(mine)} vs {short(theirs)}" for mine, theirs in self.pairs]
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_xlim(self._limits)
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")

    def _line(self, axes: Axes, row: Row, names: tuple[str, ...]) -> None:
        value, (low, high, recipe_low, recipe_high) = row[names[0]], (row.get(name) for name in names[1:])
        at, name = self.pairs.index((str(row["series"]), str(row["baseline"]))), str(row["series"])
        colour = self.look.colour(name)
        if recipe_low is not None:
            axes.plot([recipe_low, recipe_high], [at, at], color=colour, lw=0.8)
        if low is not None:
            axes.plot([low, high], [at, at], color=colour, lw=2.4, solid_capstyle="butt")
        axes.plot(value, at, self.look.marker(name), color=colour, ms=5)

    def _bases(self, axes: Axes, column: str, row: Row, measure: str) -> None:
        if self.single is not None:
            same = self.single[measure].filter(series=row["series"], baseline=row["baseline"])
            own = same.filter(pl.col(self.by) == column)[VALUES[measure][0]]
            at = self.pairs.index((str(row["series"]), str(row["baseline"])))
            axes.plot(own, [at - 0.28] * len(own), "|", color=self.look.colour(str(row["series"])), ms=5)

    @property
    def _limits(self) -> tuple[float, float]:
        """Wide enough for what is said of these adapters; the intervals over few seeds may run out of the picture."""
        ends = [span(self.found[name], *VALUES[name][:3], least=(-5, 5)) for name in self.measures]
        return min(low for low, _ in ends), max(high for _, high in ends)


def _forest(name: str, title: str, words: str, forest: _Forest, columns: tuple[str, ...]) -> Chart | None:
    if not forest.measures or not columns:
        return None
    rows = {measure: TITLES[measure] for measure in forest.measures}
    of = forest.single or forest.found
    told = sizes(pl.concat([of[measure].select("n", "n_questions") for measure in rows]), "pairs of replies")
    heights = (0.45 + 0.19 * max(len(forest.pairs), 1),) * len(rows)
    return Chart(name, title, f"{words} {told}.", columns, rows, forest.draw, heights)
