"""The commands for runs on a cluster: fetch."""

from pathlib import Path

import click

from .commands import spoken

cluster_file = click.option(
    "--cluster", "cluster", type=click.Path(path_type=Path), help="The cluster's file, as `ray up` takes it."
)


@click.command()
@click.argument("run")
@cluster_file
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="The folder of runs here."
)
@spoken
def fetch(run: str, cluster: Path | None, out: Path) -> None:
    """Copy a run home, from a cluster or a folder: tables, adapters, report. Again goes on, or brings what is new."""
    from . import fetch, head

    came = fetch.fetch(run, out, head.of(cluster) if cluster else None)
    if by := came.working:
        click.echo(f"Process {by.pid} on {by.host} was working on it: fetch again when it is done")
    page = came.report or f"none there yet; `warmth report {came.folder}` makes one of what has come"
    click.echo(f"{came.folder}\nReport: {page}")
