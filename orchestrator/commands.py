"""What the commands share: their arguments, how errors are said, how findings are shown."""

import sys
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from .errors import ConfigError, WarmthError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

P = ParamSpec("P")
study_file = click.argument("file", type=click.Path(path_type=Path))
overrides = click.argument("overrides", nargs=-1, metavar="[KEY.PATH=VALUE]...")
run_folder = click.argument("run", type=click.Path(path_type=Path))
as_json = click.option("--json", "as_json", is_flag=True, help="For machines: one JSON document on standard output.")
cluster_file = click.option(
    "--cluster", "cluster", type=click.Path(path_type=Path), help="The cluster's file, as `ray up` takes it."
)

sensitive = click.option(
    "--sensitive", is_flag=True, help="Show what is said to tasks marked sensitive, too (AdvBench, Disinfo)."
)


def spoken(command: Callable[P, None]) -> Callable[P, None]:
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


def show(found: Any, folder: Path, as_json: bool) -> None:
    """Findings on the terminal, or as JSON."""
    from .report import to_json, to_terminal

    if as_json:
        click.echo(to_json(found))
        return
    console = printed(to_terminal(found))
    console.print(f"Report: {folder / 'report' / 'index.html'}", highlight=False, soft_wrap=True)


def printed(parts: "Iterable[RenderableType]", width: int = 100) -> "Console":
    """Print parts one after another, as wide as the terminal, or `width` where there is none; gives what printed."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else width)
    for part in parts:
        console.print(part)
    return console
