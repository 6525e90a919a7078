"""A cheap judge's verdicts on all replies and a dear one's on a sample, together without the cheap one's bias. Pure.

With N replies, f the cheap verdict on each (an error, 1, or not, 0), y the dear one where it was drawn, p the chance
with which it was, and any prediction m of y that f gives,

    z = m + [drawn] (y - m) / p,     rate = sum z / N

is unbiased whatever m is, as the second term's mean over draws is y - m. This is the difference estimator of survey
sampling (Saerndal, Swensson and Wretman 1992, section 6.3), which prediction-powered inference builds on (Angelopoulos
et al. 2023, Science 382:669). m is the weighted mean of y among drawn replies of the same model, persona, task and
cheap outcome: of a verdict that is one of a few words, this is the tuning by which PPI++ (Angelopoulos, Duchi and Zrnic
2023, arXiv:2311.01453) makes the interval no wider than the sample's alone. Where cheap outcomes are strata, the rate
is the sum of N_h times the mean of y in stratum h, over N, and m has a part in the interval alone.

As every reply has a z, means and differences of z get the intervals that verdicts get: over questions, and over
questions and training seeds (`crossed`), the sampling's own chance included. Rates are of replies whose cheap verdict
takes part in error rates; drawn ones whose dear verdict does not are stood for by others of their group.
"""

from collections.abc import Sequence

import polars as pl

from . import crossed, paired, rates, statistics
from .tables import KEY

ESTIMATES = ("cheap", "sample", "combined")
GROUP = ["judge", "model", "persona", "task", "outcome"]
COUNTS = ("n", "n_questions", "asked")
WHO = ["judge", "sampled_from", *rates.SUBJECT, "belief"]
ENDS = ("", "_low", "_high")
SHARES = [*WHO, *COUNTS, *(f"{name}_pct{end}" for name in ESTIMATES for end in ENDS)]
RECIPE = ("", "_low", "_high", "_recipe_low", "_recipe_high")
EFFECTS = ["judge", "sampled_from", *paired.OF_PAIRS, "belief", "n_seeds", *COUNTS]
EFFECTS += [f"{name}_pp{end}" for name in ESTIMATES for end in RECIPE]


def estimates(answers: pl.DataFrame) -> pl.DataFrame:
    """Every reply that a cheap judge has scored, once for each dear judge that was asked about some, with the values
    whose means are the estimates: `cheap` f, `sample` [drawn] y / p, `combined` z; `asked` is 1 where y is known.

    `answers` as `rates.counted` gives them, with `sampled_from` and `chance` (`sampling.MARKS`).
    """
    if "sampled_from" not in answers.columns or not answers["sampled_from"].count():
        return pl.DataFrame()
    dear = answers.filter(pl.col("sampled_from").is_not_null())
    verdicts = dear.select(*KEY, "chance", "judge", "sampled_from", y=pl.when("scored").then("wrong").cast(pl.Float64))
    pairs = verdicts.select("judge", "sampled_from").unique()
    everything = answers.filter("scored").drop("chance", "sampled_from").rename({"judge": "sampled_from"})
    both = everything.join(pairs, on="sampled_from").join(verdicts, on=[*KEY, "judge", "sampled_from"], how="left")
    return _valued(both.with_columns(f=pl.col("wrong").cast(pl.Float64), drawn=1 / pl.col("chance")))


def _valued(rows: pl.DataFrame) -> pl.DataFrame:
    """With the three values; `drawn` is one over the chance, null where a reply was not drawn."""
    told = pl.col("y").is_not_null()
    lost = pl.col("drawn").sum().over(GROUP) / pl.col("drawn").filter(told).sum().over(GROUP)
    weighed = rows.with_columns(weight=pl.when(told).then(pl.col("drawn") * lost))
    mean = (pl.col("weight") * pl.col("y")).sum().over(GROUP) / pl.col("weight").sum().over(GROUP)
    known = weighed.with_columns(m=mean.fill_nan(None).fill_null(pl.col("f")))
    return known.with_columns(
        cheap="f",
        sample=(pl.col("weight") * pl.col("y")).fill_null(0),
        combined=pl.col("m") + (pl.col("weight") * (pl.col("y") - pl.col("m"))).fill_null(0),
        asked=told.cast(pl.Int64),
        question=paired.QUESTION,
    )


def shares(answers: pl.DataFrame) -> pl.DataFrame:
    """Errors in per cent per subject and belief, all tasks and contexts together, as each of the three has it.

    `n` replies to `n_questions` questions, `asked` of them put to the dear judge; 95 % intervals over questions.
    """
    rows = estimates(answers)
    if rows.is_empty():
        return rows
    keys, values = [*WHO, "question"], list(ESTIMATES)
    scaled = rows.with_columns(pl.col(values) * 100)
    counts = scaled.group_by(keys).agg(pl.col("asked").sum())
    sums = statistics.sums_by_question(scaled, keys, values).join(counts, on=keys, nulls_equal=True)
    told = paired.with_aggregates(sums, keys, ("belief",))
    asked = told.group_by(WHO).agg(pl.col("asked").sum())
    means = statistics.means_of_sums(told, WHO, values).join(asked, on=WHO, nulls_equal=True)
    named = {f"{name}{end}": f"{name}_pct{end}" for name in ESTIMATES for end in ENDS}
    return means.rename(named).select(SHARES).sort(WHO)


def effects(answers: pl.DataFrame, personas: Sequence[str]) -> pl.DataFrame:
    """The difference in errors between every persona and each one before it, in percentage points, as each of the three
    has it: `n` pairs of replies, `asked` dear verdicts on them; intervals as those of `effects.of`.
    """
    rows = estimates(answers)
    if rows.is_empty():
        return rows
    who = paired.subjects(rows)
    rows = rows.join(who, on=paired.SUBJECT, nulls_equal=True)
    compared = [
        _compared(rows, paired.matches(who, persona, baseline))
        for place, persona in enumerate(personas)
        for baseline in personas[:place]
    ]
    return pl.concat(compared).sort("judge", *paired.OF_PAIRS, "belief") if compared else pl.DataFrame()


def _compared(rows: pl.DataFrame, matched: pl.DataFrame) -> pl.DataFrame:
    prompt = ["judge", "sampled_from", "question", "context", "belief", "draw"]
    values = [*ESTIMATES, "asked"]
    mine = rows.select("who", *prompt, *values)
    theirs = mine.rename({"who": "theirs", **{name: f"their_{name}" for name in values}})
    pairs = (
        matched.select("cell", "seed", "theirs", who="mine").join(mine, on="who").join(theirs, on=["theirs", *prompt])
    )
    keys = ["cell", "judge", "sampled_from", "belief", "question", "seed"]
    summed = pairs.group_by(keys).agg(
        n=pl.len().cast(pl.Int64),
        **{name: (pl.col(name) - pl.col(f"their_{name}")).sum() for name in ESTIMATES},
        asked=(pl.col("asked") + pl.col("their_asked")).sum(),
    )
    told = _moments(paired.with_aggregates(summed, keys, ("belief",)))
    apart = matched.select("cell", *paired.OF_PAIRS).unique()
    return told.join(apart, on="cell").select(EFFECTS)


def _moments(summed: pl.DataFrame) -> pl.DataFrame:
    """The three differences with their intervals."""
    by = ["cell", "judge", "sampled_from", "belief"]
    over_questions, per_seed = crossed.sums(summed, by, ESTIMATES)
    asked = summed.group_by(by).agg(pl.col("asked").sum())
    seeds = crossed.over_seeds(per_seed, by, ESTIMATES)
    groups = (
        over_questions.join(asked, on=by).join(seeds, on=by, how="left").with_columns(pl.col("n_seeds").fill_null(0))
    )
    parts = ["mean", "low", "high", "recipe_low", "recipe_high"]
    for name in ESTIMATES:
        found = crossed.intervals(groups, name) * 100
        groups = groups.with_columns(
            found[part].alias(f"{name}_pp{end}") for part, end in zip(parts, RECIPE, strict=True)
        )
    return groups
