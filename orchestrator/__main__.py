"""The `warmth` command."""

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import click

from tasks import OUTCOMES

from . import plan_text
from .errors import ConfigError, WarmthError
from .study import Study

P = ParamSpec("P")
study_file = click.argument("file", type=click.Path(path_type=Path))
overrides = click.argument("overrides", nargs=-1, metavar="[KEY.PATH=VALUE]...")
run_folder = click.argument("run", type=click.Path(path_type=Path))
as_json = click.option("--json", "as_json", is_flag=True, help="For machines: one JSON document on standard output.")


def _spoken(command: Callable[P, None]) -> Callable[P, None]:
    """Errors that a user can cure are said in one message, without a traceback; the exit code is 2 for bad settings."""

    @wraps(command)
    def spoken(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except WarmthError as error:
            click.echo(str(error), err=True)
            sys.exit(2 if isinstance(error, ConfigError) else 1)
        except KeyboardInterrupt:
            click.echo("Stopped. What is finished is kept; the same command carries on.", err=True)
            sys.exit(130)

    return spoken


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="warmth")
def main() -> None:
    """What does it cost to give a language model a persona?"""


@main.command()
@study_file
@overrides
@as_json
@click.option("--subjects", is_flag=True, help="Name every subject.")
@click.option("--check", is_flag=True, help="Look whether everything is there: models, data, keys, GPUs, disk.")
@_spoken
def plan(file: Path, overrides: tuple[str, ...], as_json: bool, subjects: bool, check: bool) -> None:
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
    click.echo(json.dumps(figures) if as_json else "\n".join(plan_text.lines(figures)))
    if figures.get("problems"):
        sys.exit(1)


@main.command()
@study_file
@overrides
@as_json
@_spoken
def run(file: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Run a study to its findings. Run again to resume, retry and extend: what is done is not done again."""
    study = Study.load(file, overrides)
    found = study.run()
    _show(found, study.folder, as_json)
    if (
        found.trials["error"].is_not_null().any()
        or found.problems.filter(found.problems["kind"] == "failed replies").height
    ):
        raise WarmthError(
            f"{study.folder}: not all of it worked; the report says what failed, and the same command tries that again"
        )


@main.command()
@run_folder
@as_json
@_spoken
def report(run: Path, as_json: bool) -> None:
    """Print the findings of a run, and write report/index.html and its tables."""
    _show(Study.of(run).report(), run, as_json)


@main.command()
@run_folder
@click.option(
    "--subjects", "subjects", multiple=True, default=["*"], help="A subject's name or a pattern, as often as needed."
)
@click.option("--tasks", "tasks", multiple=True, help="A task, as often as needed; the study's own if not given.")
@click.option("--workers", type=int, help="Actors that ask.")
@as_json
@_spoken
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


@main.command("sample-labels")
@run_folder
@click.option("--n", type=click.IntRange(1), default=200, show_default=True, help="How many replies.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("labels.csv"), show_default=True)
@click.option("--judge", help="By whose verdicts the sample is spread; the study's first judge if not given.")
@click.option("--seed", type=int, default=0, show_default=True)
@_spoken
def sample_labels(run: Path, n: int, out: Path, judge: str | None, seed: int) -> None:
    """Draw replies for people to mark, to a CSV file that tells neither persona nor verdict."""
    drawn = Study.of(run).sample_labels(out, n, judge, seed)
    click.echo(f"{out}: {drawn} replies. Fill the column `label` with one of {', '.join(OUTCOMES)}; then:")
    click.echo(f"warmth read-labels {run} {out}")


@main.command("read-labels")
@run_folder
@click.argument("file", type=click.Path(path_type=Path))
@as_json
@_spoken
def read_labels(run: Path, file: Path, as_json: bool) -> None:
    """Take people's marks into a run: how far its judges can be trusted, and the effects put right."""
    _show(Study.of(run).read_labels(file), run, as_json)


@main.command()
@run_folder
@click.option("--n", type=click.IntRange(1), default=100, show_default=True, help="How many replies.")
@click.option("--seed", type=int, default=0, show_default=True)
@as_json
@_spoken
def restyle(run: Path, n: int, seed: int, as_json: bool) -> None:
    """Are judges swayed by tone? Replies are said again in other styles, their content kept, and judged again."""
    _show(Study.of(run).restyle(n, seed), run, as_json)


@main.command()
@run_folder
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes any free one.")
@_spoken
def serve(run: Path, port: int) -> None:
    """Serve a run's models and adapters behind one OpenAI-protocol endpoint on this machine, until Ctrl-C."""
    from .progress import Display
    from .run import Run

    study = Study.of(run)
    here = study.resources.model_copy(update={"port": port})
    with Display() as display:
        Run(study.model_copy(update={"resources": here}), display).serve()


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--model", default="gpt2", show_default=True, help="The scorer: a folder, or its name on the hub.")
@click.option("--mode", type=click.Choice(["eval", "faithful"]), default="eval", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="A JSON list of numbers, one for each text, in order.")
@_spoken
def score(file: Path, model: str, mode: Any, as_json: bool) -> None:
    """SocioT Warmth of the texts in a file (a text a line, a JSON list, or JSON lines), in nats per token.

    `eval` is exact; `faithful` is the published code's arithmetic, and a standard error stands beside each score.
    """
    from . import models, texts

    found = texts.read(file)
    from .warmth import Ruler  # after the file: what is wrong with it must not wait for torch

    sides = Ruler(models.checkpoint(model)).measure(found, mode)
    if as_json:
        click.echo(json.dumps([side.warmth for side in sides]))
        return
    for side in sides:
        click.echo(f"{side.warmth:+.6f}" if side.sem is None else f"{side.warmth:+.6f}\t{side.sem:.6f}")


def _show(found: Any, folder: Path, as_json: bool) -> None:
    from rich.console import Console

    from .report import to_json, to_terminal

    if as_json:
        click.echo(to_json(found))
        return
    console = Console(width=None if sys.stdout.isatty() else 100)
    for part in to_terminal(found):
        console.print(part)
    console.print(f"Report: {folder / 'report' / 'index.html'}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
