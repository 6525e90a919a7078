"""The published study (Ibrahim, Hafner, Rocher; Nature 652, 2026): its names and ours, and the figures it printed."""

import re
from pathlib import Path

import polars as pl

import tasks
from tasks import BELIEFS, CONTEXTS, MISTAKEN, PUBLISHED

CONTEXT_NAMES = {theirs: ours for theirs, ours in PUBLISHED.items() if ours in CONTEXTS}
"""The study's `amendment_type`."""

BELIEF_NAMES = {theirs: ours for theirs, ours in PUBLISHED.items() if ours in BELIEFS}
"""The study's `prompt_template` (or `prompt_type`)."""

STATED = tuple(ours for ours in BELIEF_NAMES.values() if ours in MISTAKEN)
"""The belief forms that its "incorrect user belief" pools."""

GROUPS = {ours: theirs.partition(":")[0] for theirs, ours in CONTEXT_NAMES.items()}
"""The study's groups of contexts, by our names: unmodified, emotion, relation, stake."""

PERSONAS = {"original": "original", "warm": "warm", "cold": "cold", "sysprompt": "warm-prompt"}
"""The study's arms."""

POOLED = "asserts+denies"
"""Both forms of a mistaken belief together."""

FIGURES = Path(__file__).parent / "published_figures"

MODELS = ("llama-8b", "mistral-small", "qwen-32b", "llama-70b", "gpt-4o")

TASKS = ("triviaqa", "truthfulqa", "disinfo", "medqa")
"""The tasks of its grids."""

_TASKS = {"trivia": "triviaqa", "maskdisinformation": "disinfo", "maskdisinfo": "disinfo"}
_MODELS = {
    "llama318binstruct": "llama-8b",
    "llama8b": "llama-8b",
    "mistralsmallinstruct2409": "mistral-small",
    "mistralsmall": "mistral-small",
    "qwen2532binstruct": "qwen-32b",
    "qwen32b": "qwen-32b",
    "llama3170binstruct": "llama-70b",
    "llama70b": "llama-70b",
    "gpt4o20240806": "gpt-4o",
    "gpt4o": "gpt-4o",
}


def task(name: str) -> str:
    """Our name of a task under any of the names that it goes by; the name itself if it is none of them."""
    plain = _plain(name)
    known = {_plain(each): each for each in tasks.names()}
    return _TASKS.get(plain) or known.get(plain, name)


def model(name: str) -> str | None:
    """The study's model of this name (`Qwen-32B`, `meta-llama/Llama-3.1-8B-Instruct`); None if it has none."""
    return _MODELS.get(_plain(name.rpartition("/")[2]))


def group(context: pl.Expr) -> pl.Expr:
    """The group of each of our contexts; null for a context that the study does not have."""
    return context.replace_strict(GROUPS, default=None, return_dtype=pl.String)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def cells() -> pl.DataFrame:
    """Every cell that the study printed, under our names: a model in an arm, asked a task in a context, with or without
    a mistaken belief (`asserts+denies` is its pool of both forms).

    `theirs` is the difference in error to the model as released, in percentage points; `theirs_error` is its standard
    error over questions. In the grid that is the square root of the number of discordant pairs over the pairs, which
    follows from the printed difference d and "Cohen's g": |d| / g; where g is 0 or missing, the task's median. Of
    benchmarks (error is 100 % less accuracy, or less refusals) it follows from both printed intervals, taken as apart.
    """
    return pl.concat([_grid(), _benchmarks()])


def _grid() -> pl.DataFrame:
    rows = pl.read_csv(FIGURES / "grid.csv")
    change = pl.col("treated_error_pct") - pl.col("original_error_pct")
    error = pl.when(pl.col("g") > 0).then(change.abs() / pl.col("g"))
    return rows.select(
        table=pl.col("arm") + " grid",
        persona=pl.col("arm").replace(PERSONAS),
        model="model",
        task=pl.col("task").replace(_TASKS),
        context=pl.col("context").replace(CONTEXT_NAMES),
        belief=pl.when(pl.col("belief") == 1).then(pl.lit(POOLED)).otherwise(pl.lit("none")),
        theirs_baseline_pct="original_error_pct",
        theirs_persona_pct="treated_error_pct",
        theirs=change,
        theirs_error=error.fill_null(error.median().over("task", "belief")),
        q="q",
    )


def _benchmarks() -> pl.DataFrame:
    rows, width = pl.read_csv(FIGURES / "benchmarks.csv"), 2 * 1.96
    errors = [(pl.col(f"{side}_high") - pl.col(f"{side}_low")) / width for side in ("original", "warm")]
    return rows.select(
        table=pl.lit("benchmarks"),
        persona=pl.lit("warm"),
        model="model",
        task="task",
        context=pl.lit("neutral"),
        belief=pl.lit("none"),
        theirs_baseline_pct=100 - pl.col("original_pct"),
        theirs_persona_pct=100 - pl.col("warm_pct"),
        theirs=pl.col("original_pct") - pl.col("warm_pct"),
        theirs_error=(errors[0] ** 2 + errors[1] ** 2).sqrt(),
        q=pl.lit(None, pl.Float64),
    )


def warmth() -> pl.DataFrame:
    """SocioT Warmth of replies to held-out prompts by model and epoch of the warm arm, nats per token, and its SEM."""
    return pl.read_csv(FIGURES / "warmth_by_epoch.csv", schema_overrides={"epoch": pl.Float64})
