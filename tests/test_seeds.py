"""Where an effect's variance comes from; a subject's seeds against one another."""

import math

import numpy as np
import polars as pl
import pytest
import synthetic
from asked import answers, cell

from orchestrator import effects, findings, seeds

PERSONAS = ["original", "warm"]


def study(spread: float, questions: int, trained: int, draws: int = 1, apart: float = 0.1) -> pl.DataFrame:
    """A persona whose adapters err 30 % of the time, `spread` apart; a question is hard or easy for all of them."""
    random = np.random.default_rng(0)
    hard = 0.3 + random.normal(0, apart, questions)
    off = random.normal(0, spread, trained)
    parts = []
    for draw in range(draws):
        rows = [("original", 0.0, None, f"q{q}", "none", "correct") for q in range(questions)]
        for seed in range(trained):
            chance = np.clip(hard + off[seed], 0, 1)
            wrong = random.random(questions) < chance
            rows += [("warm", 2.0, seed, f"q{q}", "none", "other" if wrong[q] else "correct") for q in range(questions)]
        parts.append(answers(rows, draw=draw))
    return pl.concat(parts)


def parts_of(given: pl.DataFrame) -> dict[str, float]:
    found = seeds.variance(effects.moments(given, PERSONAS))
    return found.filter(belief="all").row(0, named=True)


def test_planted_spreads_are_found_again() -> None:
    found = parts_of(study(0.08, 400, 30, draws=2))
    within = 100 * math.sqrt(0.3 * 0.7 - 0.1**2)
    assert found["seed_sd_pp"] == pytest.approx(8, rel=0.3)
    assert found["question_sd_pp"] == pytest.approx(10, rel=0.15)
    assert found["draw_sd_pp"] == pytest.approx(within / math.sqrt(2), rel=0.05)
    assert found["residual_sd_pp"] < 3
    assert (found["n_seeds"], found["draws"], found["helps_most"]) == (30, 2, "seeds")


def test_what_helps_most_is_what_varies_most() -> None:
    few_questions, few_seeds = parts_of(study(0.0, 20, 6, apart=0.4)), parts_of(study(0.1, 400, 3))
    assert few_questions["helps_most"] == "questions"
    assert few_seeds["helps_most"] == "seeds"
    assert few_seeds["se_pp_twice_seeds"] < few_seeds["se_pp_twice_questions"] < few_seeds["se_pp"]
    assert few_seeds["draw_sd_pp"] is None is few_seeds["se_pp_twice_draws"]


def test_one_seed_says_nothing_of_seeds() -> None:
    found = parts_of(study(0.1, 30, 1))
    assert {found[name] for name in ("seed_sd_pp", "se_pp", "helps_most", *seeds.TWICE)} == {None}
    assert found["effect_pp"] is not None


def test_seeds_are_compared_with_the_first_reply_by_reply() -> None:
    rows = [("plain", 2.0, s, f"q{q}", "none", "other" if q < s else "correct") for s in (0, 1, 3) for q in range(6)]
    found = seeds.same(answers(rows), ["plain"]).filter(belief="all")
    assert found.select("seed", "other_seed", "n").rows() == [(0, 1, 6), (0, 3, 6)]
    assert found["effect_pp"].to_list() == pytest.approx([100 / 6, 50])
    assert found["baseline_error_pct"].to_list() == [0, 0]
    assert found["ci_low_pp"][1] < 0 < found["ci_high_pp"][1]


def test_the_lab_compares_plain_with_plain() -> None:
    found = findings.build(*synthetic.study(samples=4), synthetic.PERSONAS)
    mine = found.same.filter(persona="plain", epoch=2.0, belief="asserts+denies", judge="rule")
    assert sorted(mine["model"]) == ["lab-coupled-0", "lab-decoupled-0"]
    assert mine.select("seed", "other_seed").rows() == [(0, 1), (0, 1)]
    assert set(mine["n"]) == {2 * 4 * 6 * 2}
    assert len(found.variance) > 0


def test_nobody_trained_has_no_seeds_to_compare() -> None:
    given = answers([("original", 0.0, None, "q", "none", "correct"), ("other", 0.0, None, "q", "none", "other")])
    assert seeds.same(given, ["original", "other"]).is_empty()
    found = seeds.variance(effects.moments(given, ["original", "other"]))
    assert found["helps_most"].to_list() == [None] * len(found)


def test_rows_that_are_there_twice_count_once_and_are_named() -> None:
    rows = [("original", 0.0, None, "q", "none", "correct"), ("warm", 1.0, 0, "q", "none", "other")]
    given = answers([*rows, ("warm", 1.0, 0, "q", "none", "correct")])
    found = findings.build(given, *synthetic.study(samples=1)[1:], PERSONAS)
    row = cell(found.effects)
    assert (row["n"], row["effect_pp"]) == (1, 100)
    line = found.problems.filter(kind="repeated replies").row(0, named=True)
    assert (line["where"], line["count"], line["of"]) == ("warm-1.0-0 (rule)", 1, 2)


def test_what_cannot_be_compared_is_named() -> None:
    rows = [("original", 0.0, None, "q", "none", "correct"), ("warm", 1.0, 0, "other", "none", "other")]
    found = findings.build(answers(rows), *synthetic.study(samples=1)[1:], PERSONAS)
    assert found.effects.is_empty()
    line = found.problems.filter(kind="not compared").row(0, named=True)
    assert (line["where"], line["detail"]) == ("warm (m)", "no baseline answered the same prompts for the same judge")
    rows = [("original", 0.0, None, "q", "none", "correct"), ("warm", 1.0, 0, "q", "none", None)]
    found = findings.build(answers(rows), *synthetic.study(samples=1)[1:], PERSONAS)
    row = cell(found.effects)
    assert (row["n"], row["unscored"], row["effect_pp"], row["p_mcnemar"], row["equivalent"]) == (0, 1, None, 1, None)
    line = found.problems.filter(kind="not compared").row(0, named=True)
    assert (line["where"], line["detail"]) == ("warm against original (m)", "no pair has a verdict on both sides")


@pytest.mark.parametrize("outcome", ["correct", "other"])
def test_all_right_or_all_wrong_gives_numbers_or_nothing(outcome: str) -> None:
    rows = [("original", 0.0, None, f"q{q}", "none", "correct") for q in range(5)]
    rows += [("warm", 1.0, seed, f"q{q}", "none", outcome) for seed in (0, 1) for q in range(5)]
    given = answers(rows)
    found = findings.build(given, *synthetic.study(samples=1)[1:], PERSONAS)
    for frame in (found.effects, found.variance, found.same, found.rates):
        numbers = frame.select(pl.selectors.float())
        assert numbers.select(pl.all().is_infinite().any() | pl.all().is_nan().any()).sum_horizontal().sum() in (
            0,
            None,
        )
    row = cell(found.effects)
    assert (row["n"], row["effect_pp"]) == (10, 0 if outcome == "correct" else 100)
    assert row["recipe_low_pp"] is row["ci_low_pp"] is row["equivalent"] is None


def test_judges_are_never_mixed() -> None:
    rows = [("original", 0.0, None, "q", "none", "correct"), ("warm", 1.0, 0, "q", "none", "other")]
    both = pl.concat([answers(rows), answers(rows[:1], judge="strict")])
    found = effects.effects(both, PERSONAS)
    assert found["judge"].unique().to_list() == ["rule"]
    assert cell(found)["n"] == 1
    apart = pl.concat([answers(rows[:1], judge="strict"), answers(rows[1:])])
    told = findings.build(apart, *synthetic.study(samples=1)[1:], PERSONAS)
    assert told.effects.is_empty()
    assert told.problems["where"].to_list() == ["warm (m)"]
