"""The commands that make a run: plan, run, evaluate, serve."""

import json
import os
import sys
from pathlib import Path

import click

from . import plan_text
from .commands import as_json, overrides, run_folder, show, spoken, study_file
from .errors import WarmthError
from .study import Study


@click.command()
@study_file
@overrides
@as_json
@click.option("--subjects", is_flag=True, help="Name every subject.")
@click.option(
    "--freeze", is_flag=True, help="Write study.lock.json now: a preregistration. A run does at its first reply."
)
@click.option("--check", is_flag=True, help="Look whether everything is there: models, data, keys, GPUs, disk.")
@spoken
def plan(file: Path, overrides: tuple[str, ...], as_json: bool, subjects: bool, freeze: bool, check: bool) -> None:
    """Say what a study comes to; nothing is built or started."""
    study = Study.load(file, overrides)
    planned = study.plan()
    figures = planned.counts()
    if subjects:
        figures["subject_names"] = [subject.name for subject in planned.subjects]
    if check:
        from . import preflight

        found = preflight.look(study)
        figures |= {"problems": found.problems, "left_out": found.left_out}
    if freeze:
        from . import lock
        from .store import Store

        store = Store(study.folder)
        figures |= {"lock": str(store.path(lock.PLACE)), "plan_digest": lock.preregister(planned, store)["plan_digest"]}
    click.echo(json.dumps(figures) if as_json else "\n".join(plan_text.lines(figures)))
    if figures.get("problems"):
        sys.exit(1)


@click.command()
@study_file
@overrides
@as_json
@spoken
def run(file: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Run a study to its findings. Run again to resume, retry and extend: what is done is not done again."""
    study = Study.load(file, overrides)
    found = study.run()
    show(found, study.folder, as_json)
    if (
        found.trials["error"].is_not_null().any()
        or found.problems.filter(found.problems["kind"].is_in(["failed replies", "attestation failed"])).height
    ):
        raise WarmthError(
            f"{study.folder}: not all of it worked; the report says what failed, and the same command tries that again"
        )


@click.command()
@run_folder
@click.option(
    "--subjects", "subjects", multiple=True, default=["*"], help="A subject's name or a pattern, as often as needed."
)
@click.option("--tasks", "tasks", multiple=True, help="A task, as often as needed; the study's own if not given.")
@click.option("--workers", type=int, help="Actors that ask.")
@as_json
@spoken
def evaluate(run: Path, subjects: tuple[str, ...], tasks: tuple[str, ...], workers: int | None, as_json: bool) -> None:
    """Ask and judge on demand: chosen subjects of a run, any tasks."""
    found = Study.of(run).evaluate(subjects, tasks or None, workers)
    tally = (
        found.group_by("subject", "task", "context", "belief", "judge", "outcome")
        .len()
        .sort("subject", "task", "context", "belief")
    )
    if as_json:
        click.echo(tally.write_json())
        return
    for row in tally.rows():
        click.echo("  ".join(map(str, row)))


@click.command()
@run_folder
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes any free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Any other than this machine's own needs a key.")
@click.option("--api-key-file", type=click.Path(path_type=Path), help="Holds the key; else WARMTH_API_KEY, if set.")
@spoken
def serve(run: Path, port: int, host: str, api_key_file: Path | None) -> None:
    """Serve a run's models and adapters behind one OpenAI-protocol endpoint, until Ctrl-C; for a browser too."""
    from . import serve_access
    from .progress import Display
    from .run import Run

    key = serve_access.key(api_key_file, os.environ)
    serve_access.check_bind(host, key)
    study = Study.of(run)
    here = study.resources.model_copy(update={"port": port})
    with Display() as display:
        Run(study.model_copy(update={"resources": here}), display).serve(host, key)
