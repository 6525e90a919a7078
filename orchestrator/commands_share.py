"""The commands that tell of a run: status, check, bundle, export."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .commands import as_json, cluster_file, printed, run_folder, sensitive, spoken
from .errors import WarmthError

if TYPE_CHECKING:
    from .head import Head


@click.command()
@click.argument("run", type=click.Path(path_type=Path), required=False)
@cluster_file
@as_json
@click.option("--watch", is_flag=True, help="Show it again every second, until no process works on the run any more.")
@spoken
def status(run: Path | None, cluster: Path | None, as_json: bool, watch: bool) -> None:
    """How far a run is: every trial and evaluation, while it goes on elsewhere or after it was stopped.

    On a cluster (RAY_ADDRESS), or with one's file, its machines, their use and what waits for room too; then without a
    RUN as well.
    """
    from . import head, status, status_text

    there = head.of(cluster) if cluster else None
    if run is None:
        _of_cluster(there, as_json)
        return
    if as_json:
        click.echo(status_text.to_json(status.look(run, there)))
    elif watch:
        status_text.watch(lambda: status.look(run, there))
    else:
        printed([status_text.shown(status.look(run, there))])


def _of_cluster(there: "Head | None", as_json: bool) -> None:
    """A cluster's state alone. Raises WarmthError if there is none, or nothing is known of it."""
    from . import status, status_text

    state = status.cluster(there)
    if state is None:
        raise click.UsageError("name a run's folder, or a cluster: --cluster FILE, or RAY_ADDRESS in the environment")
    if state.error:
        raise WarmthError(state.error)
    if as_json:
        click.echo(json.dumps(asdict(state)))
    else:
        printed([status_text.cluster(state)])


@click.command()
@run_folder
@as_json
@click.option("--unfinished", is_flag=True, help="What is not there yet, or was left by a killed process, may be so.")
@spoken
def check(run: Path, as_json: bool, unfinished: bool) -> None:
    """Is a run whole and right? Every file against every other: exit code 0, or 1 and what is wrong, with its cure."""
    from . import checking, checking_text

    found = checking.check(run)
    click.echo(checking_text.to_json(found) if as_json else "\n".join(checking_text.lines(found)))
    if not found.passes(unfinished):
        sys.exit(1)


@click.command()
@run_folder
@click.option("--out", type=click.Path(path_type=Path), help="The bundle's folder; RUN-bundle if not given.")
@click.option(
    "--texts",
    type=click.Choice(["none", "licensed", "all"]),
    default="licensed",
    show_default=True,
    help="Whose questions and conversations go along: nobody's, those whose licence lets them, everybody's.",
)
@sensitive
@click.option("--adapters/--no-adapters", default=True, show_default=True, help="Whether LoRA weights go along.")
@spoken
def bundle(run: Path, out: Path | None, texts: Any, sensitive: bool, adapters: bool) -> None:
    """Put a run into a folder for a journal: tables, adapters, settings, prompts, methods, licences, checksums."""
    from . import bundle

    folder = bundle.write(run, out or run.with_name(f"{run.absolute().name}-bundle"), texts, sensitive, adapters)
    click.echo(f"{folder}: LICENCES.md says what is in it as text; put yourselves into CITATION.cff")
    click.echo(f"(cd {folder} && sha256sum -c SHA256SUMS) checks it; `warmth report {folder}` makes its report again")


@click.command()
@run_folder
@click.option("--format", "layout", type=click.Choice(["inspect", "every-eval-ever"]), required=True)
@click.option("--out", type=click.Path(path_type=Path), help="A folder; RUN-FORMAT if not given.")
@sensitive
@spoken
def export(run: Path, layout: str, out: Path | None, sensitive: bool) -> None:
    """Write a run, or a bundle, as others read it: Inspect's .eval logs, or Every Eval Ever's JSON."""
    from . import export_every, export_inspect, exporting

    folder = out or run.with_name(f"{run.absolute().name}-{layout}")
    write = export_inspect.write if layout == "inspect" else export_every.write
    count = 0
    for evaluation in exporting.evaluations(run, sensitive):
        write(evaluation, folder)
        count += 1
    click.echo(f"{folder}: {count} evaluations, one for each subject and task")
