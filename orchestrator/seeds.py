"""What training seeds make of a figure: where an effect's variance comes from; seeds against one another. Pure."""

from collections.abc import Sequence

import polars as pl

from . import crossed, effects, paired
from .paired import BELIEFS, OF_PAIRS

TWICE = {"se_pp_twice_questions": "questions", "se_pp_twice_seeds": "seeds", "se_pp_twice_draws": "draws"}
SPREADS = ("seed_sd_pp", "question_sd_pp", "residual_sd_pp", "draw_sd_pp")
SIZES = ("n", "n_questions", "n_seeds", "draws")
VARIANCE = [*OF_PAIRS, "belief", "judge", *SIZES, "effect_pp", *SPREADS, "se_pp", *TWICE, "helps_most"]
WHO = [name for name in OF_PAIRS if name != "baseline"]
SAME = [*WHO, "seed", "other_seed", "belief", "judge", "n", "n_questions", "unscored", "errors", *effects.SIDES]
SAME += ["effect_pp", "ci_low_pp", "ci_high_pp", "agrees_effect_pp", "agrees_ci_low_pp", "agrees_ci_high_pp"]


def variance(moments: pl.DataFrame) -> pl.DataFrame:
    """Where the uncertainty of each effect on error comes from, over all tasks and contexts; in percentage points.

    By the method of moments on the crossed analysis of variance: of the parts A (seed), B (question) and E (residual)
    of `crossed`, over Q questions and S seeds, with negative differences taken for zero,

        seed_sd_pp       sqrt(S (A - E))     between adapters that differ by their training seed alone
        question_sd_pp   sqrt(Q (B - E))     between questions, whatever the seed
        draw_sd_pp       sqrt(Q S D)         of one seed's mean on one question, by the sampling seed: D is the
                                             variance among draws of one prompt over n; null where each is asked once
        residual_sd_pp   sqrt(Q S (E - D))   of one seed's mean on one question besides all that (with D, if unknown)

    `se_pp` = sqrt((A - E) + (B - E) + E) is the effect's standard error over questions and seeds, `se_pp_twice_...`
    what it would be with twice as many of these, and `helps_most` names the least. All null with a single seed. Of a
    trained persona against an untrained one, seed_sd_pp is the spread of adapters that `power` assumes; between two
    trained ones it is the root of two times as much.
    """
    rows = moments.filter(pl.col("belief").is_in(["all", "none", BELIEFS]), task="all", context="all")
    among = pl.col("among_repeats") / pl.when(pl.col("repeats") > 0).then("repeats") / pl.col("n")
    found = rows.with_columns(**crossed.parts("error"))
    parts = found.with_columns(
        *((pl.col(part) - pl.col("residual")).clip(lower_bound=0).alias(part) for part in ("seed", "question")),
        drawn=pl.when(among <= pl.col("residual")).then(among).otherwise(among * 0 + pl.col("residual")),
        draws=pl.col("n") / (pl.col("n") - pl.col("repeats")),
        effect_pp=100 * pl.col("mean"),
    )
    return _in_points(parts).select(VARIANCE).sort(*OF_PAIRS, "belief", "judge")


def _in_points(parts: pl.DataFrame) -> pl.DataFrame:
    """Standard deviations and errors that parts of variance come to, and what would help most."""
    seed, question, residual, drawn = (pl.col(name) for name in ("seed", "question", "residual", "drawn"))
    seeds, questions = pl.col("n_seeds"), pl.col("n_questions")
    squares = {
        "seed_sd_pp": seeds * seed,
        "question_sd_pp": questions * question,
        "residual_sd_pp": questions * seeds * (residual - drawn.fill_null(0)),
        "draw_sd_pp": questions * seeds * drawn,
        "se_pp": seed + question + residual,
        "se_pp_twice_questions": seed + (question + residual) / 2,
        "se_pp_twice_seeds": question + (seed + residual) / 2,
        "se_pp_twice_draws": seed + question + residual - drawn / 2,
    }
    told = parts.with_columns((100 * square.sqrt()).alias(name) for name, square in squares.items())
    least = [pl.when(pl.col(name) == pl.min_horizontal(*TWICE)).then(pl.lit(more)) for name, more in TWICE.items()]
    return told.with_columns(helps_most=pl.when(pl.col("se_pp") > 0).then(pl.coalesce(least)))


def same(answers: pl.DataFrame, personas: Sequence[str]) -> pl.DataFrame:
    """A subject's seeds against one another: what differs where nothing should but chance.

    Each further training seed (`other_seed`) against the first one (`seed`), reply by reply, over all tasks and
    contexts: `effect_pp` and its interval as in `effects.of`, for these two adapters. An interval without zero is no
    finding; it shows how far adapters of one recipe differ, which intervals over questions know nothing of.
    """
    who = paired.subjects(answers)
    rows = paired.lean(answers, who)
    matched = [_seeds(who.filter(persona=persona)) for persona in personas]
    apart = pl.concat(matched or [_seeds(who.clear())]).with_row_index("cell")
    pairs = paired.pairs(rows, apart.with_columns(seed=pl.lit(None, pl.Int64)))
    summed = paired.with_aggregates(paired.added_up(pairs), paired.SUMMED, ("belief", "context"))
    found = paired.worded(paired.moments(summed.filter(pl.col("context") == "all")))
    chosen = found.filter(pl.col("belief").is_in(["all", "none", BELIEFS]), task="all")
    told = chosen.join(apart, on="cell").with_columns(*effects.sides(chosen), *effects.differences(chosen))
    return told.with_columns(errors="failed").select(SAME).sort(*WHO, "seed", "other_seed", "belief", "judge")


def _seeds(who: pl.DataFrame) -> pl.DataFrame:
    """Every trained subject with its first seed's: `mine` is the further seed's, `theirs` the first one's."""
    trained = who.drop_nulls("seed").rename({"who": "mine", "seed": "other_seed"})
    first = trained.sort("other_seed").group_by(WHO, maintain_order=True).first()
    firsts = first.select(*WHO, theirs="mine", seed="other_seed")
    return trained.join(firsts, on=WHO, nulls_equal=True).filter(pl.col("mine") != pl.col("theirs"))
