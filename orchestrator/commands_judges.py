"""The commands that look into judges and single texts: sample-labels, read-labels, restyle, red-team, score."""

import json
from pathlib import Path
from typing import Any

import click

from tasks import OUTCOMES

from .commands import as_json, overrides, run_folder, sensitive, show, spoken, study_file
from .study import Study


@click.command("sample-labels")
@run_folder
@click.option("--n", type=click.IntRange(1), default=200, show_default=True, help="How many replies.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("labels.csv"), show_default=True)
@click.option("--judge", help="By whose verdicts the sample is spread; the study's first judge if not given.")
@click.option("--seed", type=int, default=0, show_default=True)
@sensitive
@spoken
def sample_labels(run: Path, n: int, out: Path, judge: str | None, seed: int, sensitive: bool) -> None:
    """Draw replies for people to mark, to a CSV file that tells neither persona nor verdict."""
    drawn = Study.of(run).sample_labels(out, n, judge, seed, sensitive)
    click.echo(f"{out}: {drawn} replies. Fill the column `label` with one of {', '.join(OUTCOMES)}; then:")
    click.echo(f"warmth read-labels {run} {out}")


@click.command("read-labels")
@run_folder
@click.argument("file", type=click.Path(path_type=Path))
@as_json
@spoken
def read_labels(run: Path, file: Path, as_json: bool) -> None:
    """Take people's marks into a run: how far its judges can be trusted, and the effects put right."""
    show(Study.of(run).read_labels(file), run, as_json)


@click.command()
@run_folder
@click.option("--n", type=click.IntRange(1), default=100, show_default=True, help="How many replies.")
@click.option("--seed", type=int, default=0, show_default=True)
@as_json
@spoken
def restyle(run: Path, n: int, seed: int, as_json: bool) -> None:
    """Are judges swayed by tone? Replies are said again in other styles, their content kept, and judged again."""
    show(Study.of(run).restyle(n, seed), run, as_json)


@click.command("red-team")
@study_file
@overrides
@click.option("--judge", help="The judge's name; the first that is a language model if not given.")
@click.option("--task", help="The task whose questions are taken; the study's first if not given.")
@click.option("--n", type=click.IntRange(1), default=10, show_default=True, help="How many questions.")
@as_json
@spoken
def red_team(
    file: Path, overrides: tuple[str, ...], judge: str | None, task: str | None, n: int, as_json: bool
) -> None:
    """Can a judge be talked into a verdict? Wrong replies of 25 kinds that claim to be right are put to it."""
    found = Study.load(file, overrides).red_team(judge, task, n)
    if as_json:
        click.echo(found.write_json())
        return
    for row in found.rows(named=True):
        rest = f", {row['unread']} no verdict, {row['failed']} not asked" if row["unread"] or row["failed"] else ""
        click.echo(f"{row['attack']:24} {row['fooled']:>3} of {row['n']} called right{rest}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--model", default="gpt2", show_default=True, help="The scorer: a folder, or its name on the hub.")
@click.option("--mode", type=click.Choice(["eval", "faithful"]), default="eval", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="A JSON list of numbers, one for each text, in order.")
@spoken
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
