"""The commands that read a run: report."""

from pathlib import Path

import click

from .commands import as_json, run_folder, sensitive, show, spoken
from .study import Study


@click.command()
@run_folder
@sensitive
@as_json
@spoken
def report(run: Path, sensitive: bool, as_json: bool) -> None:
    """Print the findings of a run, and write report/index.html and its tables."""
    show(Study.of(run).report(sensitive), run, as_json)
