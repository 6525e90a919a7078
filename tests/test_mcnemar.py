"""Exact tests of pairs, corrected within families."""

import math

import numpy as np
import polars as pl
import pytest
from asked import answers, cell
from statsmodels.stats.contingency_tables import mcnemar as exact
from statsmodels.stats.multitest import multipletests

from orchestrator import effects, mcnemar
from orchestrator.settings_analysis import Analysis

PERSONAS = ["original", "warm"]


def test_p_values_are_statsmodels_exact_ones() -> None:
    counts = [(0, 0), (0, 1), (3, 3), (10, 2), (2, 10), (400, 361), (0, 900)]
    found = mcnemar.p_values(*(pl.Series(each) for each in zip(*counts, strict=True)))
    for p, (b, c) in zip(found, counts, strict=True):
        expected = exact([[5, b], [c, 5]], exact=True).pvalue if b + c else 1
        assert p == pytest.approx(expected)


def test_sizes_are_the_published_one_and_the_textbook_one_and_never_infinite() -> None:
    rows = pl.DataFrame({"b": [30, 5, 7, 0], "c": [10, 5, 0, 0]})
    found = rows.select(**mcnemar.sizes("b", "c"))
    assert found["odds_ratio"].to_list() == [3, 1, None, None]
    assert found["g_published"].to_list() == pytest.approx([20 / math.sqrt(40), 0, math.sqrt(7), None])
    assert found["cohens_g"].to_list() == [0.25, 0, 0.5, None]


def test_correction_is_statsmodels_within_each_family() -> None:
    random = np.random.default_rng(0)
    rows = pl.DataFrame({"model": random.integers(0, 3, 60), "task": random.integers(0, 2, 60)})
    always = {name: pl.lit(None, pl.String) for name in mcnemar.ALWAYS}
    rows = rows.with_columns(p=random.random(60) ** 3, **always)
    rows = rows.with_columns(p=pl.when(pl.int_range(pl.len()) % 7 > 0).then("p"))
    found = rows.with_columns(q=mcnemar.corrected(rows, "p", ["model", "task"]))
    assert found["q"].null_count() == rows["p"].null_count() > 0
    for _, family in found.drop_nulls("p").group_by("model", "task"):
        expected = multipletests(family["p"].to_numpy(), method="fdr_bh")[1]
        assert family["q"].to_numpy() == pytest.approx(expected)


def asked(contexts: int, forms: tuple[str, ...] = ("none",)) -> pl.DataFrame:
    """Questions in several contexts; the persona errs more often the later the context."""
    random = np.random.default_rng(1)
    parts = []
    for place in range(contexts):
        rows = [
            (who, epoch, seed, f"q{q}", form, "other" if random.random() < rate else "correct")
            for who, epoch, seed, rate in (("original", 0.0, None, 0.2), ("warm", 2.0, 0, 0.2 + 0.04 * place))
            for form in forms
            for q in range(60)
        ]
        parts.append(answers(rows, context=f"c{place}"))
    return pl.concat(parts)


def test_cells_of_a_task_are_corrected_together_and_aggregates_not_at_all() -> None:
    found = effects.effects(asked(5), PERSONAS)
    cells = found.filter(pl.col("context") != "all", task="t", belief="none")
    assert len(cells) == 5
    p, q = cells["p_mcnemar"].to_numpy(), cells["q_mcnemar"].to_numpy()
    assert q == pytest.approx(multipletests(p, method="fdr_bh")[1])
    assert cells["p_questions"].to_list() == pytest.approx(p)
    for row in cells.rows(named=True):
        assert row["p_mcnemar"] == pytest.approx(exact([[0, row["b"]], [row["c"], 0]], exact=True).pvalue)
        assert row["effect_pp"] == pytest.approx(100 * (row["b"] - row["c"]) / row["n"])
    rest = found.filter((pl.col("context") == "all") | (pl.col("task") == "all") | (pl.col("belief") == "all"))
    assert rest["q_mcnemar"].null_count() == len(rest)
    alone = effects.effects(asked(5), PERSONAS, Analysis(families=("model", "task", "context", "belief")))
    cells = alone.filter(pl.col("context") != "all", task="t", belief="none")
    assert cells["q_mcnemar"].to_list() == pytest.approx(cells["p_mcnemar"].to_list())


def test_both_forms_of_a_belief_are_two_pairs_but_one_question() -> None:
    given = asked(1, ("asserts", "denies"))
    row = cell(effects.effects(given, PERSONAS), task="t", context="c0", belief="asserts+denies")
    errors = given.pivot("persona", index=["sample", "belief"], values="wrong", aggregate_function="first")
    b = errors.filter("warm", ~pl.col("original"))
    c = errors.filter(~pl.col("warm"), pl.col("original"))
    assert (row["b"], row["c"]) == (len(b), len(c))
    net = (
        errors.with_columns(pl.col("warm", "original").cast(int))
        .group_by("sample")
        .agg(pl.col("warm", "original").sum())
    )
    more, fewer = ((net["warm"] > net["original"]).sum(), (net["warm"] < net["original"]).sum())
    assert row["p_questions"] == pytest.approx(exact([[0, more], [fewer, 0]], exact=True).pvalue)
    assert row["q_questions"] == row["p_questions"]


def test_contrasts_have_no_pairs_of_verdicts() -> None:
    found = effects.effects(asked(1, ("none", "asserts")), PERSONAS).filter(belief="asserts-none")
    assert len(found) > 0
    assert all(found[name].null_count() == len(found) for name in effects.TESTS)
