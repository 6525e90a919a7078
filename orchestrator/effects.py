"""What a persona changes: paired differences between two personas' replies to the same questions. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from . import crossed, mcnemar, paired, statistics
from .settings_analysis import Analysis

BELIEFS, CELL, QUESTION, OF_PAIRS = paired.BELIEFS, paired.CELL, paired.QUESTION, paired.OF_PAIRS
DIFFERENCES = {"error": "effect_pp", "agrees": "agrees_effect_pp"}
ENDS = {
    "error": {"low": "ci_low_pp", "high": "ci_high_pp", "recipe_low": "recipe_low_pp", "recipe_high": "recipe_high_pp"},
    "agrees": {
        "low": "agrees_ci_low_pp",
        "high": "agrees_ci_high_pp",
        "recipe_low": "agrees_recipe_low_pp",
        "recipe_high": "agrees_recipe_high_pp",
    },
}
SIDES = ("error_pct", "baseline_error_pct", "agrees_pct", "baseline_agrees_pct")
COUNTS = ("n", "n_questions", "n_seeds", "unscored", "errors")
TESTS = ("b", "c", "p_mcnemar", "q_mcnemar", "p_questions", "q_questions", "odds_ratio", "g_published", "cohens_g")
COLUMNS = [
    *CELL,
    *COUNTS,
    *SIDES,
    *(column for value, name in DIFFERENCES.items() for column in (name, *ENDS[value].values())),
    *TESTS,
    "equivalent",
]
USUAL = Analysis()


class Interval(NamedTuple):
    """A 95 % interval in percentage points, None where there is none, and what it is `about`."""

    low: float | None
    high: float | None
    about: str


def spoken(row: Mapping[str, Any], value: str = "error") -> Interval:
    """The interval of an effect that sentences speak of: this recipe's if it was trained more than once.

    With one seed it is about "this adapter" alone; of models that were not trained, about "this model".
    """
    ends = ENDS[value]
    if row["n_seeds"] > 1:
        return Interval(row[ends["recipe_low"]], row[ends["recipe_high"]], "this recipe")
    about = "this adapter" if row["n_seeds"] else "this model"
    return Interval(row[ends["low"]], row[ends["high"]], about)


def effects(answers: pl.DataFrame, personas: Sequence[str], analysis: Analysis = USUAL) -> pl.DataFrame:
    """The effect of every persona against every persona listed before it, in percentage points; see `of`."""
    return of(moments(answers, personas), analysis)


def of(moments: pl.DataFrame, analysis: Analysis = USUAL) -> pl.DataFrame:
    """The effects that sums of pairs come to.

    A pair is the persona's reply and the baseline's at the same model, epoch, seed, searched settings, question,
    condition, draw and judge (`paired.matches`). `effect_pp` is the mean over pairs of the difference in error
    (`agrees_effect_pp`: in agreement with the user's wrong belief). It has two intervals (`crossed`): `ci_low_pp`,
    `ci_high_pp` for these adapters, over other questions of this kind; `recipe_low_pp`, `recipe_high_pp` for this
    recipe, over other training seeds as well, null with fewer than two. Null: no variation, or a single question.
    Neither speaks of other base models. `equivalent` says whether two one-sided tests at 5 % find the difference in
    error within the study's margin: whether the 90 % interval lies within it, the recipe's where there is one.

    `b` and `c` are the pairs in which only the persona, only the baseline is wrong; see `mcnemar` for the sizes made of
    them. `p_mcnemar` is the exact test on pairs, as published; pairs are rows, so with several seeds, draws or forms of
    one question it takes for independent what is not, and rejects too often. `p_questions` counts each question once,
    by the side that was wrong more often: the same test where a question has one pair, and an honest one (for these
    adapters) where it has several. `q_` are corrected within families; cells that no family counts (aggregates over
    tasks or contexts, single forms of a mistaken belief) have none.

    Rows with a single task, context and belief, and aggregates: "all" over what was asked of both, belief
    "asserts+denies" over the forms that state a mistaken belief. A pair with an unscored side is left out of `n` and
    counted in `unscored`, and in `errors` if a side failed.

    Contrasts are rows of their own: belief "asserts-none" is, per pair, the difference under an asserted belief minus
    the difference at the same question, context, draw and seed without one, and context "sad-neutral" likewise. In such
    a row `error_pct`, `agrees_pct` and the baseline's are the contrast within that persona, in percentage points, and
    may be negative; it has no test of pairs.
    """
    found = moments.with_columns(
        *sides(moments), *differences(moments), *_tests(moments), equivalent=_equivalent(moments, analysis.margin_pp)
    )
    inside = {"q_mcnemar": "p_mcnemar", "q_questions": "p_questions"}
    tested = pl.when(_in_a_family())
    for q, p in inside.items():
        counted = found.with_columns(tested.then(p).alias(p))
        found = found.with_columns(mcnemar.corrected(counted, p, analysis.families).alias(q))
    order = ["model", "settings", "epoch", "dose", "persona", "baseline", "judge", "task", "context", "belief"]
    return found.with_columns(errors="failed").select(COLUMNS).sort(order)


def sides(moments: pl.DataFrame) -> list[pl.Series]:
    """Both personas' shares of errors and of agreement, in per cent of the pairs."""
    shares = [100 * pl.col(side) / pl.when(pl.col("n") > 0).then("n") for side in paired.SIDES]
    return moments.select(share.alias(name) for share, name in zip(shares, SIDES, strict=True)).get_columns()


def differences(moments: pl.DataFrame) -> list[pl.Series]:
    """Both differences with both intervals, in percentage points."""
    told = []
    for value, name in DIFFERENCES.items():
        found = crossed.intervals(moments, value) * 100
        told += [found["mean"].alias(name), *(found[end].alias(column) for end, column in ENDS[value].items())]
    return told


def _tests(moments: pl.DataFrame) -> list[pl.Series]:
    """Tests of pairs and of questions; null for contrasts, which have no pairs of verdicts."""
    counts = {"b": "b", "c": "c", "up": "error_up", "down": "error_down"}
    of_pairs = ~(pl.col("belief").str.contains("-none$") | pl.col("context").str.contains("-neutral$"))
    counted = moments.select(pl.when(of_pairs).then(column).alias(name) for name, column in counts.items())
    sizes = counted.select(size.alias(name) for name, size in mcnemar.sizes("b", "c").items())
    p_values = (
        mcnemar.p_values(counted["b"], counted["c"]).alias("p_mcnemar"),
        mcnemar.p_values(counted["up"], counted["down"]).alias("p_questions"),
    )
    return [counted["b"], counted["c"], *p_values, *sizes]


def _in_a_family() -> pl.Expr:
    """Cells of a single task and context, with no belief stated or a mistaken one in any form."""
    single = (pl.col("task") != "all") & (pl.col("context") != "all")
    return single & pl.col("belief").is_in(["none", BELIEFS])


def _equivalent(moments: pl.DataFrame, margin_pp: float) -> pl.Series:
    """Two one-sided tests at 5 % (Schuirmann 1987): whether the spoken interval, at 90 %, lies within the margin."""
    found = (crossed.intervals(moments, "error", confidence=0.9) * 100).with_columns(moments["n_seeds"])
    low, high = (pl.when(pl.col("n_seeds") > 1).then(f"recipe_{end}").otherwise(end) for end in ("low", "high"))
    return found.select((low > -margin_pp) & (high < margin_pp)).to_series()


def moments(answers: pl.DataFrame, personas: Sequence[str]) -> pl.DataFrame:
    """The sums that effects are made of: one row per comparison, condition, aggregate and contrast."""
    who = paired.subjects(answers)
    rows = paired.lean(answers, who)
    matched = [
        paired.matches(who, persona, baseline)
        for place, persona in enumerate(personas)
        for baseline in personas[:place]
    ]
    return pl.concat(_moments(rows, each) for each in matched or [paired.matches(who, "", "")])


def _moments(rows: pl.DataFrame, matched: pl.DataFrame) -> pl.DataFrame:
    """Of the comparisons of two personas: every condition, aggregate and contrast."""
    pairs = paired.pairs(rows, matched)
    found = paired.moments(paired.with_aggregates(paired.added_up(pairs), paired.SUMMED, ("belief", "context")))
    parts = [paired.worded(found)]
    for condition, reference, other in (("belief", "none", "context"), ("context", "neutral", "belief")):
        more = paired.added_up(paired.contrasts(pairs, condition, reference))
        named = paired.worded(paired.moments(paired.with_aggregates(more, paired.SUMMED, (other,))))
        parts.append(named.with_columns(pl.format("{}-{}", condition, pl.lit(reference)).alias(condition)))
    apart = matched.select("cell", *OF_PAIRS).unique()
    return pl.concat(parts).join(apart, on="cell").drop("cell")


def over_bases(effects: pl.DataFrame) -> pl.DataFrame:
    """Each effect's mean over the bases of a world, with a t-interval over bases.

    Worlds with fewer than two bases (models of the same world with different `base_seed`) have no rows here.
    """
    by = ["world", *(name for name in CELL if name not in ("model", "world", "base_seed"))]
    named = DIFFERENCES.values()
    found = statistics.mean_over_bases(effects.filter(pl.col("world").is_not_null()), by, list(named))
    ends = {f"{name}_{end}": ENDS[value][end] for value, name in DIFFERENCES.items() for end in ("low", "high")}
    return found.rename(ends).sort(by)


def pairs(answers: pl.DataFrame, persona: str, baseline: str) -> pl.DataFrame:
    """One row per pair of replies: the shares of both (0 or 100; null if either is unscored) and its `question`."""
    who = paired.subjects(answers)
    matched = paired.matches(who, persona, baseline)
    found = paired.pairs(paired.lean(answers, who), matched)
    shares = [(pl.col(side).cast(pl.Float64) * 100).alias(name) for side, name in zip(paired.SIDES, SIDES, strict=True)]
    apart = matched.select("cell", *OF_PAIRS).unique()
    told = paired.worded(found).join(apart, on="cell").with_columns(*shares, error=pl.col("failed"))
    return told.select(*CELL, "draw", "seed", "question", "error", *SIDES)
