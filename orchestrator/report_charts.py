"""Which figures the report has, in their order, and their files. Pure but for writing them."""

from collections.abc import Sequence
from pathlib import Path

from . import figures_curves, figures_effects, figures_rates
from .figures import Chart, Look
from .findings import Findings


def charts(findings: Findings) -> list[Chart]:
    """All figures that these findings allow; none where nothing was scored."""
    if not findings.rates["n"].sum():
        return []
    look = Look.of(findings)
    drawn = [
        figures_effects.effects(findings, look),
        figures_effects.bases(findings, look),
        figures_rates.beliefs(findings, look),
        figures_rates.cells(findings, look),
        figures_rates.outcomes(findings, look),
        *(curve(findings, look) for curve in figures_curves.CURVES),
    ]
    return [chart for chart in drawn if chart]


def save(drawn: Sequence[Chart], folder: Path) -> None:
    """Every figure as SVG and PNG, its models beside one another."""
    folder.mkdir(parents=True, exist_ok=True)
    for chart in drawn:
        chart.save(folder)
