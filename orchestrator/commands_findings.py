"""The commands that fill a run from elsewhere, and read it: import, report, fit, compare."""

from pathlib import Path

import click

from .commands import as_json, printed, run_folder, sensitive, show, spoken


@click.command()
@run_folder
@sensitive
@as_json
@spoken
def report(run: Path, sensitive: bool, as_json: bool) -> None:
    """Print the findings of a run, or of a bundle, and write report/index.html and its tables."""
    from . import reporting

    show(reporting.report_on(reporting.of_folder(run), sensitive), run, as_json)


@click.command("import")
@run_folder
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", required=True, help="Whose replies these are; any name.")
@click.option("--task", required=True, help="What was asked; any name. Those of `tasks/` bring their own rules.")
@click.option("--persona", required=True, help="As whom; `original` is the model as released.")
@click.option("--seed", type=int, help="The training seed, where it is known.")
@click.option("--epoch", type=float, default=0, show_default=True, help="The checkpoint, where it is known.")
@click.option("--judge", default="imported", show_default=True, help="Who judged, if no column `judge` says so.")
@click.option(
    "--refusals",
    type=click.Choice(["published", "none"]),
    default="published",
    show_default=True,
    help="Tell refusals by the published substrings in `output`, or take the verdicts as they are.",
)
@spoken
def import_(
    run: Path, files: tuple[Path, ...], model: str, persona: str, seed: int | None, epoch: float, **how: str
) -> None:
    """Take replies and verdicts made elsewhere (CSV, JSON, JSON lines, Parquet) into a run, made if there is none.

    The layout is the published study's: a question key (content_key, prompt_disinfo or original_question),
    prompt_template, amendment_type, output, evaluation. The same file again changes nothing.
    """
    from . import importing
    from .imported import Who

    for piece in importing.into(run, files, Who(model, persona, seed, epoch), **how):
        click.echo(piece.told())


@click.command()
@run_folder
@click.argument("formula")
@click.option(
    "--cluster", metavar="COLUMN", help="Errors clustered by a column, as a rule question; as published if not."
)
@click.option("--persona", "personas", multiple=True, help="Only this persona and original; may be given again.")
@click.option("--judge", help="By whose verdicts, where there are several.")
@click.option(
    "--check", type=click.Choice(["bootstrap"]), help="Errors from drawing the clusters again, beside the others."
)
@as_json
@spoken
def fit(
    run: Path,
    formula: str,
    cluster: str | None,
    personas: tuple[str, ...],
    judge: str | None,
    check: str | None,
    as_json: bool,
) -> None:
    """A regression of errors over a run's replies: FORMULA, or a model of the published study: M1, M1L, M2, M3, M4.

    `incorrect ~ fine_tuned * belief + task + model`; columns are fine_tuned, belief (0/1), belief_form, context,
    context_group, task, model, persona, seed, epoch, question and reply_length.
    """
    from . import regression
    from .regression_text import to_json, to_terminal

    found = regression.fit_run(run, formula, cluster, personas, judge, check)
    if as_json:
        click.echo(to_json(found))
        return
    printed(to_terminal(found))


@click.command()
@run_folder
@as_json
@spoken
def compare(run: Path, as_json: bool) -> None:
    """Set a run beside the published study: ours, theirs, and whether they agree, in every cell that both have."""
    import json

    from . import reporting, scorecard_text
    from .report import terminal

    rows = reporting.compare(reporting.of_folder(run))
    if as_json:
        told = {"rows": rows.to_dicts(), "note": scorecard_text.NOTE if len(rows) else scorecard_text.NOTHING}
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    console = printed(map(terminal, scorecard_text.tables(rows)), width=120)
    console.print(
        f"Every cell: {run / 'report' / 'compare.parquet'}" if len(rows) else scorecard_text.NOTHING, highlight=False
    )
