"""The commands that tell others of a run: status."""

import sys
from pathlib import Path

import click

from .commands import as_json, run_folder, spoken
from .study import Study


@click.command()
@run_folder
@as_json
@click.option("--watch", is_flag=True, help="Show it again every second, until no process works on the run any more.")
@spoken
def status(run: Path, as_json: bool, watch: bool) -> None:
    """How far a run is: every trial and evaluation, while it goes on elsewhere or after it was stopped."""
    from rich.console import Console

    from . import status, status_text

    study = Study.of(run)
    if as_json:
        click.echo(status_text.to_json(status.look(study)))
    elif watch:
        status_text.watch(lambda: status.look(study))
    else:
        Console(width=None if sys.stdout.isatty() else 100).print(status_text.shown(status.look(study)))
