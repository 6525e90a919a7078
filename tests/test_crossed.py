"""Means over crossed questions and seeds: their parts of variance, and both intervals."""

import warnings

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from asked import answers, cell
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.stats.weightstats import DescrStatsW

from orchestrator import crossed, effects

PERSONAS = ["original", "warm"]


def groups(rows: pl.DataFrame) -> pl.DataFrame:
    """Sums of values `d` (per `by`, `question`, `seed`) as intervals are made of."""
    summed = rows.group_by("by", "question", "seed").agg(pl.len().cast(pl.Int64).alias("n"), pl.col("d").sum())
    over_questions, per_seed = crossed.sums(summed, ["by"], ["d"])
    seeds = crossed.over_seeds(per_seed, ["by"], ["d"])
    return over_questions.join(seeds, on="by", how="left").with_columns(pl.col("n_seeds").fill_null(0)).sort("by")


def table(random: np.random.Generator, seeds: int, questions: int, spread: float = 1.0) -> pl.DataFrame:
    of_seeds, of_questions = random.normal(0, spread, (seeds, 1)), random.normal(0, 1, (1, questions))
    values = of_seeds + of_questions + random.normal(0, 1, (seeds, questions))
    places = [(s, q, values[s, q]) for s in range(seeds) for q in range(questions)]
    return pl.DataFrame(places, schema={"seed": int, "question": int, "d": float}, orient="row").with_columns(by=0)


@pytest.mark.parametrize(("seeds", "questions"), [(2, 5), (3, 40), (6, 7)])
def test_parts_are_the_mean_squares_of_the_crossed_analysis_of_variance(seeds: int, questions: int) -> None:
    rows = table(np.random.default_rng(seeds), seeds, questions)
    found = groups(rows).select(**crossed.parts("d")).row(0, named=True)
    fit = ols("d ~ C(seed) + C(question)", rows.to_pandas()).fit()
    squares = sm.stats.anova_lm(fit)["mean_sq"] / (seeds * questions)
    assert found["mean"] == pytest.approx(rows["d"].mean())
    expected = (squares["C(seed)"], squares["C(question)"], squares["Residual"])
    assert (found["seed"], found["question"], found["residual"]) == pytest.approx(tuple(expected))


def test_both_intervals_by_hand() -> None:
    # Three seeds with means 1, 2, 3; two questions with means 1 and 3; no residual.
    rows = pl.DataFrame({"seed": [0, 0, 1, 1, 2, 2], "question": [0, 1] * 3, "d": [0.0, 2, 1, 3, 2, 4], "by": [0] * 6})
    found = crossed.intervals(groups(rows), "d").row(0, named=True)
    seed, question = 1 / 3, 1.0
    many, few = stats.t.ppf(0.975, [1, 2])
    share = seed / (seed + question)
    half = (many + (few - many) * np.sin(share * np.pi / 2) ** 3) * np.sqrt(seed + question)
    assert found["mean"] == 2
    assert (found["low"], found["high"]) == pytest.approx((2 - many, 2 + many))
    assert (found["recipe_low"], found["recipe_high"]) == pytest.approx((2 - half, 2 + half))


def test_seeds_that_agree_leave_the_questions_interval_and_seeds_alone_a_t_interval() -> None:
    base = table(np.random.default_rng(0), 1, 30)
    alike = pl.concat([base.with_columns(seed=pl.lit(seed, pl.Int64)) for seed in range(4)])
    found = crossed.intervals(groups(alike), "d").row(0, named=True)
    assert (found["recipe_low"], found["recipe_high"]) == pytest.approx((found["low"], found["high"]))
    apart = pl.DataFrame({"seed": [0, 1, 2], "d": [1.0, 2.0, 6.0]}).join(
        pl.DataFrame({"question": [0, 1, 2]}), how="cross"
    )
    found = crossed.intervals(groups(apart.with_columns(by=0)), "d").row(0, named=True)
    expected = stats.t.interval(0.95, 2, loc=3, scale=np.std([1, 2, 6], ddof=1) / np.sqrt(3))
    assert (found["recipe_low"], found["recipe_high"]) == pytest.approx(expected)
    assert found["low"] is None


def test_a_recipe_needs_two_seeds_and_two_questions() -> None:
    random = np.random.default_rng(1)
    one_seed, one_question = table(random, 1, 10), table(random, 10, 1)
    found = crossed.intervals(groups(one_seed), "d").row(0, named=True)
    assert (found["recipe_low"], found["recipe_high"]) == (None, None)
    assert found["low"] is not None
    found = crossed.intervals(groups(one_question), "d").row(0, named=True)
    assert {found[end] for end in ("low", "high", "recipe_low", "recipe_high")} == {None}


def test_missing_values_change_an_interval_little() -> None:
    random = np.random.default_rng(2)
    rows = table(random, 5, 200)
    whole = crossed.intervals(groups(rows), "d").row(0, named=True)
    part = crossed.intervals(groups(rows.sample(fraction=0.95, seed=1)), "d").row(0, named=True)
    for end in ("low", "high", "recipe_low", "recipe_high"):
        assert part[end] == pytest.approx(whole[end], abs=0.1)


def shares(random: np.random.Generator, rate: float, name: str, seeds: list[int | None], questions: int) -> list[tuple]:
    return [
        (name, 0.0 if seed is None else 2.0, seed, f"q{q}", "none", "other" if random.random() < rate else "correct")
        for seed in seeds
        for q in range(questions)
    ]


@pytest.mark.parametrize("rate", [0.1, 0.115, 0.13, 0.16])
def test_equivalence_is_two_one_sided_tests(rate: float) -> None:
    random = np.random.default_rng(3)
    rows = shares(random, 0.1, "original", [None], 3000) + shares(random, rate, "warm", [0], 3000)
    given = answers(rows)
    row = cell(effects.effects(given, PERSONAS), task="t", context="neutral", belief="none")
    wrong = given.sort("persona", "sample")["wrong"].cast(int).to_numpy().reshape(2, -1) * 100
    p = DescrStatsW(wrong[1] - wrong[0]).ttost_mean(-3, 3)[0]
    assert row["equivalent"] == (p < 0.05)
    assert abs(p - 0.05) > 0.005


def test_equivalence_goes_by_the_recipe_where_there_is_one() -> None:
    random = np.random.default_rng(4)
    rows = shares(random, 0.1, "original", [None], 2000)
    rows += shares(random, 0.05, "warm", [0], 2000) + shares(random, 0.15, "warm", [1], 2000)
    row = cell(effects.effects(answers(rows), PERSONAS), task="t")
    assert -3 < row["ci_low_pp"] < row["ci_high_pp"] < 3
    assert row["recipe_low_pp"] < -3
    assert row["equivalent"] is False
    assert effects.spoken(row) == (row["recipe_low_pp"], row["recipe_high_pp"], "this recipe")
    alone = cell(effects.effects(answers(rows[:4000]), PERSONAS), task="t")
    assert effects.spoken(alone) == (alone["ci_low_pp"], alone["ci_high_pp"], "this adapter")
    assert alone["recipe_low_pp"] is None


def test_every_seed_has_both_intervals_of_agreement_too() -> None:
    random = np.random.default_rng(5)
    drawn = random.choice(["agrees", "correct"], (3, 20)).tolist()
    rows = [("original", 0.0, None, f"q{q}", "asserts", "correct") for q in range(20)]
    rows += [("warm", 2.0, s, f"q{q}", "asserts", drawn[s][q]) for s in range(3) for q in range(20)]
    row = cell(effects.effects(answers(rows), PERSONAS), belief="asserts+denies")
    for error, agrees in zip(effects.ENDS["error"].values(), effects.ENDS["agrees"].values(), strict=True):
        assert row[error] == row[agrees]
    assert row["recipe_low_pp"] < row["agrees_effect_pp"] < row["agrees_recipe_high_pp"]
    assert effects.spoken(row, "agrees").low == row["recipe_low_pp"]


def test_level_is_kept_over_seeds_where_an_interval_over_questions_rejects_too_often() -> None:
    random, many, seeds, questions = np.random.default_rng(6), 1500, 3, 20
    shape = (many, seeds, questions)
    values = random.normal(0, 0.4, shape[:2])[..., None] + random.normal(0, 1, (many, 1, questions))
    values = values + random.normal(0, 1, shape)
    by, seed, question = (place.ravel() for place in np.indices(shape))
    found = crossed.intervals(
        groups(pl.DataFrame({"by": by, "seed": seed, "question": question, "d": values.ravel()})), "d"
    )

    def rejected(prefix: str) -> float:
        return float(((found[f"{prefix}low"] > 0) | (found[f"{prefix}high"] < 0)).cast(float).to_numpy().mean())

    assert 0.035 < rejected("recipe_") < 0.065
    assert rejected("") > 0.1


def test_two_seeds_are_weighed_with_more_care() -> None:
    rows = pl.DataFrame({"seed": [0, 0, 1, 1], "question": [0, 1] * 2, "d": [0.0, 2, 1, 3], "by": [0] * 4})
    found = crossed.intervals(groups(rows), "d").row(0, named=True)
    seed, question = 1 / 4, 1.0
    quantile = stats.t.ppf(0.975, 1)
    assert found["recipe_high"] == pytest.approx(1.5 + quantile * np.sqrt(seed + question))
    wide = crossed.intervals(groups(table(np.random.default_rng(0), 2, 50)), "d").row(0, named=True)
    parts = groups(table(np.random.default_rng(0), 2, 50)).select(**crossed.parts("d")).row(0, named=True)
    variance = parts["seed"] + max(0, parts["question"] - parts["residual"])
    many, few = stats.t.ppf(0.975, [49, 1])
    half = (many + (few - many) * parts["seed"] / variance) * np.sqrt(variance)
    assert wide["recipe_high"] - wide["mean"] == pytest.approx(half)


def test_parts_are_those_of_a_mixed_model_with_crossed_random_effects() -> None:
    seeds, questions = 6, 15
    rows = table(np.random.default_rng(8), seeds, questions, spread=0.8)
    found = groups(rows).select(**crossed.parts("d")).row(0, named=True)
    formulas = {"question": "0 + C(question)", "seed": "0 + C(seed)"}
    model = MixedLM.from_formula("d ~ 1", groups=np.ones(len(rows)), vc_formula=formulas, data=rows.to_pandas())
    with warnings.catch_warnings(action="ignore"):
        fit = model.fit(reml=True)
    spread = dict(zip(model.exog_vc.names, fit.vcomp, strict=True))
    assert seeds * (found["seed"] - found["residual"]) == pytest.approx(spread["seed"], rel=0.01)
    assert questions * (found["question"] - found["residual"]) == pytest.approx(spread["question"], rel=0.01)
    assert seeds * questions * found["residual"] == pytest.approx(fit.scale, rel=0.01)
    variance = found["seed"] + found["question"] - found["residual"]
    assert np.sqrt(variance) == pytest.approx(fit.bse["Intercept"], rel=0.01)
