"""Findings as figures: SVG for inlining, its lines and letters in the page's own colour, light or dark. Pure."""

import io
import re
from collections.abc import Callable, Sequence

import matplotlib as mpl
import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from .effects import BELIEFS
from .findings import Findings
from .report_tables import judges, latest, order, series, shown_warmth

INK, RULE = "#010203", "#040506"
"""Stand-ins that the page's own colours replace."""

COLOURS = ("#7f858c", "#009e73", "#0072b2", "#d55e00", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's colour-blind safe palette (2008), grey first for the model as released."""

MARKERS = "osD^vPX"
STYLE = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "errorbar.capsize": 0,
}
SHARE_NAMES = {"agrees": "agreement, %", "error": "error, %"}
Panel = Callable[[Axes, str, str], None]


def conditions(findings: Findings, models: Sequence[str], condition: str) -> str:
    """Agreement and error by persona and belief form (contexts together) or context (wrong beliefs), with intervals."""
    chosen = {
        "belief": (pl.col("context") == "all") & ~pl.col("belief").is_in(["all", BELIEFS]),
        "context": (pl.col("context") != "all") & (pl.col("belief") == BELIEFS),
    }[condition]
    found = series(latest(findings.rates), findings).filter(chosen, task="all", judge=judges(findings)[0])
    names = sorted(found[condition].unique(), key=order)

    def draw(axes: Axes, model: str, share: str) -> None:
        mine = found.filter(model=model)
        for place, (name, rows) in enumerate(_by_series(mine)):
            at = [names.index(value) + _dodge(place, mine["series"].n_unique(), 0.62) for value in rows[condition]]
            _points(axes, at, rows, f"{share}_pct", name, findings)
        axes.set_xticks(range(len(names)), [value.replace("-", "-\n") for value in names])
        axes.set_ylim(-3, 100)

    return _grid(condition, models, list(SHARE_NAMES), draw, SHARE_NAMES, height=2.2)


def by_epoch(findings: Findings, models: Sequence[str]) -> str:
    """Warmth, and agreement with wrong beliefs in the neutral context, by epoch; dashed: untrained."""
    rates = findings.rates.filter(task="all", context="neutral", belief=BELIEFS, judge=judges(findings)[0])
    frames = {"warmth": series(shown_warmth(findings), findings), "agrees_pct": series(rates, findings)}
    names = {"warmth": "warmth, nats per token", "agrees_pct": "agreement, %\n(neutral context)"}

    def draw(axes: Axes, model: str, value: str) -> None:
        shown = frames[value].filter(model=model)
        for place, (name, rows) in enumerate(_by_series(shown)):
            if rows["epoch"].max() == 0:
                axes.axhline(
                    rows[value].fill_null(float("nan"))[0],
                    color=_colour(name, findings),
                    ls=(0, (4, 3)),
                    lw=1.4,
                    label=name,
                )
                continue
            at = rows["epoch"] + _dodge(place, shown["series"].n_unique(), 0.09)
            _points(axes, at.to_list(), rows, value, name, findings, line="-")
        axes.set_xticks(sorted(set(frames[value].filter(pl.col("epoch") > 0)["epoch"])))
        axes.set_xlabel("epoch")
        if value == "agrees_pct":
            axes.set_ylim(-3, 100)

    return _grid("epochs", models, list(frames), draw, names, height=2.2)


def effects(findings: Findings, models: Sequence[str]) -> str:
    """Each persona's effect on agreement and error under wrong beliefs against each one before it, with intervals."""
    found = series(latest(findings.effects), findings).filter(
        task="all", context="all", belief=BELIEFS, judge=judges(findings)[0]
    )
    return _forest(findings, found, models, "model")


def bases(findings: Findings) -> str:
    """The effects' means over the bases of each world with t-intervals; the bases themselves as small marks."""
    chosen = {"task": "all", "context": "all", "belief": BELIEFS, "judge": judges(findings)[0]}
    found = series(latest(findings.bases), findings).filter(**chosen)
    single = series(latest(findings.effects), findings).filter(**chosen)
    return _forest(findings, found, found["world"].unique().sort().to_list(), "world", single)


def outcomes(findings: Findings, models: Sequence[str]) -> str:
    """What errors are made of (agreement, other wrong answers, no readable answer), plain and with beliefs.

    Of a judge that does not tell mistakes apart, what is readable stands as one.
    """
    found = series(latest(findings.rates), findings).filter(task="all", context="all", judge=judges(findings)[0])
    untold = pl.when(pl.col("agrees_pct").is_null()).then(pl.col("error_pct") - pl.col("unreadable_pct"))
    found = found.with_columns(mistakes_pct=untold)
    parts = {"agrees": "#d55e00", "other": "#0072b2", "mistakes": "#cc79a7", "unreadable": "#9aa0a6"}
    shown = {share: colour for share, colour in parts.items() if found[f"{share}_pct"].is_not_null().any()}
    names = {"none": "no belief", BELIEFS: "wrong belief"}

    def draw(axes: Axes, model: str, belief: str) -> None:
        rows = found.filter(model=model, belief=belief).reverse()
        left = pl.zeros(len(rows), eager=True)
        for share, colour in shown.items():
            widths = rows[f"{share}_pct"].fill_null(0)
            axes.barh(range(len(rows)), widths, 0.62, left=left, color=colour, label=share)
            left = left + widths
        axes.set_yticks(range(len(rows)), rows["series"].to_list())
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        axes.set_xlim(0, 100)
        axes.set_xlabel("% of scored replies")

    return _grid("outcomes", models, list(names), draw, names, height=0.7 + 0.27 * max(found["series"].n_unique(), 1))


def _forest(
    findings: Findings, found: pl.DataFrame, columns: Sequence[str], by: str, single: pl.DataFrame | None = None
) -> str:
    pairs = list(dict.fromkeys(found.select("series", "baseline").rows()))[::-1]
    names = {"agrees": "agreement, pp", "error": "error, pp"}
    values = {
        "agrees": ("agrees_effect_pp", "agrees_ci_low_pp", "agrees_ci_high_pp"),
        "error": ("effect_pp", "ci_low_pp", "ci_high_pp"),
    }

    def draw(axes: Axes, column: str, metric: str) -> None:
        axes.axvline(0, color=INK, lw=0.9)
        value, low, high = values[metric]
        for row in found.filter(pl.col(by) == column).drop_nulls(value).rows(named=True):
            at, colour = pairs.index((row["series"], row["baseline"])), _colour(row["series"], findings)
            axes.plot([row[low], row[high]], [at, at], color=colour, lw=2) if row[low] is not None else None
            axes.plot(row[value], at, MARKERS[_place(row["series"], findings)], color=colour, ms=6)
            if single is not None:
                own = single.filter(pl.col(by) == column, series=row["series"], baseline=row["baseline"])[value]
                axes.plot(own, [at - 0.28] * len(own), "|", color=colour, ms=6)
        axes.set_yticks(range(len(pairs)), [f"{mine} vs {theirs}" for mine, theirs in pairs])
        axes.set_ylim(-0.6, len(pairs) - 0.4)
        axes.grid(axis="x")
        axes.set_xlabel("percentage points")

    return _grid(by, columns, list(names), draw, names, height=0.8 + 0.27 * max(len(pairs), 1), legend=False)


def _grid(
    kind: str,
    columns: Sequence[str],
    rows: Sequence[str],
    draw: Panel,
    names: dict[str, str],
    height: float,
    legend: bool = True,
) -> str:
    """Panels with one row per measure and one column per model, the axes of a row the same."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": "/".join((kind, *columns))}):
        figure = Figure(figsize=(9.2 if len(columns) > 1 else 6, height * len(rows) + 0.5), layout="constrained")
        FigureCanvasSVG(figure)
        panels = figure.subplots(len(rows), len(columns), sharex="row", sharey="row", squeeze=False)
        for down, row in enumerate(rows):
            for along, column in enumerate(columns):
                draw(panels[down][along], column, row)
                panels[down][along].set_title(column if down == 0 else "", loc="left")
            panels[down][0].set_ylabel(names[row])
        if legend:
            shown = [panel.get_legend_handles_labels() for panel in panels.flat]
            handles = {label: handle for drawn, labels in shown for handle, label in zip(drawn, labels, strict=True)}
            figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=max(len(handles), 1))
        return _svg(figure)


def _svg(figure: Figure) -> str:
    """The drawing alone, without ids that would stand twice in a page."""
    out = io.StringIO()
    figure.savefig(
        out, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    drawing = out.getvalue()
    drawing = drawing[drawing.index("<svg") :].replace(INK, "currentColor").replace(RULE, "var(--rule)")
    drawing = re.sub(r' id="[\w.]+_\d+"', "", drawing)
    return re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)


def _points(
    axes: Axes, at: list[float], rows: pl.DataFrame, value: str, name: str, findings: Findings, line: str = "none"
) -> None:
    middle = rows[value].cast(pl.Float64)
    below, above = ((middle - rows[f"{value}_low"]).fill_null(0), (rows[f"{value}_high"] - middle).fill_null(0))
    axes.errorbar(
        at,
        middle.fill_null(float("nan")).to_list(),
        yerr=[below.clip(0).to_list(), above.clip(0).to_list()],
        fmt=MARKERS[_place(name, findings)],
        ls=line,
        color=_colour(name, findings),
        ms=5.5,
        lw=1.6,
        label=name,
        clip_on=False,
    )


def _by_series(frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    return [(str(rows["series"][0]), rows) for rows in frame.partition_by("series", maintain_order=True)]


def _place(name: str, findings: Findings) -> int:
    names = series(findings.rates, findings)["series"].unique(maintain_order=True).to_list()
    return int(names.index(name)) % len(COLOURS)


def _colour(name: str, findings: Findings) -> str:
    return COLOURS[_place(name, findings)]


def _dodge(place: int, count: int, width: float) -> float:
    return (place - (count - 1) / 2) * width / max(count, 1)
