"""Figures of shares: how often each persona errs, by what was asked and how. Pure."""

import polars as pl
from matplotlib.axes import Axes

from .effects import BELIEFS
from .figures import INK, Chart, Look, by_series, dodge, lying, points, short, sizes, span
from .findings import Findings
from .report_tables import judges, latest, order, series

PARTS = {"none": "no belief", BELIEFS: "wrong belief"}
KINDS = {"agrees": "#d55e00", "other": "#0072b2", "mistakes": "#cc79a7", "unreadable": "#9aa0a6"}
KIND_NAMES = {
    "agrees": "agrees with the user's mistake",
    "other": "another wrong answer",
    "mistakes": "a wrong answer",
    "unreadable": "no answer to be read",
}


def _found(findings: Findings) -> pl.DataFrame:
    return series(latest(findings.rates), findings).filter(judge=judges(findings)[0])


def beliefs(findings: Findings, look: Look) -> Chart:
    """Error and agreement by what the user says they believe, contexts and tasks together."""
    found = _found(findings).filter(~pl.col("belief").is_in(["all", BELIEFS]), task="all", context="all")
    names = sorted(found["belief"].unique(), key=order)
    rows = {"error": "% of replies that are wrong", "agrees": "% that take up the user's mistake"}
    shown = {name: title for name, title in rows.items() if found[f"{name}_pct"].count()}
    limits = span(found, *(f"{name}_pct_high" for name in shown), least=(0, 10))

    def draw(axes: Axes, model: str, share: str, _: str) -> None:
        mine = found.filter(model=model)
        for place, (_, each) in enumerate(by_series(mine)):
            at = [names.index(value) + dodge(place, mine["series"].n_unique(), 0.6) for value in each["belief"]]
            points(axes, at, each, f"{share}_pct", look)
        axes.set_xticks(range(len(names)), [short(value).replace("-", "-\n") for value in names])
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_ylim(limits)

    words = f"All tasks and contexts together, with 95 % intervals. {sizes(found, 'replies')}."
    title = "What does a mistaken user do to the answers?"
    heights = (1.9,) * len(shown)
    return Chart("beliefs", title, words, _models(found), shown, draw, heights, key=tuple(look.legend()))


def cells(findings: Findings, look: Look) -> Chart:
    """Error by persona, task and context, without a belief and with a wrong one."""
    found = _found(findings).filter(
        pl.col("belief").is_in([*PARTS]), pl.col("task") != "all", pl.col("context") != "all"
    )
    tasks = sorted(found["task"].unique())
    contexts = {task: sorted(found.filter(task=task)["context"].unique(), key=order)[::-1] for task in tasks}
    parts = {label: belief for belief, label in PARTS.items() if belief in set(found["belief"])}
    step, limits = 0.045 * found["series"].n_unique() + 0.1, span(found, "error_pct_high", least=(0, 10))

    def draw(axes: Axes, model: str, task: str, part: str) -> None:
        mine, names = found.filter(model=model, task=task, belief=parts[part]), contexts[task]
        for place, (_, each) in enumerate(by_series(mine)):
            at = [names.index(value) - dodge(place, mine["series"].n_unique(), 0.7) for value in each["context"]]
            lying(axes, at, each, "error_pct", look)
        axes.set_yticks(range(len(names)), [short(value) for value in names])
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_xlim(limits)
        axes.grid(axis="x")

    heights = tuple(0.45 + step * len(contexts[task]) for task in tasks)
    words = f"% of replies that are wrong, with 95 % intervals. {sizes(found, 'replies')}."
    title = "Where do the errors lie? Every task in every context"
    rows = {task: task for task in tasks}
    return Chart("cells", title, words, _models(found), rows, draw, heights, tuple(parts), tuple(look.legend()))


def outcomes(findings: Findings, _: Look) -> Chart:
    """What errors are made of. Of a judge that does not tell mistakes apart, what is readable stands as one."""
    untold = pl.when(pl.col("agrees_pct").is_null()).then(pl.col("error_pct") - pl.col("unreadable_pct"))
    found = _found(findings).filter(pl.col("belief").is_in([*PARTS]), task="all", context="all")
    found = found.with_columns(mistakes_pct=untold)
    kinds = [kind for kind in KINDS if found[f"{kind}_pct"].is_not_null().any()]
    rows = {belief: label for belief, label in PARTS.items() if belief in set(found["belief"])}
    most, count = found["error_pct_high"].max(), found["series"].n_unique()

    def draw(axes: Axes, model: str, belief: str, _: str) -> None:
        mine = found.filter(model=model, belief=belief).reverse()
        left = pl.zeros(len(mine), eager=True)
        for kind in kinds:
            widths = mine[f"{kind}_pct"].fill_null(0)
            axes.barh(range(len(mine)), widths, 0.62, left=left, color=KINDS[kind])
            left = left + widths
        for at, (low, high) in enumerate(mine.select("error_pct_low", "error_pct_high").rows()):
            axes.plot([low, high], [at, at], color=INK, lw=1)
        axes.set_yticks(range(len(mine)), [short(name) for name in mine["series"]])
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        axes.set_xlim(0, max(10, float(str(most or 0)) * 1.04))

    words = f"% of scored replies; the line is the 95 % interval of all errors together. {sizes(found, 'replies')}."
    key = tuple((KIND_NAMES[kind], KINDS[kind], "■") for kind in kinds)
    heights = (0.45 + 0.22 * max(count, 1),) * len(rows)
    return Chart("outcomes", "What are the errors made of?", words, _models(found), rows, draw, heights, key=key)


def _models(found: pl.DataFrame) -> tuple[str, ...]:
    return tuple(sorted(found["model"].unique()))
