"""Agreement between judges, against published examples."""

from collections import Counter

import polars as pl
import pytest
import synthetic

from orchestrator import agreement
from orchestrator.agreement import alpha, kappa, percent


def test_cohen_s_kappa_of_a_textbook_table() -> None:
    pairs = {("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15}
    assert percent(pairs) == pytest.approx(70)
    assert kappa(pairs) == pytest.approx(0.4)


def test_krippendorff_s_alpha_of_his_own_examples() -> None:
    two = ("a a b b d c c c e d d a", "b a b b b c c c e d d d")
    assert alpha(Counter(zip(*(line.split() for line in two), strict=True))) == pytest.approx(0.692, abs=5e-4)
    four = (
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    )
    said = ([None if value == "." else value for value in line.split()] for line in four)
    assert alpha(Counter(zip(*said, strict=True))) == pytest.approx(0.743, abs=5e-4)


def test_where_nothing_can_be_disagreed_about_there_is_no_figure() -> None:
    assert kappa({("correct", "correct"): 9}) is None
    assert alpha({("correct", "correct"): 9}) is None
    assert alpha({("correct", None): 9}) is None
    assert alpha({("a", "b"): 1, ("b", "a"): 1}) == pytest.approx(-0.5)


def test_pairs_of_judges_and_all_of_them_by_persona() -> None:
    rows = synthetic.study(samples=2)[0].with_columns(wrong=pl.col("outcome") != "correct")
    lenient = rows.with_columns(
        judge=pl.lit("lenient"),
        outcome=pl.when(pl.col("persona") == "warm").then(pl.lit("correct")).otherwise("outcome"),
        wrong=pl.when(pl.col("persona") == "warm").then(False).otherwise("wrong"),
    )
    binary = rows.with_columns(
        judge=pl.lit("binary"), outcome=pl.when("wrong").then(pl.lit("incorrect")).otherwise("outcome")
    )
    found = agreement.agreement(pl.concat([rows, lenient, binary]))
    pair = found.filter(judges="lenient & rule", of="outcome")
    assert pair.filter(persona="plain").row(0)[3:] == (rows.filter(persona="plain").height, 100, 1, 1)
    assert pair.filter(persona="warm")["percent"][0] < 100
    assert pair.filter(persona="warm")["kappa"][0] == pytest.approx(0)
    assert found.filter(judges="binary & rule", of="error", persona="all").row(0)[3:] == (rows.height, 100, 1, 1)
    assert found.filter(judges="all judges", of="error", persona="plain")["alpha"].to_list() == [1]
    one = agreement.agreement(rows)
    assert one.is_empty()
    assert one.columns == found.columns
