"""How figures are drawn: one chart, its panels, as SVG for the page and as files. Pure.

On the page every model has a drawing of its own, narrow enough for a phone, its lines and letters in the page's own
colours, light or dark. The files show the models beside one another.
"""

import html
import io
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .findings import Findings
from .report_tables import series

INK, RULE = "#010203", "#040506"
"""Stand-ins that the page's own colours replace."""

PAPER = {INK: "#1d2126", RULE: "#d9dde1"}
"""Their colours in files."""

COLOURS = ("#7f858c", "#009e73", "#0072b2", "#d55e00", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's colour-blind safe palette (2008), grey first for the model as released."""

MARKERS = "osD^vPX"
SHAPES = "●■◆▲▼✚✖"
"""What MARKERS look like in a line of text."""

WIDTH = 4.0
"""Inches of a panel: a phone shows its letters at ten pixels, a wide screen at thirteen."""

STYLE = {
    "svg.fonttype": "none",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
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
Panel = Callable[[Axes, str, str, str], None]
"""Draws one model, one row and one part of it, limits included: they are the same for all models."""


@dataclass(frozen=True)
class Look:
    """The colour and the marker of every series, the same in all figures."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, findings: Findings) -> "Look":
        return cls(tuple(series(findings.rates, findings)["series"].unique(maintain_order=True)))

    def colour(self, name: str) -> str:
        return COLOURS[self.names.index(name) % len(COLOURS)]

    def marker(self, name: str) -> str:
        return MARKERS[self.names.index(name) % len(MARKERS)]

    def legend(self) -> list[tuple[str, str, str]]:
        """Every series with its colour and its shape."""
        return [(name, self.colour(name), SHAPES[place % len(SHAPES)]) for place, name in enumerate(self.names)]


@dataclass(frozen=True)
class Chart:
    """A figure of the report: what it is called, what it says, and how its panels are drawn.

    `columns` are its models, `rows` its rows of panels with their titles and `heights` in inches; `parts` stand beside
    one another in every row of a model. `key` says what the marks mean.
    """

    name: str
    title: str
    words: str
    columns: tuple[str, ...]
    rows: dict[str, str]
    draw: Panel
    heights: tuple[float, ...]
    parts: tuple[str, ...] = ("",)
    key: tuple[tuple[str, str, str], ...] = ()

    def inline(self) -> list[tuple[str, str]]:
        """Each model's drawing, to stand in the page."""
        return [(column, self._inline(column)) for column in self.columns]

    def _inline(self, column: str) -> str:
        out = io.StringIO()
        about = {"Date": None, "Creator": None, "Format": None, "Type": None}
        with mpl.rc_context({**STYLE, "svg.hashsalt": f"{self.name}/{column}"}):
            self._drawn((column,)).savefig(out, format="svg", transparent=True, metadata=about)
        return _for_the_page(out.getvalue(), f"{self.title} {column}")

    def save(self, folder: Path) -> None:
        """The models beside one another, as `<name>.svg` and `<name>.png`, dark on white."""
        style = {name: PAPER.get(str(value), value) for name, value in STYLE.items()}
        with mpl.rc_context({**style, "svg.hashsalt": self.name}):
            figure = self._drawn(self.columns, titled=True)
            figure.savefig(folder / f"{self.name}.svg", metadata={"Date": None})
            figure.set_layout_engine("none")
            figure.savefig(folder / f"{self.name}.png", dpi=160)

    def _drawn(self, columns: Sequence[str], titled: bool = False) -> Figure:
        """`titled` for a drawing that stands alone: with the models' names and the key to the marks."""
        size = (WIDTH * len(columns), sum(self.heights) + 0.5 * titled)
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(
            len(self.rows), len(columns) * len(self.parts), squeeze=False, height_ratios=list(self.heights)
        )
        for (down, row), (along, column), (beside, part) in itertools.product(
            enumerate(self.rows), enumerate(columns), enumerate(self.parts)
        ):
            axes = grid[down][along * len(self.parts) + beside]
            self.draw(axes, column, row, part)
            first = [] if beside else [column] * (titled and down == 0) + [self.rows[row]]
            axes.set_title("\n".join([*first, *filter(None, [part])]))
            if beside:
                axes.set_yticklabels([])
        if titled and self.key:
            marks = [
                Line2D([], [], color=colour, marker=MARKERS[SHAPES.index(shape)], ls="")
                for _, colour, shape in self.key
            ]
            figure.legend(marks, [name for name, *_ in self.key], loc="outside upper center", ncols=len(self.key))
        return figure


def _for_the_page(drawing: str, label: str) -> str:
    """The drawing alone, without ids that would stand twice in a page, and with a name for who cannot see it."""
    drawing = drawing[drawing.index("<svg") :].replace(INK, "currentColor").replace(RULE, "var(--rule)")
    drawing = re.sub(r' id="[\w.]+_\d+"', "", drawing)
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    return drawing.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" ', 1)


def points(axes: Axes, at: Sequence[float], rows: pl.DataFrame, value: str, look: Look, line: str = "none") -> None:
    """A series' values at these places, with their intervals upright."""
    name = str(rows["series"][0])
    middle, below, above = _whiskers(rows, value)
    axes.errorbar(
        at,
        middle,
        yerr=[below, above],
        fmt=look.marker(name),
        ls=line,
        color=look.colour(name),
        ms=4.2,
        lw=1.3,
        clip_on=False,
    )


def lying(axes: Axes, at: Sequence[float], rows: pl.DataFrame, value: str, look: Look) -> None:
    """A series' values at these heights, with their intervals lying."""
    name = str(rows["series"][0])
    middle, below, above = _whiskers(rows, value)
    axes.errorbar(middle, at, xerr=[below, above], fmt=look.marker(name), color=look.colour(name), ms=3.6, lw=1.2)


def _whiskers(rows: pl.DataFrame, value: str) -> tuple[list[float], list[float], list[float]]:
    middle = rows[value].cast(pl.Float64)
    below, above = (middle - rows[f"{value}_low"]).fill_null(0), (rows[f"{value}_high"] - middle).fill_null(0)
    return middle.fill_null(float("nan")).to_list(), below.clip(0).to_list(), above.clip(0).to_list()


def by_series(frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """The rows of each series, in order."""
    return [(str(rows["series"][0]), rows) for rows in frame.partition_by("series", maintain_order=True)]


def dodge(place: int, count: int, width: float) -> float:
    """By how much a series is moved aside, so that several can be told apart at one place."""
    return (place - (count - 1) / 2) * width / max(count, 1)


def span(frame: pl.DataFrame, *columns: str, least: tuple[float, float]) -> tuple[float, float]:
    """Limits that hold all values of these columns and `least`, with a little room."""
    found = [
        value for column in columns if column in frame.columns for value in (frame[column].min(), frame[column].max())
    ]
    known = [float(str(value)) for value in found if value is not None]
    low, high = min([least[0], *known]), max([least[1], *known])
    return low - 0.04 * (high - low), high + 0.04 * (high - low)


def short(name: str, longest: int = 22) -> str:
    """A name that leaves room for the drawing."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def sizes(frame: pl.DataFrame, what: str) -> str:
    """How many `what` and questions the marks of a figure stand for, in words."""
    seen = frame.filter(pl.col("n") > 0)
    if seen.is_empty():
        return "n = 0"
    ends = [(min(values), max(values)) for values in (seen["n"].to_list(), seen["n_questions"].to_list())]
    told = [f"{low:,}" if low == high else f"{low:,} to {high:,}" for low, high in ends]
    return f"n of each mark: {told[0]} {what} to {told[1]} questions"
