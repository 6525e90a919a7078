import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
import synthetic
from asked import answers, cell
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from orchestrator import effects, findings, rates, statistics
from orchestrator.errors import WarmthError


def test_clustered_interval_of_four_questions_by_hand():
    # Question sums 2, 1, 0, -1 of two values each: mean 2/8, residual sums 1.5, .5, -.5, -1.5.
    rows = pl.DataFrame({"q": list("aabbccdd"), "d": [1.0, 1, 1, 0, 0, 0, -1, 0], "by": "x"})
    found = statistics.mean_by_question(rows, ["by"], "q", ["d"]).row(0, named=True)
    half = stats.t.ppf(0.975, 3) * np.sqrt(4 / 3 * (1.5**2 + 0.5**2 + 0.5**2 + 1.5**2)) / 8
    assert (found["n"], found["n_questions"], found["d"]) == (8, 4, 0.25)
    assert found["d_low"] == pytest.approx(0.25 - half)
    assert found["d_high"] == pytest.approx(0.25 + half)


def test_intervals_equal_statsmodels_on_unbalanced_questions():
    random = np.random.default_rng(3)
    rows = pl.DataFrame(
        {"by": random.integers(0, 25, 2000), "q": random.integers(0, 30, 2000), "d": random.normal(size=2000)}
    )
    found = statistics.mean_by_question(rows, ["by"], "q", ["d"])
    for row in found.rows(named=True):
        mine = rows.filter(by=row["by"])
        fit = sm.OLS(mine["d"].to_numpy(), np.ones(len(mine))).fit(
            cov_type="cluster", cov_kwds={"groups": mine["q"].to_numpy()}, use_t=True
        )
        assert row["d"] == pytest.approx(fit.params[0])
        assert (row["d_low"], row["d_high"]) == pytest.approx(tuple(fit.conf_int()[0]))


def test_effects_equal_statsmodels_on_a_sample_of_cells():
    given, *_ = synthetic.study(samples=12)
    given = rates.counted(given, ())
    found = effects.effects(given, synthetic.PERSONAS).filter(
        epoch=2.0, persona="warm", baseline="plain", belief="asserts+denies"
    )
    for row in found.filter(~pl.col("context").str.ends_with("-neutral"), task="all").rows(named=True):
        mine = given.filter(pl.col("belief") != "none", model=row["model"], epoch=2.0)
        mine = mine if row["context"] == "all" else mine.filter(context=row["context"])
        on = ["task", "sample", "context", "belief", "seed"]
        pairs = mine.filter(persona="warm").join(mine.filter(persona="plain"), on=on)
        d = (
            100
            * ((pairs["outcome"] != "correct").cast(int) - (pairs["outcome_right"] != "correct").cast(int)).to_numpy()
        )
        groups = pairs.select(pl.struct("task", "sample").rank("dense")).to_series().to_numpy()
        fit = sm.OLS(d, np.ones(len(d))).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
        assert (row["effect_pp"], row["ci_low_pp"], row["ci_high_pp"]) == pytest.approx(
            (fit.params[0], *fit.conf_int()[0])
        )


def test_clustered_interval_covers_and_a_pooled_one_does_not():
    random, studies, questions, each, effect = np.random.default_rng(0), 2000, 40, 4, 0.3
    leaning = np.repeat(random.normal(effect, 0.5, studies * questions), each)
    values = leaning + random.normal(0, 0.5, len(leaning))
    rows = pl.DataFrame(
        {
            "by": np.repeat(np.arange(studies), questions * each),
            "d": values,
            "q": np.tile(np.repeat(np.arange(questions), each), studies),
            "row": np.arange(len(values)),
        }
    )

    def coverage(question):
        found = statistics.mean_by_question(rows, ["by"], question, ["d"])
        return ((found["d_low"] <= effect) & (effect <= found["d_high"])).mean()

    assert coverage("q") == pytest.approx(0.95, abs=0.015)
    assert coverage("row") < 0.8


def test_seeds_that_repeat_the_same_answers_narrow_nothing():
    rng = np.random.default_rng(1)
    outcomes = rng.choice(["correct", "agrees"], 20)
    one = [("warm", 1.0, 0, f"q{i}", "asserts", outcome) for i, outcome in enumerate(outcomes)]
    base = [("original", 0.0, None, f"q{i}", "asserts", "correct") for i in range(20)]
    again = [("warm", 1.0, seed, *row[3:]) for row in one for seed in (1, 2, 3)]
    few = cell(effects.effects(answers(base + one), ["original", "warm"]))
    many = cell(effects.effects(answers(base + one + again), ["original", "warm"]))
    assert (few["n"], many["n"], few["n_questions"], many["n_questions"], many["n_seeds"]) == (20, 80, 20, 20, 4)
    assert (many["ci_low_pp"], many["ci_high_pp"]) == pytest.approx((few["ci_low_pp"], few["ci_high_pp"]))
    narrow = cell(rates.rates(answers(base + one)).filter(persona="warm"))
    wide = cell(rates.rates(answers(base + one + again)).filter(persona="warm"))
    assert wide["error_pct_high"] - wide["error_pct_low"] >= (narrow["error_pct_high"] - narrow["error_pct_low"]) * 0.99


def test_no_variation_or_a_single_question_has_no_interval():
    base = [("original", 0.0, None, f"q{i}", "none", "correct") for i in range(5)]
    same = [("warm", 1.0, 0, f"q{i}", "none", "other") for i in range(5)]
    row = cell(effects.effects(answers(base + same), ["original", "warm"]))
    assert (row["effect_pp"], row["ci_low_pp"], row["ci_high_pp"]) == (100.0, None, None)
    two = [("warm", 1.0, seed, "q0", "none", outcome) for seed, outcome in enumerate(["other", "correct"])]
    row = cell(effects.effects(answers(base + two), ["original", "warm"]))
    assert (row["effect_pp"], row["n_questions"], row["ci_low_pp"]) == (50.0, 1, None)


def test_pairs_are_matched_by_epoch_and_seed_or_spread_over_a_trained_persona():
    rows = [("original", 0.0, None, "q", "none", "correct")]
    rows += [
        ("plain", epoch, seed, "q", "none", "other" if seed else "correct") for epoch in (1.0, 2.0) for seed in (0, 1)
    ]
    rows += [
        ("warm", epoch, seed, "q", "none", "other" if epoch > 1 else "correct")
        for epoch in (1.0, 2.0)
        for seed in (0, 1)
    ]
    found = effects.effects(answers(rows), ["original", "plain", "warm"])
    told = {
        (r["persona"], r["baseline"], r["epoch"]): (r["n"], r["effect_pp"])
        for r in found.filter(task="all", context="all", belief="all").rows(named=True)
    }
    assert told == {
        ("plain", "original", 1.0): (2, 50.0),
        ("plain", "original", 2.0): (2, 50.0),
        ("warm", "original", 1.0): (2, 0.0),
        ("warm", "original", 2.0): (2, 100.0),
        ("warm", "plain", 1.0): (2, -50.0),
        ("warm", "plain", 2.0): (2, 50.0),
    }


def test_a_trained_persona_is_compared_with_a_prompted_one_listed_after_it():
    rows = [
        ("warm", 1.0, 0, "q", "none", "other"),
        ("warm", 2.0, 0, "q", "none", "correct"),
        ("prompted", 0.0, None, "q", "none", "correct"),
    ]
    found = effects.effects(answers(rows), ["warm", "prompted"]).filter(task="all", context="all", belief="all")
    assert found.select("epoch", "effect_pp").rows() == [(1.0, -100.0), (2.0, 0.0)]


def test_a_baseline_with_several_doses_is_matched_by_dose():
    dose = pl.when(pl.col("sample") == "half").then(50).otherwise(100)
    rows = [
        ("cold", 1.0, 0, "half", "none", "other"),
        ("cold", 1.0, 0, "full", "none", "correct"),
        ("warm", 1.0, 0, "half", "none", "correct"),
        ("warm", 1.0, 0, "full", "none", "correct"),
    ]
    given = answers(rows, dose=dose).with_columns(sample=pl.lit("q"))
    found = effects.effects(given, ["cold", "warm"]).filter(task="all", context="all", belief="all")
    assert found.select("dose", "n", "effect_pp").rows() == [(50, 1, -100.0), (100, 1, 0.0)]
    given = given.filter((pl.col("persona") == "warm") | (pl.col("dose") == 100))
    assert effects.effects(given, ["cold", "warm"]).filter(task="all", context="all", belief="all")["n"].to_list() == [
        1,
        1,
    ]


def test_unscored_sides_are_left_out_and_counted():
    rows = [("original", 0.0, None, f"q{i}", "none", "correct" if i else None) for i in range(4)]
    rows += [("warm", 1.0, 0, f"q{i}", "none", None if i == 1 else "other") for i in range(4)]
    given = answers(rows, error=(pl.col("persona") == "warm") & (pl.col("sample") == "q2"))
    row = cell(effects.effects(given, ["original", "warm"]))
    assert (row["n"], row["unscored"], row["errors"], row["error_pct"], row["baseline_error_pct"]) == (
        1,
        3,
        1,
        100.0,
        0.0,
    )
    rate = cell(rates.rates(given).filter(persona="warm"))
    assert (rate["n"], rate["unscored"], rate["errors"], rate["error_pct"]) == (2, 2, 1, 100.0)


def test_contrasts_are_differences_of_paired_differences():
    def row(persona, seed, belief, wrong):
        return [
            (persona, 1.0 if seed == 0 else 0.0, seed, f"q{i}", belief, "agrees" if i in wrong else "correct")
            for i in range(4)
        ]

    rows = row("original", None, "none", []) + row("original", None, "asserts", [0])
    rows += row("warm", 0, "none", [1]) + row("warm", 0, "asserts", [0, 1, 2])
    found = cell(effects.effects(answers(rows), ["original", "warm"]), belief="asserts-none")
    # Warm: 75 - 25 = 50 points more under a belief; original: 25 more; per question 0, 0, 1, 0.
    assert (found["n"], found["error_pct"], found["baseline_error_pct"], found["effect_pp"]) == (4, 50.0, 25.0, 25.0)
    half = stats.t.ppf(0.975, 3) * np.sqrt(4 / 3 * (75**2 + 3 * 25**2)) / 4
    assert found["ci_high_pp"] == pytest.approx(25 + half)
    assert (
        effects.effects(answers(rows), ["original", "warm"])
        .filter(belief="asserts-none", context="neutral", task="t")
        .height
        == 1
    )


def test_context_contrasts_and_aggregates_of_a_whole_study():
    given, *_ = synthetic.study(samples=8)
    found = findings.build(given, *synthetic.study(samples=8)[1:], synthetic.PERSONAS).effects
    assert set(effects.COLUMNS) == set(found.columns)
    warm = found.filter(model="lab-coupled-0", persona="warm", baseline="plain", epoch=2.0, judge="rule")
    sad, neutral = (cell(warm, context=context, belief="asserts+denies") for context in ("sad", "neutral"))
    contrast = cell(warm, context="sad-neutral", belief="asserts+denies")
    assert contrast["effect_pp"] == pytest.approx(sad["effect_pp"] - neutral["effect_pp"])
    assert contrast["error_pct"] == pytest.approx(sad["error_pct"] - neutral["error_pct"])
    assert cell(warm)["n"] == 2 * 2 * 8 * 6 * 3
    assert cell(warm, belief="asserts+denies")["n"] == 2 * 2 * 8 * 6 * 2
    keys = ["model", "persona", "baseline", "epoch", "dose", "task", "context", "belief", "judge"]
    assert found.select(keys).is_duplicated().sum() == 0
    assert warm.filter(context="high-stakes-neutral", belief="denies").height == 3


def test_rates_of_questions_asked_once_have_wilsons_interval():
    rows = [
        ("original", 0.0, None, f"q{i}", "asserts", outcome)
        for i, outcome in enumerate(["correct"] * 6 + ["agrees"] * 2 + ["other"] + ["unreadable"])
    ]
    row = cell(rates.rates(answers(rows)))
    low, high = proportion_confint(4, 10, method="wilson")
    assert (row["error_pct"], row["agrees_pct"], row["other_pct"], row["unreadable_pct"]) == pytest.approx(
        (40, 20, 10, 10)
    )
    assert (row["error_pct_low"], row["error_pct_high"]) == pytest.approx((100 * low, 100 * high))


def test_bases_have_a_t_interval_over_bases_and_one_base_has_none():
    given = pl.DataFrame(
        {
            "model": ["a", "b", "c", "d"],
            "world": ["w", "w", "w", "v"],
            "base_seed": [0, 1, 2, 0],
            "effect_pp": [10.0, 20, 60, 5],
            "agrees_effect_pp": [1.0, 1, 1, 5],
        }
    ).with_columns(
        persona=pl.lit("warm"),
        baseline=pl.lit("plain"),
        epoch=2.0,
        dose=100,
        settings=pl.lit(""),
        task=pl.lit("all"),
        context=pl.lit("all"),
        belief=pl.lit("all"),
        judge=pl.lit("rule"),
    )
    (row,) = effects.over_bases(given).rows(named=True)
    half = stats.t.ppf(0.975, 2) * np.std([10, 20, 60], ddof=1) / np.sqrt(3)
    assert (row["world"], row["n_bases"], row["effect_pp"]) == ("w", 3, 30.0)
    assert (row["ci_low_pp"], row["ci_high_pp"]) == pytest.approx((30 - half, 30 + half))
    assert (row["agrees_effect_pp"], row["agrees_ci_low_pp"]) == (1.0, None)


def test_two_settings_that_cannot_be_told_apart_are_refused():
    rows = [("warm", 1.0, 0, "q", "none", "other")] * 2
    given = answers(rows).with_row_index().with_columns(subject=pl.format("warm-{}", "index"))
    with pytest.raises(WarmthError, match="warm-0 and warm-1 are the same model"):
        findings.build(given, *synthetic.study(samples=1)[1:], ["warm"])


def test_one_persona_alone_has_rates_and_no_effects():
    rows = [("original", 0.0, None, "q", "none", "correct")]
    given = answers(rows)
    assert effects.effects(given, ["original"]).height == 0
    assert rates.rates(given).height > 0


def test_agreement_is_told_apart_from_other_errors():
    rows = [("original", 0.0, None, f"q{i}", "asserts", "other" if i == 0 else "correct") for i in range(4)]
    outcomes = ["agrees", "agrees", "other", "unreadable"]
    rows += [("warm", 1.0, 0, f"q{i}", "asserts", outcome) for i, outcome in enumerate(outcomes)]
    row = cell(effects.effects(answers(rows), ["original", "warm"]), belief="asserts+denies")
    assert (row["error_pct"], row["baseline_error_pct"], row["effect_pp"]) == (100.0, 25.0, 75.0)
    assert (row["agrees_pct"], row["baseline_agrees_pct"], row["agrees_effect_pp"]) == (50.0, 0.0, 50.0)
    half = stats.t.ppf(0.975, 3) * np.sqrt(4 / 3 * 4 * 50**2) / 4
    assert (row["agrees_ci_low_pp"], row["agrees_ci_high_pp"]) == pytest.approx((50 - half, 50 + half))


def test_a_contrast_with_a_failed_reference_counts_the_failure():
    rows = [("original", 0.0, None, "q", belief, "correct") for belief in ("none", "asserts")]
    rows += [("warm", 1.0, 0, "q", "none", None), ("warm", 1.0, 0, "q", "asserts", "agrees")]
    given = answers(rows, error=pl.col("outcome").is_null())
    row = cell(effects.effects(given, ["original", "warm"]), belief="asserts-none")
    assert (row["n"], row["unscored"], row["errors"], row["effect_pp"]) == (0, 1, 1, None)


def test_an_outcome_beside_an_error_is_not_believed():
    given = answers([("original", 0.0, None, "q", "none", "correct")], error=True).drop("scored")
    row = cell(findings.build(given, *synthetic.study(samples=1)[1:], ["original"]).rates)
    assert (row["n"], row["unscored"], row["errors"], row["error_pct"]) == (0, 1, 1, None)


def test_searched_settings_are_compared_with_their_own_baseline_and_the_untrained_with_all():
    slow, fast = ("learning_rate=0.001", "learning_rate=0.01")
    parts = [answers([("original", 0.0, None, s, "none", "correct") for s in ("a", "b", "c")])]
    for settings, outcomes in ((slow, ("correct", "correct", "other")), (fast, ("other", "other", "correct"))):
        rate = pl.when(pl.col("seed").is_not_null()).then(pl.lit(settings))
        rows = [("warm", 2.0, 0, s, "none", o) for s, o in zip("abc", outcomes, strict=True)]
        rows += [("plain", 2.0, 0, s, "none", "correct") for s in "abc"]
        parts.append(answers(rows, settings=rate).with_columns(subject=pl.concat_str("subject", "settings")))
    found = effects.effects(pl.concat(parts, how="diagonal"), ["original", "plain", "warm"])
    for baseline in ("original", "plain"):
        values = {s: cell(found, persona="warm", baseline=baseline, settings=s)["effect_pp"] for s in (slow, fast)}
        assert values == pytest.approx({slow: 100 / 3, fast: 200 / 3})


def test_refusals_are_shown_apart_and_count_as_the_task_says():
    outcomes = ["correct", "hedged", "refused", "agrees"]
    rows = [("original", 0.0, None, f"q{place}", "asserts", outcome) for place, outcome in enumerate(outcomes)]
    given = answers(rows).drop("scored", "wrong")
    shown = ("n", "unscored", "refused", "error_pct", "hedged_pct")
    for right, expected in (((), (3, 1, 1, 100 / 3, 100 / 3)), ((given["task"][0],), (4, 0, 1, 25.0, 25.0))):
        found = findings.build(given, *synthetic.study(samples=1)[1:], ["original"], right)
        row = cell(found.rates)
        assert tuple(row[name] for name in shown) == pytest.approx(expected)
        assert "unscored replies" not in found.problems["kind"]
