"""The commands that make a run: plan, run, evaluate, serve."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from . import plan_text
from .commands import as_json, overrides, run_folder, show, spoken, study_file
from .errors import WarmthError
from .estimate import Estimate
from .plan import Plan
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
@click.option(
    "--cluster", type=click.Path(path_type=Path), help="A cluster file: check it, and say which machines come."
)
@spoken
def plan(
    file: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    subjects: bool,
    freeze: bool,
    check: bool,
    cluster: Path | None,
) -> None:
    """Say what a study comes to; nothing is built or started."""
    study = Study.load(file, overrides)
    planned = study.plan()
    figures = {**planned.counts(), "on_file": on_file(planned)}
    if cluster:
        from . import clouds, clouds_plan

        figures["cluster"] = clouds_plan.figures(Estimate(study), clouds.load(cluster))
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
    if figures.get("problems") or figures["does_not_fit"] or (cluster and figures["cluster"]["does_not_fit"]):
        sys.exit(1)


def on_file(planned: Plan) -> dict[str, int]:
    """How many trials are trained in the run already, and how many of the others its store has."""
    from . import shelf_trials, trials
    from .store import Store

    store = Store(planned.study.folder)
    waiting = [trial for trial in planned.trials if not trials.record(store, trial)]
    return {"trained": len(planned.trials) - len(waiting), "in_store": len(shelf_trials.there(planned, waiting))}


@click.command()
@study_file
@overrides
@spoken
def prefetch(file: Path, overrides: tuple[str, ...]) -> None:
    """Fetch what a study reads from the hub into its cache (HF_HOME): once for many machines, or for those offline."""
    from . import prefetch

    problems = prefetch.fetch(Study.load(file, overrides), click.echo)
    if problems:
        raise WarmthError("\n".join(problems))


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
@click.option("--contexts", "contexts", multiple=True, help="One of the study's contexts, as often as needed.")
@click.option("--seeds", "seeds", multiple=True, type=int, help="A training seed, as often as needed.")
@click.option("--n", type=click.IntRange(1), help="So many questions of each task.")
@click.option("--workers", type=click.IntRange(1), help="Actors that ask.")
@click.option("--endpoint", "url", help="Ask a model at this OpenAI-protocol address, as one more of the run's.")
@click.option("--model", help="With --endpoint: what the model is called there.")
@click.option("--api-key-env", help="With --endpoint: the environment variable that holds its key.")
@click.option("--usd-in", type=float, default=0, help="With --endpoint: dollars per million tokens of prompts.")
@click.option("--usd-out", type=float, default=0, help="With --endpoint: dollars per million tokens of replies.")
@as_json
@spoken
def evaluate(
    run: Path,
    subjects: tuple[str, ...],
    tasks: tuple[str, ...],
    contexts: tuple[str, ...],
    seeds: tuple[int, ...],
    n: int | None,
    workers: int | None,
    as_json: bool,
    **there: Any,
) -> None:
    """Ask and judge on demand: chosen subjects of a run, or a model at any endpoint; any tasks, any part of them."""
    if (there["url"] is None) != (there["model"] is None):
        raise click.UsageError("--endpoint and --model belong together: an address, and the model to ask there")
    found = Study.of(run).evaluate(
        subjects,
        tasks or None,
        workers,
        contexts=contexts or None,
        seeds=seeds or None,
        n=n,
        endpoint=there if there["url"] else None,
    )
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
