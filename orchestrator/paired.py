"""Pairs of replies to the same prompt, and their sums in every condition: what effects are made of. Pure."""

from collections.abc import Sequence

import polars as pl

from tasks import MISTAKEN

from . import crossed

BELIEFS = "asserts+denies"
"""All forms that state a mistaken belief, together."""

SUBJECT = ["model", "world", "base_seed", "persona", "epoch", "dose", "settings", "seed"]
OF_PAIRS = ["model", "world", "base_seed", "persona", "baseline", "epoch", "dose", "settings"]
"""What tells comparisons of two subjects apart, besides the seed."""

CONDITION = ["judge", "task", "context", "belief"]
SUMMED = ["cell", *CONDITION, "question", "seed"]
CELL = [*OF_PAIRS, "task", "context", "belief", "judge"]
QUESTION = pl.concat_str("task", "sample", separator="\x1f")
VALUES = ["error", "agrees"]
"""The differences of a pair: in error, and in agreement with the user's mistake; -1, 0 or 1."""

SIDES = ["mine_error", "theirs_error", "mine_agrees", "theirs_agrees"]
COUNTS = [*SIDES, "b", "c", "unscored", "failed", "repeats", "among_repeats"]


def subjects(answers: pl.DataFrame) -> pl.DataFrame:
    """Who there is, numbered (`who`)."""
    return answers.select(SUBJECT).unique().sort(SUBJECT).with_row_index("who")


def lean(answers: pl.DataFrame, who: pl.DataFrame) -> pl.DataFrame:
    """The answers with no more than pairs need, words as categories: `wrong` and `agrees` are null if unscored."""
    words = ["judge", "task", "sample", "context", "belief"]
    rows = answers.lazy().join(who.lazy(), on=SUBJECT, nulls_equal=True)
    scored = pl.when("scored")
    return rows.select(
        "who",
        "draw",
        QUESTION.cast(pl.Categorical).alias("question"),
        *(pl.col(word).cast(pl.Categorical) for word in words if word != "sample"),
        scored.then(pl.col("wrong").cast(pl.Int8)).alias("wrong"),
        scored.then((pl.col("outcome") == "agrees").cast(pl.Int8)).alias("agrees"),
        pl.col("error").alias("failed"),
    ).collect()


def matches(who: pl.DataFrame, persona: str, baseline: str) -> pl.DataFrame:
    """Which subjects are compared: `mine` with `theirs`; what tells the comparison apart; and its training `seed`.

    Trained with trained at their epoch, seed and searched settings; an untrained one with all of these of the other. A
    baseline tuned at several doses is taken at the persona's; one with a single dose serves every dose.
    """
    mine = who.filter(persona=persona).rename({"who": "mine"})
    theirs = who.filter(persona=baseline).select("model", "epoch", "dose", "settings", "seed", theirs="who")
    trained, dose = pl.col("seed").is_not_null(), ["dose"] if theirs["dose"].n_unique() > 1 else []
    same = mine.join(theirs, on=["model", "epoch", "seed", "settings", *dose], nulls_equal=True)
    spread = mine.filter(trained).join(theirs.filter(~trained), on="model")
    own = mine.filter(~trained).drop("epoch", "seed", "settings").join(theirs.filter(trained), on="model")
    columns = [*mine.columns, "theirs"]
    return _numbered(
        pl.concat([each.select(columns) for each in (same, spread, own)]).with_columns(baseline=pl.lit(baseline))
    )


def _numbered(matched: pl.DataFrame) -> pl.DataFrame:
    """With `cell`, the number of what tells comparisons apart besides the seed."""
    apart = matched.select(OF_PAIRS).unique(maintain_order=True).with_row_index("cell")
    return matched.join(apart, on=OF_PAIRS, nulls_equal=True, maintain_order="left")


def pairs(rows: pl.DataFrame, matched: pl.DataFrame) -> pl.DataFrame:
    """One row per pair: who said what of the same question, condition, draw and judge; null if either is unscored."""
    prompt = ["question", "context", "belief", "draw", "judge"]
    mine = matched.select("cell", "seed", "theirs", who="mine").join(rows, on="who")
    theirs = rows.select(*prompt, theirs="who", their_wrong="wrong", their_agrees="agrees", their_failed="failed")
    both = pl.col("wrong").is_not_null() & pl.col("their_wrong").is_not_null()
    sides = dict(zip(SIDES, ("wrong", "their_wrong", "agrees", "their_agrees"), strict=True))
    return mine.join(theirs, on=["theirs", *prompt]).select(
        "cell",
        "seed",
        "draw",
        "question",
        *CONDITION,
        pl.col("failed") | pl.col("their_failed"),
        *(pl.when(both).then(column).alias(side) for side, column in sides.items()),
    )


def contrasts(rows: pl.DataFrame, condition: str, reference: str) -> pl.DataFrame:
    """Pairs under each form of a condition minus the same pairs under the reference form."""
    same = [name for name in ("cell", "seed", "draw", "question", *CONDITION) if name not in (condition, "task")]
    plain = rows.filter(pl.col(condition) == reference).select(*same, "failed", *SIDES)
    other = rows.filter(pl.col(condition) != reference)
    return other.join(plain, on=same, nulls_equal=True, suffix="_reference").with_columns(
        pl.col("failed") | pl.col("failed_reference"),
        *(pl.col(side) - pl.col(f"{side}_reference") for side in SIDES),
    )


def added_up(rows: pl.DataFrame) -> pl.DataFrame:
    """Pairs summed over draws: per condition, question and seed.

    Besides the sums of both sides and of their differences: `n` pairs, `b` and `c` in which only the persona and only
    the baseline is wrong, and the squares `among_repeats` of the same prompt's draws, with `repeats` degrees.
    """
    error, agrees = (pl.col(f"mine_{value}") - pl.col(f"theirs_{value}") for value in VALUES)
    summed = rows.group_by(SUMMED).agg(
        pl.col("mine_error").count().cast(pl.Int64).alias("n"),
        error.sum().cast(pl.Int64).alias("error"),
        agrees.sum().cast(pl.Int64).alias("agrees"),
        *(pl.col(side).sum().cast(pl.Int64) for side in SIDES),
        (error > 0).sum().cast(pl.Int64).alias("b"),
        (error < 0).sum().cast(pl.Int64).alias("c"),
        pl.col("mine_error").null_count().cast(pl.Int64).alias("unscored"),
        pl.col("failed").sum().cast(pl.Int64),
        error.cast(pl.Float64).pow(2).sum().alias("squares"),
    )
    among = pl.col("squares") - pl.col("error").pow(2) / pl.col("n")
    return summed.with_columns(
        repeats=(pl.col("n") - 1).clip(lower_bound=0), among_repeats=pl.when(pl.col("n") > 1).then(among).otherwise(0)
    ).drop("squares")


def with_aggregates(summed: pl.DataFrame, keys: Sequence[str], conditions: Sequence[str]) -> pl.DataFrame:
    """Sums again under the aggregates they belong to: "all" for each condition, and for beliefs "asserts+denies".

    Everything but `keys` is added up.
    """
    for condition in conditions:
        copies = [summed, _as(summed, keys, condition, "all")]
        if condition == "belief":
            copies.append(_as(summed.filter(pl.col("belief").is_in(MISTAKEN)), keys, "belief", BELIEFS))
        summed = pl.concat(copies)
    return summed


def _as(summed: pl.DataFrame, keys: Sequence[str], condition: str, label: str) -> pl.DataFrame:
    kind = summed.schema[condition]
    named = summed.with_columns(pl.lit(label).cast(kind).alias(condition))
    return named.group_by(keys).agg(pl.exclude(keys).sum()).select(summed.columns)


def moments(summed: pl.DataFrame) -> pl.DataFrame:
    """Per cell and condition, and over all tasks: counts, and what `crossed.parts` makes intervals of.

    Questions of different tasks are different ones, so that sums over questions add up over tasks as well.
    """
    by = ["cell", *CONDITION]
    over_questions, per_seed = crossed.sums(summed, by, VALUES)
    counts = summed.group_by(by).agg(pl.col(COUNTS).sum())
    groups = with_aggregates(over_questions.join(counts, on=by), by, ("task",))
    seeds = crossed.over_seeds(with_aggregates(per_seed, [*by, "seed"], ("task",)), by, VALUES)
    return groups.join(seeds, on=by, how="left").with_columns(pl.col("n_seeds").fill_null(0))


def worded(rows: pl.DataFrame) -> pl.DataFrame:
    """With words where there were categories."""
    return rows.with_columns(pl.col(pl.Categorical).cast(pl.String))
