"""Figures along something: epochs of training, doses, warmth, training seeds. Pure."""

from collections.abc import Callable

import polars as pl
from matplotlib.axes import Axes

from .effects import BELIEFS
from .figures import Chart, Look, by_series, dodge, points, short, sizes, span
from .findings import Findings
from .report_tables import judges, latest, series, shown_warmth
from .statistics import rank_correlation

MEASURES = {
    "warmth": ("warmth", "warmth, nats per token"),
    "plain": ("error_pct", "% wrong, no belief stated"),
    "believed": ("error_pct", "% wrong when the user is wrong"),
    "agrees": ("agrees_pct", "% that take up the user's mistake"),
}
"""What is drawn along something: the column, and the panel's title."""


def _frames(findings: Findings, context: str) -> dict[str, pl.DataFrame]:
    """The rows of each measure that was taken, every epoch and dose of every series."""
    found = series(findings.rates, findings).filter(task="all", context=context, judge=judges(findings)[0])
    believed = found.filter(belief=BELIEFS)
    every = {
        "warmth": series(shown_warmth(findings), findings),
        "plain": found.filter(belief="none"),
        "believed": believed,
        "agrees": believed,
    }
    return {name: frame for name, frame in every.items() if frame[MEASURES[name][0]].count()}


def epochs(findings: Findings, look: Look) -> Chart | None:
    """Warmth, error and agreement by epoch in the neutral context; nothing where one epoch was looked at."""
    frames = {name: rows for name, rows in _frames(findings, "neutral").items() if _several(rows, "epoch")}
    words = (
        "How the personas part in training: the neutral context, with 95 % intervals. Dashed: models that were not "
        "trained. Warmth is how much likelier a reply is from a friend than from a stranger."
    )
    return _curves("epochs", "When does it appear in training?", words, frames, "epoch", look)


def doses(findings: Findings, _: Look) -> Chart | None:
    """The same by the share of conversations that were rewritten; nothing where there is one dose."""
    frames = {name: latest(rows) for name, rows in _frames(findings, "all").items()}
    tuned = {name: rows.with_columns(series="persona") for name, rows in frames.items()}
    several = {name: rows for name, rows in tuned.items() if _several(rows, "dose")}
    words = "Dose: per cent of the training conversations that were rewritten. Dashed: personas without a dose."
    return _curves("doses", "Does more of it do more?", words, several, "dose", Look(findings.personas))


def _several(rows: pl.DataFrame, along: str) -> bool:
    return rows.filter(pl.col(along) > 0)[along].n_unique() > 1


def _curves(name: str, title: str, words: str, frames: dict[str, pl.DataFrame], along: str, look: Look) -> Chart | None:
    if not frames:
        return None

    def draw(axes: Axes, model: str, measure: str, _: str) -> None:
        value, shown = MEASURES[measure][0], frames[measure].filter(model=model)
        width = 0.012 * float(str(frames[measure][along].max() or 1)) * shown["series"].n_unique()
        for place, (persona, rows) in enumerate(by_series(shown)):
            if rows[along].max() == 0:
                level = rows[value].fill_null(float("nan"))[0]
                axes.axhline(level, color=look.colour(persona), ls=(0, (4, 3)), lw=1.2)
                continue
            at = rows[along] + dodge(place, shown["series"].n_unique(), width)
            points(axes, at.to_list(), rows, value, look, line="-")
        axes.set_xticks(sorted(set(frames[measure].filter(pl.col(along) > 0)[along])))
        axes.set_ylim(_limits(frames[measure], value))
        axes.set_xlabel(along)

    rows = {measure: MEASURES[measure][1] for measure in frames}
    told = sizes(pl.concat([frame.select("n", "n_questions") for frame in frames.values()]), "replies")
    return Chart(
        name, title, f"{words} {told}.", _models(frames), rows, draw, (1.9,) * len(rows), key=tuple(look.legend())
    )


def warmth_and_error(findings: Findings, look: Look) -> Chart | None:
    """Every subject's warmth against its error; nothing where either was not measured."""
    who = ["model", "series", "epoch", "dose", "settings"]
    frames = _frames(findings, "neutral")
    measure = "believed" if "believed" in frames else "plain"
    if not {measure, "warmth"} <= set(frames):
        return None
    warmth = frames["warmth"].select(*who, "^warmth.*$").drop("warmth_sem")
    both = frames[measure].join(warmth, on=who, nulls_equal=True).drop_nulls(["warmth", "error_pct"])
    rho = rank_correlation(both, "warmth", "error_pct")
    ends = span(both, "warmth_low", "warmth_high", least=(0, 0)), _limits(both, "error_pct")

    def draw(axes: Axes, model: str, _: str, __: str) -> None:
        for name, rows in by_series(both.filter(model=model)):
            along = rows.sort("epoch")
            axes.plot(along["warmth"], along["error_pct"], color=look.colour(name), lw=0.7, alpha=0.6)
            across = [
                (rows["warmth"] - rows["warmth_low"]).fill_null(0),
                (rows["warmth_high"] - rows["warmth"]).fill_null(0),
            ]
            axes.errorbar(rows["warmth"], rows["error_pct"], xerr=across, fmt="none", color=look.colour(name), lw=1)
            points(axes, rows["warmth"].to_list(), rows, "error_pct", look)
        axes.set_xlim(ends[0])
        axes.set_ylim(ends[1])
        axes.set_xlabel("warmth, nats per token")

    told = "not defined" if rho is None else f"{rho:+.2f}"
    words = (
        "Each mark is one subject: a persona at one epoch, joined in the order of training; the neutral context, 95 % "
        f"intervals both ways. Rank correlation over all {len(both)} subjects (Spearman): {told}. "
        f"{sizes(both, 'replies')}."
    )
    rows = {measure: MEASURES[measure][1]}
    title = "Do warmer subjects err more?"
    return Chart("warmth-and-error", title, words, _models({"": both}), rows, draw, (2.6,), key=tuple(look.legend()))


def seeds(findings: Findings, look: Look) -> Chart | None:
    """The same recipe trained again with other seeds; nothing where every adapter was trained once."""
    found = series(latest(findings.by_seed), findings).filter(judge=judges(findings)[0])
    if found.is_empty() or found["seed"].n_unique() < 2:
        return None
    frames = {"plain": found.filter(belief="none"), "believed": found.filter(belief=BELIEFS)}
    shown = {name: rows for name, rows in frames.items() if len(rows)}
    names = found["series"].unique(maintain_order=True).to_list()

    def draw(axes: Axes, model: str, measure: str, _: str) -> None:
        mine = shown[measure].filter(model=model)
        for name, rows in by_series(mine):
            at = [names.index(name) + dodge(place, len(rows), 0.5) for place in range(len(rows))]
            points(axes, at, rows, "error_pct", look)
        axes.set_xticks(range(len(names)), [short(name, 14) for name in names])
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_ylim(_limits(found, "error_pct"))

    rows = {measure: MEASURES[measure][1] for measure in shown}
    words = (
        "Each mark is one adapter: the same persona trained again with another seed. All tasks and contexts, the last "
        f"epoch, 95 % intervals over questions. {sizes(found, 'replies')}."
    )
    title = "How much is it the luck of one training?"
    return Chart("seeds", title, words, _models({"": found}), rows, draw, (1.9,) * len(rows), key=tuple(look.legend()))


def _limits(frame: pl.DataFrame, value: str) -> tuple[float, float]:
    least = (0.0, 10.0) if value.endswith("_pct") else (0.0, 0.0)
    return span(frame, value, f"{value}_low", f"{value}_high", least=least)


def _models(frames: dict[str, pl.DataFrame]) -> tuple[str, ...]:
    return tuple(sorted({model for frame in frames.values() for model in frame["model"]}))


CURVES: tuple[Callable[[Findings, Look], Chart | None], ...] = (epochs, doses, warmth_and_error, seeds)
