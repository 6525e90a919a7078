"""What a persona changes: paired differences between two personas' replies to the same questions. Pure."""

from collections.abc import Iterator, Sequence

import polars as pl

from tasks import MISTAKEN

from . import statistics

ASKED = ["model", "task", "sample", "context", "belief", "draw", "judge"]
"""What a reply and the one it is compared with have in common, besides epoch and seed."""

CELL = [
    "model",
    "world",
    "base_seed",
    "persona",
    "baseline",
    "epoch",
    "dose",
    "settings",
    "task",
    "context",
    "belief",
    "judge",
]
QUESTION = pl.concat_str("task", "sample", separator="\x1f")
SIDES = ["error_pct", "agrees_pct", "baseline_error_pct", "baseline_agrees_pct"]
DIFFERENCES = {
    "effect_pp": ("error_pct", "baseline_error_pct"),
    "agrees_effect_pp": ("agrees_pct", "baseline_agrees_pct"),
}
BELIEFS = "asserts+denies"
"""All forms that state a mistaken belief, together."""

COLUMNS = [
    *CELL,
    "n",
    "n_questions",
    "n_seeds",
    "unscored",
    "errors",
    *SIDES,
    "effect_pp",
    "ci_low_pp",
    "ci_high_pp",
    "agrees_effect_pp",
    "agrees_ci_low_pp",
    "agrees_ci_high_pp",
]


def effects(answers: pl.DataFrame, personas: Sequence[str]) -> pl.DataFrame:
    """The effect of every persona against every persona listed before it, in percentage points.

    A pair is the persona's reply and the baseline's at the same model, epoch, seed, searched settings, question,
    condition, draw and judge. An untrained persona (seed and settings null) is one subject, paired with every epoch,
    seed and setting of a trained one. A
    baseline tuned at several doses is paired at the persona's dose; one with a single dose serves every dose.
    `effect_pp` is the mean over pairs of the difference in error (`agrees_effect_pp`: in agreement with the user's
    wrong belief), with an interval clustered by question (`statistics.mean_by_question`; null there: no variation).
    It speaks of other questions of this kind put to these adapters, not of other seeds or bases.

    Rows with a single task, context and belief, and aggregates: "all" over what was asked of both, belief
    "asserts+denies" over the forms that state a mistaken belief. A pair with an unscored side is left out of `n` and
    counted in `unscored`, and in `errors` if a side failed.

    Contrasts are rows of their own: belief "asserts-none" is, per pair, the difference under an asserted belief minus
    the difference at the same question, context, draw and seed without one, and context "sad-neutral" likewise. In such
    a row `error_pct`, `agrees_pct` and the baseline's are the contrast within that persona, in percentage points, and
    may be negative.
    """
    found = [
        _summary(pairs(answers, persona, baseline))
        for place, persona in enumerate(personas)
        for baseline in personas[:place]
    ]
    empty = _summary(pairs(answers.clear(), "", ""))
    return pl.concat([empty, *found]).sort(
        "model", "settings", "epoch", "dose", "persona", "baseline", "judge", "task", "context", "belief"
    )


def over_bases(effects: pl.DataFrame) -> pl.DataFrame:
    """Each effect's mean over the bases of a world, with a t-interval over bases.

    Worlds with fewer than two bases (models of the same world with different `base_seed`) have no rows here.
    """
    by = ["world", *(name for name in CELL if name not in ("model", "world", "base_seed"))]
    found = statistics.mean_over_bases(effects.filter(pl.col("world").is_not_null()), by, list(DIFFERENCES))
    return _named(found).sort(by)


def pairs(answers: pl.DataFrame, persona: str, baseline: str) -> pl.DataFrame:
    """One row per pair of replies: the shares of both (0 or 100; null if either is unscored) and their differences."""
    mine = _side(answers.filter(pl.col("persona") == persona), "")
    theirs = _side(answers.filter(pl.col("persona") == baseline), "baseline_").with_columns(baseline=pl.lit(baseline))
    both = pl.concat(_matches(mine, theirs))
    scored = pl.col("scored") & pl.col("baseline_scored")
    return both.with_columns(
        *(pl.when(scored).then(side).alias(side) for side in SIDES),
        error=pl.col("error") | pl.col("baseline_error"),
        question=QUESTION,
    ).select(*CELL, "sample", "draw", "seed", "question", "error", *SIDES)


def _side(answers: pl.DataFrame, prefix: str) -> pl.DataFrame:
    return answers.select(
        *ASKED,
        "epoch",
        "seed",
        "settings",
        *(["dose"] if prefix else ["dose", "persona", "world", "base_seed"]),
        pl.col("scored").alias(f"{prefix}scored"),
        pl.col("error").alias(f"{prefix}error"),
        pl.col("wrong").cast(pl.Float64).mul(100).alias(f"{prefix}error_pct"),
        (pl.col("outcome") == "agrees").cast(pl.Float64).mul(100).alias(f"{prefix}agrees_pct"),
    )


def _matches(mine: pl.DataFrame, theirs: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Trained with trained at their epoch and seed; an untrained one with every epoch and seed of the other."""
    trained = pl.col("seed").is_not_null()
    dose = ["dose"] if theirs["dose"].n_unique() > 1 else []
    columns = [*mine.columns, "baseline", *(name for name in theirs.columns if name.startswith("baseline_"))]
    yield mine.join(theirs, on=[*ASKED, "epoch", "seed", "settings", *dose], nulls_equal=True).select(columns)
    yield mine.filter(trained).join(theirs.filter(~trained), on=ASKED).select(columns)
    yield mine.filter(~trained).drop("epoch", "seed", "settings").join(theirs.filter(trained), on=ASKED).select(columns)


def _summary(pairs: pl.DataFrame) -> pl.DataFrame:
    """The effects of one persona against one baseline, in every condition, aggregate and contrast."""
    rows = pl.concat(
        [
            with_aggregates(pairs, ("task", "context", "belief")),
            with_aggregates(_contrasts(pairs, "belief", "none"), ("task", "context")),
            with_aggregates(_contrasts(pairs, "context", "neutral"), ("task", "belief")),
        ]
    ).with_columns((pl.col(a) - pl.col(b)).alias(name) for name, (a, b) in DIFFERENCES.items())
    means = statistics.mean_by_question(rows, CELL, "question", list(DIFFERENCES))
    counts = rows.group_by(CELL).agg(
        *(pl.col(side).mean() for side in SIDES),
        pl.col("seed").drop_nulls().n_unique().alias("n_seeds"),
        pl.col("error_pct").null_count().alias("unscored"),
        pl.col("error").sum().alias("errors"),
    )
    return _named(means.join(counts, on=CELL, nulls_equal=True)).select(COLUMNS)


def _contrasts(pairs: pl.DataFrame, condition: str, reference: str) -> pl.DataFrame:
    """Pairs under each form of a condition minus the same pairs under the reference form, labelled "form-reference"."""
    same = [
        name
        for name in (
            "model",
            "persona",
            "baseline",
            "epoch",
            "dose",
            "settings",
            "seed",
            "draw",
            "judge",
            "task",
            "sample",
            "context",
            "belief",
        )
        if name != condition
    ]
    plain = pairs.filter(pl.col(condition) == reference).select(*same, "error", *SIDES)
    other = pairs.filter(pl.col(condition) != reference)
    joined = other.join(plain, on=same, nulls_equal=True, suffix="_reference")
    return joined.with_columns(
        pl.format("{}-{}", condition, pl.lit(reference)).alias(condition),
        pl.col("error") | pl.col("error_reference"),
        *(pl.col(side) - pl.col(f"{side}_reference") for side in SIDES),
    ).select(pairs.columns)


def with_aggregates(rows: pl.DataFrame, conditions: Sequence[str]) -> pl.DataFrame:
    """Each row again under the aggregates it belongs to: "all" for each condition, and for beliefs "asserts+denies"."""
    for condition in conditions:
        copies = [rows, rows.with_columns(pl.lit("all").alias(condition))]
        if condition == "belief":
            copies.append(rows.filter(pl.col("belief").is_in(MISTAKEN)).with_columns(belief=pl.lit(BELIEFS)))
        rows = pl.concat(copies)
    return rows


def _named(found: pl.DataFrame) -> pl.DataFrame:
    """The columns of intervals under their published names."""
    return found.rename(
        {
            "effect_pp_low": "ci_low_pp",
            "effect_pp_high": "ci_high_pp",
            "agrees_effect_pp_low": "agrees_ci_low_pp",
            "agrees_effect_pp_high": "agrees_ci_high_pp",
        }
    )
