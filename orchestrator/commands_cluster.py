"""The commands for runs on a cluster: submit, fetch."""

import sys
from pathlib import Path

import click

from .commands import cluster_file, overrides, spoken, study_file
from .errors import WarmthError
from .study import Study


@click.command()
@study_file
@overrides
@cluster_file
@click.option("--address", help="Its job server, where that is reachable already: http://127.0.0.1:8265.")
@click.option("--detach", is_flag=True, help="Do not follow it; the same command without this does.")
@click.option("--stop", is_flag=True, help="End the study's job; what is finished is kept.")
@click.option(
    "--along", multiple=True, type=click.Path(path_type=Path), help="A file or folder here that goes too, if needed."
)
@spoken
def submit(
    file: Path,
    overrides: tuple[str, ...],
    cluster: Path | None,
    address: str | None,
    detach: bool,
    stop: bool,
    along: tuple[Path, ...],
) -> None:
    """Run a study on a cluster, and follow it from here. Again: it is followed again, or what is left is done."""
    from . import head, submit

    study, to = Study.load(file, overrides), head.of(cluster) if cluster else None
    if stop:
        ended = submit.stop(study, to, address)
        click.echo("\n".join(f"{name} is ended; what is finished is kept" for name in ended) or "No job of it runs")
        return
    try:
        job = submit.submit(study, to, address, along, detach, click.echo)
    except KeyboardInterrupt:
        click.echo("The job goes on there. The same command follows it again; --stop ends it.", err=True)
        sys.exit(130)
    if job.status in ("FAILED", "STOPPED"):
        raise WarmthError(
            f"{job.id}: {job.status} ({job.why}); what is finished is kept, the same command goes on with it"
        )
    if job.ended:
        click.echo(f"`warmth fetch {job.run} --cluster {cluster or 'CLUSTER.YAML'}` brings it home")


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
