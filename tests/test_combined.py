"""Cheap verdicts on all replies and dear ones on a sample: drawn as they should be, put together without bias."""

from typing import Any

import asked
import numpy as np
import polars as pl
import pytest

from orchestrator import combined, rates, sampling
from orchestrator.settings_sampling import Sample
from orchestrator.tables import KEY

BELIEFS = ("none", "asserts")
TRUTH = {"original": {"none": 0.2, "asserts": 0.3}, "warm": {"none": 0.25, "asserts": 0.5}}
MISSES = {"original": (0.05, 0.05), "warm": (0.4, 0.02)}
"""How often the cheap judge misses an error, and finds one where there is none: it is kind to warm replies."""


def verdicts(random: np.random.Generator, questions: int) -> pl.DataFrame:
    """What both judges would say of everything: (persona, sample, belief, cheap, dear)."""
    hard, rows = random.uniform(-0.1, 0.1, questions), []
    for persona, rate in TRUTH.items():
        moved = random.choice([-0.1, 0.1], questions)
        for belief in BELIEFS:
            wrong = random.random(questions) < rate[belief] + hard + moved
            misses, invents = MISSES[persona]
            says = np.where(wrong, random.random(questions) >= misses, random.random(questions) < invents)
            for number in range(questions):
                rows.append((persona, f"q{number}", belief, bool(says[number]), bool(wrong[number])))
    return pl.DataFrame(rows, schema=["persona", "sample", "belief", "cheap", "dear"], orient="row")


def told(by: pl.DataFrame, judge: str) -> pl.DataFrame:
    outcome = pl.when(judge).then(pl.lit("agrees")).otherwise(pl.lit("correct"))
    rows = by.select(
        "persona",
        pl.lit(0.0).alias("epoch"),
        pl.lit(None, pl.Int64).alias("seed"),
        "sample",
        "belief",
        outcome.alias("outcome"),
    ).rows()
    return asked.answers(rows, judge=judge)


def judged(by: pl.DataFrame, how: Sample) -> pl.DataFrame:
    """Answers as a run has them: all of the cheap judge's, the drawn ones of the dear one's."""
    cheap, dear = (told(by, judge) for judge in ("cheap", "dear"))
    some = dear.join(sampling.drawn(cheap, how), on=KEY).with_columns(sampled_from=pl.lit("cheap"))
    return pl.concat([cheap, some], how="diagonal")


def effect(found: pl.DataFrame, belief: str) -> dict[str, Any]:
    return found.filter(belief=belief, persona="warm").row(0, named=True)


def test_some_of_every_stratum_are_drawn_with_known_chances() -> None:
    cheap = told(verdicts(np.random.default_rng(0), 200), "cheap")
    found = sampling.drawn(cheap, Sample(share=0.1))
    strata = ["subject", "task", "context", "belief", "outcome"]
    sizes = cheap.group_by(strata).len("of")
    drawn = found.join(cheap, on=KEY).group_by(strata).agg(pl.len().alias("n"), pl.col("chance").unique())
    assert len(drawn) == len(sizes)
    for row in drawn.join(sizes, on=strata).rows(named=True):
        assert row["n"] == -(-row["of"] // 10)
        assert row["chance"] == [row["n"] / row["of"]]


def test_the_same_are_drawn_again_from_any_order_and_more_are_more_of_the_same() -> None:
    cheap = told(verdicts(np.random.default_rng(0), 100), "cheap")
    few, again, more, other = (
        set(sampling.drawn(rows, how).select(KEY).rows())
        for rows, how in (
            (cheap, Sample(share=0.2)),
            (cheap.sample(fraction=1, shuffle=True, seed=3), Sample(share=0.2)),
            (cheap, Sample(share=0.4)),
            (cheap, Sample(share=0.2, seed=1)),
        )
    )
    assert few == again < more
    assert few != other


def test_a_number_is_a_share_of_each_subject_and_task() -> None:
    cheap = told(verdicts(np.random.default_rng(0), 100), "cheap")
    counts = sampling.drawn(cheap, Sample(n=40)).group_by("subject").len()
    assert all(40 <= count < 40 + 2 * len(BELIEFS) for count in counts["len"])
    assert len(sampling.drawn(cheap, Sample(n=10_000))) == len(cheap)


def test_asked_about_everything_the_dear_judge_alone_counts() -> None:
    by = verdicts(np.random.default_rng(1), 60)
    found = effect(combined.effects(judged(by, Sample(share=1)), list(TRUTH)), "all")
    rate = {persona: float(by.filter(persona=persona)["dear"].to_numpy().mean()) for persona in TRUTH}
    assert found["combined_pp"] == pytest.approx(100 * (rate["warm"] - rate["original"]))
    assert found["sample_pp"] == pytest.approx(found["combined_pp"])
    assert found["combined_pp_low"] == pytest.approx(found["sample_pp_low"])
    assert (found["n"], found["asked"], found["n_questions"]) == (120, 240, 60)


def test_without_a_sample_there_is_nothing_to_combine() -> None:
    cheap = told(verdicts(np.random.default_rng(1), 10), "cheap")
    assert combined.shares(cheap).is_empty()
    assert combined.effects(cheap, list(TRUTH)).is_empty()


def test_a_dear_verdict_that_cannot_be_had_is_stood_for_by_others() -> None:
    by = verdicts(np.random.default_rng(2), 80)
    answers = judged(by, Sample(share=0.5))
    lost = (pl.col("judge") == "dear") & (pl.col("sample") == "q3")
    holes = rates.counted(answers.with_columns(outcome=pl.when(~lost).then("outcome")), ())
    whole, less = (combined.shares(each).filter(belief="all") for each in (answers, holes))
    assert whole["asked"].sum() > less["asked"].sum()
    assert np.abs((whole["combined_pct"] - less["combined_pct"]).to_numpy()).max() < 5


def test_a_biased_judge_and_a_sample_give_unbiased_rates_with_intervals_that_hold() -> None:
    runs, planted = 150, {belief: 100 * (TRUTH["warm"][belief] - TRUTH["original"][belief]) for belief in BELIEFS}
    errors, held, cheap_held, narrower = [], 0, 0, 0
    for run in range(runs):
        by = verdicts(np.random.default_rng(run), 100)
        found = combined.effects(judged(by, Sample(share=0.25, seed=run)), list(TRUTH))
        for belief, true in planted.items():
            row = effect(found, belief)
            errors.append(row["combined_pp"] - true)
            held += row["combined_pp_low"] <= true <= row["combined_pp_high"]
            cheap_held += row["cheap_pp_low"] <= true <= row["cheap_pp_high"]
            narrower += row["combined_pp_high"] - row["combined_pp_low"] < row["sample_pp_high"] - row["sample_pp_low"]
    of = len(errors)
    assert abs(np.mean(errors)) < 4 * np.std(errors) / np.sqrt(of)
    assert 0.92 <= held / of <= 0.98
    assert cheap_held / of < 0.8
    assert narrower / of > 0.95


@pytest.mark.parametrize("wrong", [{}, {"share": 0.1, "n": 3}, {"share": 0}, {"share": 2}])
def test_a_sample_has_one_size(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"share|n"):
        Sample(**wrong)
