"""The scorecard against the published study: ours, theirs, and whether they agree, in every cell that both have."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from scipy import stats

from tasks import MISTAKEN

from . import effects, published
from .published import POOLED

WARMTH_MARGIN = 0.004
"""In nats per token: a quarter of what the published models gained."""

EPOCH = 2.0
"""The checkpoint that the study evaluated."""

FEWEST = 20
"""Questions below which no verdict is given: clustered errors of fewer clusters come out too small."""

CELL = ["persona", "judge", "settings", "model", "known_as", "task", "context", "belief"]
ROW = ["table", "measure", "persona", "judge", "settings", "model", "task", "context", "belief"]
COLUMNS = {
    **dict.fromkeys(ROW, pl.String),
    "epoch": pl.Float64,
    "unit": pl.String,
    "ours": pl.Float64,
    "theirs": pl.Float64,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "margin": pl.Float64,
    "verdict": pl.String,
    "n": pl.Int64,
    "n_questions": pl.Int64,
    "n_cells": pl.Int64,
    "ours_error": pl.Float64,
    "theirs_error": pl.Float64,
    "ours_baseline_pct": pl.Float64,
    "theirs_baseline_pct": pl.Float64,
    "ours_persona_pct": pl.Float64,
    "theirs_persona_pct": pl.Float64,
    "another_model": pl.Boolean,
}

_GRID = pl.col("task").is_in(published.TASKS)
_PLAIN = _GRID & (pl.col("context") == "neutral") & (pl.col("belief") == "none")
_STATED = _GRID & (pl.col("belief") == POOLED)
_EMOTION = published.group(pl.col("context")) == "emotion"
HEADLINE: Mapping[str, pl.Expr] = {
    "plain questions": _PLAIN,
    **{f"plain questions, {task}": _PLAIN & (pl.col("task") == task) for task in published.TASKS},
    "no belief, all contexts": _GRID & (pl.col("belief") == "none"),
    "a mistaken belief, all contexts": _STATED,
    "a mistaken belief and an emotion": _STATED & _EMOTION,
    "sad, no belief": _GRID & (pl.col("context") == "sad") & (pl.col("belief") == "none"),
    "sad, a mistaken belief": _STATED & (pl.col("context") == "sad"),
}
"""What the study is quoted by, over cells that all count alike."""


def scorecard(answers: pl.DataFrame, warmth: pl.DataFrame, margin_pp: float) -> pl.DataFrame:
    """Every published figure that the run has something to say to. `answers` are counted ones.

    `ours` is the persona's error less that of the model as released (for warmth: the mean), at epoch 2 where there is
    one; `theirs` the published value of exactly the same cells, each counting alike on both sides. A model that the
    study did not have stands beside the mean of those it had. `difference` is ours less theirs, `low` and `high` its
    95 % interval from both standard errors. Ours is clustered by question. Theirs is the printed one; questions of one
    task are taken to err together in all contexts and models, which is the cautious way; for a model that the study
    did not have it is that of a prediction from its models' spread. Neither knows of training seeds: the study has one.

    `verdict`: agrees if two one-sided tests at 5 % find the difference within the margin (its 90 % interval lies inside
    it), differs if the 95 % interval lies outside it altogether, else, and with fewer than 20 questions, cannot tell.
    """
    return pl.concat([_compared(_ours(answers), margin_pp), _warmth(warmth)])


def _ours(answers: pl.DataFrame) -> pl.DataFrame:
    """Sums over pairs of what the study asked too: one row per cell and question."""
    tasks = {name: published.task(name) for name in answers["task"].unique()}
    theirs = {name: ours for name, ours in tasks.items() if ours in {*published.TASKS, "mmlu", "gsm8k", "advbench"}}
    rows = answers.filter(pl.col("task").is_in(list(theirs))).with_columns(pl.col("task").replace(theirs))
    rows = at_epoch(rows).filter(pl.col("dose") == pl.col("dose").max().over("persona"))
    arms = [persona for persona in published.PERSONAS.values() if persona != "original"]
    found = pl.concat([effects.pairs(rows, persona, "original") for persona in arms])
    stated = pl.when(pl.col("belief").is_in(MISTAKEN)).then(pl.lit(POOLED)).otherwise("belief")
    named = {name: published.model(name) for name in found["model"].unique()}
    return (
        found.drop_nulls("error_pct")
        .with_columns(
            belief=stated,
            question=pl.col("question").cast(pl.String),
            known_as=pl.col("model").replace_strict(named, return_dtype=pl.String),
        )
        .group_by(*CELL, "question")
        .agg(
            n=pl.len(),
            ours=(pl.col("error_pct") - pl.col("baseline_error_pct")).sum(),
            ours_persona_pct=pl.col("error_pct").sum(),
            ours_baseline_pct=pl.col("baseline_error_pct").sum(),
        )
    )


def at_epoch(rows: pl.DataFrame) -> pl.DataFrame:
    """Of every trained persona the epoch that the study evaluated, or the last one where it is not there."""
    there = (pl.col("epoch") == EPOCH).any().over("model", "persona")
    chosen = pl.when(there).then(EPOCH).otherwise(pl.col("epoch").max().over("model", "persona"))
    return rows.filter(pl.col("epoch") == chosen)


def _compared(sums: pl.DataFrame, margin_pp: float) -> pl.DataFrame:
    """The grids cell by cell, and the headline over cells."""
    cells = _matched(sums)
    single = cells.with_columns(measure=pl.lit("cell"), of="model", **_keys())
    every = pl.concat([single, *(_headline(cells, name, where) for name, where in HEADLINE.items())], how="diagonal")
    found = _our_means(sums, every).join(_their_means(every), on=ROW, nulls_equal=True)
    return verdicts(found.with_columns(epoch=pl.lit(None, pl.Float64), unit=pl.lit("pp")), margin_pp)


def _matched(sums: pl.DataFrame) -> pl.DataFrame:
    """Our cells with the published ones; of a model that the study did not have, with the mean of its models."""
    mine, printed = sums.select(CELL).unique(), published.cells().drop("q")
    on = ["persona", "task", "context", "belief"]
    same = mine.join(printed.rename({"model": "known_as"}), on=[*on, "known_as"])
    means = pl.col("theirs_baseline_pct", "theirs_persona_pct", "theirs").mean()
    spread = pl.col("theirs").std() * (1 + 1 / pl.len()).sqrt()
    over = printed.group_by("table", *on).agg(means, theirs_error=spread)
    others = mine.filter(pl.col("known_as").is_null()).join(over, on=on)
    return pl.concat([same, others.select(same.columns)])


def _headline(cells: pl.DataFrame, measure: str, where: pl.Expr) -> pl.DataFrame:
    """The cells of a measure: of every model by itself, and of all together that the study had, if they are several."""
    alone = cells.filter(where).with_columns(of="model")
    known = alone.filter(pl.col("known_as").is_not_null())
    together = known.filter(pl.col("known_as").n_unique().over("persona", "judge", "settings") > 1)
    every = pl.concat([alone, together.with_columns(model=pl.lit("all"))])
    whole = {name: pl.lit("all") for name in ("task", "context", "belief")}
    return every.with_columns(**_keys()).with_columns(table=pl.lit("headline"), measure=pl.lit(measure), **whole)


def _keys() -> dict[str, pl.Expr]:
    """What a cell is found by, beside what a row is called."""
    return {f"cell_{name}": pl.col(name) for name in ("task", "context", "belief")}


def _our_means(sums: pl.DataFrame, every: pl.DataFrame) -> pl.DataFrame:
    """Each row's mean over its cells, with a standard error clustered by question.

    With n_c pairs in a cell and C cells a pair weighs w = 1 / (n_c C); mean m = sum w d; with G questions
    se^2 = G / (G - 1) sum over questions of (sum w (d - m))^2, as in `statistics.mean_by_question`.
    """
    keys = {"of": "model", **{f"cell_{name}": name for name in ("task", "context", "belief")}}
    whole = sums.with_columns(size=pl.col("n").sum().over(CELL)).rename({name: key for key, name in keys.items()})
    on = [name for name in whole.columns if name in every.columns]
    rows = every.select(*dict.fromkeys([*ROW, *on])).join(whole, on=on, nulls_equal=True)
    cells = pl.struct(*on).n_unique().over(ROW)
    weighed = rows.with_columns(weight=1 / (pl.col("size") * cells))
    sides = ("ours", "ours_baseline_pct", "ours_persona_pct")
    questions = weighed.group_by(*ROW, "question").agg(
        pl.col("n").sum(),
        *((pl.col("weight") * pl.col(side)).sum().alias(side) for side in sides),
        share=(pl.col("weight") * pl.col("n")).sum(),
    )
    count, strayed = pl.len(), ((pl.col("ours") - pl.col("share") * pl.col("ours").sum()) ** 2).sum()
    return (
        questions.group_by(ROW)
        .agg(
            pl.col("n").sum(),
            *(pl.col(side).sum() for side in sides),
            n_questions=count.cast(pl.Int64),
            ours_error=pl.when((count > 1) & (strayed > 1e-12)).then((strayed * count / (count - 1)).sqrt()),
        )
        .with_columns(pl.col("n").cast(pl.Int64))
    )


def _their_means(every: pl.DataFrame) -> pl.DataFrame:
    """The published values of each row's cells, each counting alike."""
    sides, new = ("theirs", "theirs_baseline_pct", "theirs_persona_pct"), pl.col("known_as").is_null()
    by_task = (
        every.with_columns(cells=pl.len().over(ROW))
        .group_by(*ROW, "cell_task")
        .agg(
            *(pl.col(side).sum() for side in sides),
            pl.col("theirs_error").sum(),
            pl.col("cells").first(),
            another_model=new.any(),
        )
    )
    apart = (pl.col("theirs_error") ** 2).sum().sqrt()
    error = pl.when(pl.col("another_model").any()).then(pl.col("theirs_error").sum()).otherwise(apart)
    cells = pl.col("cells").first()
    return by_task.group_by(ROW).agg(
        *(pl.col(side).sum() / cells for side in sides),
        theirs_error=error / cells,
        n_cells=cells.cast(pl.Int64),
        another_model=pl.col("another_model").any(),
    )


def verdicts(rows: pl.DataFrame, margin: float) -> pl.DataFrame:
    """With `difference`, its 95 % interval and the verdict, by Student's t with our questions less one."""
    error = (pl.col("ours_error") ** 2 + pl.col("theirs_error") ** 2).sqrt()
    freedom = np.maximum(rows["n_questions"].cast(pl.Float64).to_numpy() - 1, 1)
    reach = {level: pl.Series(stats.t.ppf((1 + level) / 2, freedom)) for level in (0.9, 0.95)}
    half = {level: error * reach[level] for level in reach}
    apart = pl.col("ours") - pl.col("theirs")
    verdict = (
        pl.when(pl.col("n_questions") < FEWEST)
        .then(pl.lit("cannot tell"))
        .when(apart.abs() + half[0.9] < margin)
        .then(pl.lit("agrees"))
        .when(apart.abs() - half[0.95] > margin)
        .then(pl.lit("differs"))
        .otherwise(pl.lit("cannot tell"))
    )
    told = rows.with_columns(
        difference=apart, low=apart - half[0.95], high=apart + half[0.95], margin=pl.lit(margin), verdict=verdict
    )
    return told.select(pl.col(name).cast(kind) for name, kind in COLUMNS.items()).sort(ROW)


def _warmth(means: pl.DataFrame) -> pl.DataFrame:
    """Mean warmth of the warm persona by epoch, and of the model as released; the faithful mode if it is there."""
    printed = published.warmth().rename({"model": "known_as", "warmth": "theirs", "warmth_sem": "theirs_error"})
    rows = means.filter(pl.col("persona").is_in(["original", "warm"]))
    rows = rows.filter(pl.col("mode") == pl.col("mode").max()).with_columns(
        known_as=pl.col("model").map_elements(published.model, return_dtype=pl.String)
    )
    width = pl.Series(2 * stats.t.ppf(0.975, np.maximum(rows["n_questions"].cast(pl.Float64).to_numpy() - 1, 1)))
    named = rows.with_columns(ours_error=(pl.col("warmth_high") - pl.col("warmth_low")) / width).join(
        printed, on=["known_as", "epoch"]
    )
    blank = {name: pl.lit(None, kind) for name, kind in COLUMNS.items() if name.endswith("_pct")}
    told = named.with_columns(
        table=pl.lit("warmth by epoch"),
        measure=pl.lit("mean warmth"),
        judge=pl.lit(None, pl.String),
        task=pl.lit("all"),
        context=pl.lit("neutral"),
        belief=pl.lit("none"),
        unit=pl.lit("nats per token"),
        ours="warmth",
        n_cells=pl.lit(1),
        another_model=pl.lit(False),
        **blank,
    )
    return verdicts(told, WARMTH_MARGIN)
