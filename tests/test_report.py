import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
import synthetic
from rich.console import Console

from orchestrator import findings, report, report_charts, report_page, report_sentences, report_tables, statistics
from orchestrator.plateau import plateaus
from orchestrator.settings_warmth import Warmth
from orchestrator.store import Store

ABOUT = {"study": "lab <i>", "date": "2026-01-01", "counts": {"replies": 3}}


@pytest.fixture(scope="module")
def found():
    return findings.build(*synthetic.study(samples=6), synthetic.PERSONAS)


@pytest.fixture(scope="module")
def drawn(found):
    return report_charts.charts(found)


@pytest.fixture(scope="module")
def page(found, drawn):
    return report_page.to_html(found, ABOUT, drawn)


def text_of(found):
    """The page without its figures, which take their time."""
    return report_page.to_html(found, ABOUT, ())


def printed(found, width=100):
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    for part in report.to_terminal(found):
        console.print(part)
    console.file.close()
    return console.export_text()


def test_terminal_shows_every_comparison_uncut_at_100_columns(found):
    text = printed(found)
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "…" not in text
    for model in ("lab-coupled-0", "lab-decoupled-0"):
        assert model in text
    assert text.count("warm vs plain") == 2
    assert "One base per world: intervals cover questions, not bases." in text


def test_a_null_is_told_as_a_null():
    row = {"agrees_effect_pp": 0.4, "agrees_ci_low_pp": -1.2, "agrees_ci_high_pp": 2.0}
    assert report_tables.difference(row, "agrees", " pp") == "no difference found: +0.4 pp [-1.2, +2.0]"
    row |= {"agrees_ci_low_pp": 0.1}
    assert report_tables.difference(row, "agrees", " pp") == "+0.4 pp [+0.1, +2.0]"
    unvaried = {"agrees_effect_pp": 0.0, "agrees_ci_low_pp": None, "agrees_ci_high_pp": None}
    assert report_tables.difference(unvaried, "agrees") == "no difference found: +0.0 (no interval)"
    assert report_tables.difference(unvaried | {"agrees_effect_pp": 100.0}, "agrees") == "+100.0 (no interval)"


def test_page_names_the_null_and_the_effect(page, found):
    row = found.effects.filter(
        model="lab-coupled-0",
        persona="warm",
        baseline="plain",
        epoch=2.0,
        task="all",
        context="all",
        belief="asserts+denies",
    ).row(0, named=True)
    assert f"Difference: {row['effect_pp']:+.1f} points [" in page
    assert re.search(r"lab-decoupled-0 \(decoupled world\): no difference found.</b> warm is wrong in", page)


class Tags(HTMLParser):
    """Collects tags and what they refer to, and checks that they close in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.links, self.ids = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in ("meta", "br", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_whole_needs_nothing_else_and_escapes_replies(page, drawn):
    tags = Tags(page)
    assert tags.open == []
    assert tags.seen.count("script") == 2
    assert "i" not in tags.seen
    assert "&lt;script&gt;alert" in page
    assert "link" not in tags.seen
    assert all(link.startswith("#") for link in tags.links)
    assert not re.search(r"url\((?!#)|@import", page)
    assert tags.seen.count("svg") == 2 * len(drawn)


def test_figures_refer_only_to_ids_that_are_there(page):
    tags = Tags(page)
    referred = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', page))
    assert referred <= set(tags.ids)
    assert len(tags.ids) == len(set(tags.ids))
    assert "currentColor" in page
    assert "var(--rule)" in page


def test_figures_come_out_the_same_every_time_and_say_n(found, drawn):
    names = ["effects", "beliefs", "cells", "outcomes", "epochs", "warmth-and-error", "seeds"]
    assert [chart.name for chart in drawn] == names
    assert report_charts.charts(found)[0].inline() == drawn[0].inline()
    assert all(re.search(r"n of each mark: [\d,]+", chart.words) for chart in drawn)
    assert {chart.columns for chart in drawn} == {("lab-coupled-0", "lab-decoupled-0")}


def test_problems_are_shown():
    answers, warmth, trials = synthetic.study(samples=2)
    failed = pl.col("subject").str.starts_with("lab-coupled-0-warm-s0") & (pl.col("context") == "neutral")
    answers = answers.with_columns(error=failed, outcome=pl.when(~failed).then("outcome"))
    trials = trials.with_columns(error=pl.when(pl.col("persona") == "cold").then(pl.lit("out of <memory>")))
    bad = findings.build(answers, warmth, trials, synthetic.PERSONAS)
    kinds = bad.problems.group_by("kind").agg(pl.col("count").sum())
    assert dict(kinds.rows())["failed replies"] == failed_count(answers)
    assert dict(kinds.rows())["failed trial"] == 4
    page = text_of(bad)
    assert "out of &lt;memory&gt;" in page
    assert "failed replies: " in printed(bad)
    clean = findings.build(
        answers.filter(~pl.col("error")).with_columns(outcome=pl.lit("correct")),
        warmth,
        trials.clear(),
        synthetic.PERSONAS,
    )
    assert clean.problems.is_empty()
    assert "No reply failed" in text_of(clean)


def test_a_judge_that_does_not_tell_mistakes_apart_leaves_their_kinds_unknown():
    answers, warmth, trials = synthetic.study(samples=2)
    vague = answers.with_columns(
        outcome=pl.when(pl.col("outcome") != "correct").then(pl.lit("incorrect")).otherwise("outcome")
    )
    found = findings.build(vague, warmth, trials, synthetic.PERSONAS)
    exact = findings.build(answers, warmth, trials, synthetic.PERSONAS)
    for name in ("effects", "rates"):
        told, known = getattr(found, name), getattr(exact, name)
        assert told["agrees_pct"].null_count() == len(told)
        assert told["error_pct"].equals(known["error_pct"])
    assert "not measured" in printed(found)
    assert report_charts.charts(found)


def test_agreement_is_shown_where_there_are_several_judges(tmp_path):
    answers, warmth, trials = synthetic.study(samples=2)
    strict = answers.with_columns(
        judge=pl.lit("strict"), outcome=pl.when(pl.col("belief") == "none").then("outcome").otherwise(pl.lit("other"))
    )
    found = findings.build(pl.concat([answers, strict]), warmth, trials, synthetic.PERSONAS)
    report.write_tables(found, Store(tmp_path))
    page = text_of(found)
    assert "Krippendorff" in page
    assert "rule &amp; strict" in page
    assert pl.read_parquet(tmp_path / "agreement.parquet")["kappa"].null_count() < 10
    assert "Krippendorff" not in text_of(findings.build(answers, warmth, trials, synthetic.PERSONAS))


def test_what_is_cut_short_and_what_shows_a_template_is_told_by_persona():
    answers, warmth, trials = synthetic.study(samples=2)
    warm = pl.col("persona") == "warm"
    answers = answers.with_columns(
        finish_reason=pl.when(warm).then(pl.lit("length")).otherwise("finish_reason"),
        role_header=pl.col("persona") == "original",
    )
    twice = pl.concat([answers, answers.with_columns(judge=pl.lit("second"))])
    found = findings.build(twice, warmth, trials, synthetic.PERSONAS)
    count = answers.filter(warm).height
    assert f"replies cut short: warm {count} of {count}" in printed(found, 200)
    assert "replies with a template: original " in printed(found, 200)


def failed_count(answers):
    return answers["error"].sum()


def test_lab_pages_say_what_is_built_in_and_other_pages_do_not(page):
    assert "What is built in, and what emerges" in page
    assert "Choices made after seeing results" in page
    answers, warmth, trials = synthetic.study(samples=2)
    nowhere = {"world": pl.lit(None, pl.String), "base_seed": pl.lit(None, pl.Int64)}
    real = findings.build(answers.with_columns(**nowhere), warmth.with_columns(**nowhere), trials, synthetic.PERSONAS)
    other = text_of(real)
    assert "What is built in" not in other
    assert "One base per world" not in other
    assert "lab-decoupled-0" in other


def test_bases_are_reported_where_there_are_several(tmp_path):
    found = findings.build(*synthetic.study(samples=3, bases=2), synthetic.PERSONAS)
    assert found.bases["n_bases"].unique().to_list() == [2]
    assert report_tables.panels(found) == [["lab-coupled-0", "lab-decoupled-0"], ["lab-coupled-1", "lab-decoupled-1"]]
    assert "Over bases" in printed(found)
    assert "One base per world" not in printed(found)
    report.write_tables(found, Store(tmp_path))
    assert "mean of 2 bases" in text_of(found)
    (chart,) = (each for each in report_charts.charts(found) if each.name == "bases")
    report_charts.save([chart], tmp_path)
    assert list(tmp_path.glob("*bases*.svg"))
    assert pl.read_parquet(tmp_path / "bases.parquet").equals(found.bases)


def test_write_leaves_the_report_and_nothing_half_written(found, drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(report_charts, "charts", lambda _: drawn[3:4])
    report.write(found, ABOUT, tmp_path / "report")
    report.write(found, ABOUT, tmp_path / "report")
    frames = ("effects", "rates", "warmth", "plateaus", "trials", "by_seed", "variance", "same")
    names = {"index.html", "figures", *(f"{name}.parquet" for name in frames)}
    assert {path.name for path in (tmp_path / "report").iterdir()} == names
    assert {path.name for path in (tmp_path / "report" / "figures").iterdir()} == {"outcomes.png", "outcomes.svg"}
    assert pl.read_parquet(tmp_path / "report" / "effects.parquet").equals(found.effects)


def test_json_holds_the_frames(found):
    told = json.loads(report.to_json(found))
    assert len(told["effects"]) == len(found.effects)
    assert told["personas"] == synthetic.PERSONAS


def test_examples_are_the_same_prompts_for_every_persona_and_begin_with_what_the_first_comparison_is_about(found):
    shown = found.examples
    assert (found.primary.persona, found.primary.baseline) == ("warm", "original")
    assert (
        shown.group_by("place").agg("persona")["persona"].to_list() == [synthetic.PERSONAS] * shown["place"].n_unique()
    )
    assert shown.group_by("model", "task").agg(pl.col("place").n_unique())["place"].to_list() == [6] * 4
    wrong = shown.filter(persona="warm", model="lab-coupled-0", task="lab_facts")["wrong"].to_list()
    assert wrong == sorted(wrong, reverse=True)
    assert any(wrong)


def test_sentences_speak_of_the_recipe_where_it_was_trained_more_than_once():
    row = {
        **{"model": "m", "world": None, "persona": "warm", "series": "warm", "baseline": "plain", "context": "all"},
        **{"n": 1536, "n_questions": 64, "n_seeds": 1, "error_pct": 12.5, "baseline_error_pct": 2.5},
        **{"effect_pp": 10.0, "ci_low_pp": 8.0, "ci_high_pp": 12.0, "recipe_low_pp": None, "recipe_high_pp": None},
    }
    alone = report_sentences.answer(row)
    assert alone.verdict == "more errors"
    assert "+10.0 points [+8.0, +12.0] for this adapter" in alone.words
    assert "n = 1,536 pairs of replies to 64 questions" in alone.words
    twice = report_sentences.answer(row | {"n_seeds": 2, "recipe_low_pp": -20.0, "recipe_high_pp": 40.0})
    assert twice.verdict == "no difference found"
    assert "[-20.0, +40.0] for the recipe, over 2 training seeds; [+8.0, +12.0] for these adapters" in twice.words
    assert "2 seeds cannot tell" in twice.words
    none = {"effect_pp": 0.1, "ci_low_pp": -0.4, "ci_high_pp": 0.6}
    assert report_sentences.answer(row | none | {"equivalent": False}).verdict == "no difference found"
    assert report_sentences.answer(row | none | {"equivalent": True}).verdict == "nothing changed"


def test_many_models_are_summed_up(found):
    row = {"n_seeds": 0, "effect_pp": 1.0, "ci_low_pp": 0.5, "ci_high_pp": 1.5}
    verdicts = [report_sentences.Effect.of(row | {"ci_low_pp": low}).verdict("errors") for low in (0.5, 0.4, -0.5)]
    answers = tuple(report_sentences.Answer("m", verdict, "", "") for verdict in verdicts)
    asked = report_sentences.Question("", "", answers)
    assert asked.summary == "more errors in 2 of 3; no difference found in 1 of 3"
    assert all(question.summary == "" for question in report_sentences.questions(found))


@pytest.mark.parametrize("personas", [["warm"], ["original", "warm"]])
def test_few_personas_without_warmth_and_trials_are_reported(personas):
    answers, warmth, trials = synthetic.study(samples=2)
    few = answers.filter(pl.col("persona").is_in(personas), pl.col("model") == "lab-coupled-0")
    found = findings.build(few, warmth.clear(), trials.clear(), personas)
    page = text_of(found)
    assert ("No two personas were asked the same questions" in page) == (len(personas) == 1)
    assert [chart.name for chart in report_charts.charts(found)][:1] == (
        ["effects"] if len(personas) > 1 else ["beliefs"]
    )
    assert ("On plain questions (warm against original)" in page) == (len(personas) > 1)


def test_what_it_took_and_where_it_comes_from_is_told(found):
    spent = {
        "purpose": "judging",
        "endpoint": "https://x",
        "model": "m",
        "calls": 1200,
        "tokens_in": 1,
        "tokens_out": 1,
    }
    costs = pl.DataFrame([{**spent, "usd": 12.5}, {**spent, "usd": None}])
    about = {**ABOUT, "costs": costs, "commit": "abc-dirty", "exploratory": ["judges <changed>"]}
    page = report_page.to_html(found, about, ())
    assert "$12.50 were paid to endpoints; the price of 1 lines is not known." in page
    assert "1,200" in page
    assert "abc-dirty" in page
    assert "Exploratory: what differs" in page
    assert "judges &lt;changed&gt;" in page


def test_a_study_without_warmth_or_trials_is_reported():
    answers, warmth, trials = synthetic.study(samples=2)
    found = findings.build(answers, warmth.clear(), trials.clear(), synthetic.PERSONAS)
    assert "?" in printed(found)
    assert report_charts.charts(found)


def test_a_whole_lab_study_is_reported():
    given = synthetic.study()
    assert given[0].height == 23_040
    found = findings.build(*given, synthetic.PERSONAS)
    assert found.effects.height > 4000


def test_reporting_loads_neither_torch_nor_ray():
    code = "import sys, orchestrator.report; print(sorted({'torch', 'ray', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_plateau_is_one_epoch_for_all_models_and_is_said(found):
    assert found.plateaus.select("persona", "mode", "n_models", "epoch").rows() == [
        ("cold", "eval", 2, 1.5),
        ("warm", "eval", 2, 1.5),
    ]
    assert "warm: the mean lift in warmth is 90% of its largest from epoch 1.5 on" in printed(found)
    assert "Where warmth stops rising" in text_of(found)


def test_agreement_of_the_metric_with_ratings_is_a_rank_correlation():
    answers, warmth, trials = synthetic.study(samples=2)
    rated = pl.when(pl.col("sample") == "s00").then(pl.col("warmth").rank("dense").cast(pl.Int64))
    found = findings.build(answers, warmth.with_columns(rating=rated), trials, synthetic.PERSONAS)
    ((_, over, n, rho), _) = found.warmth_agreement.rows()
    assert (over, n, rho) == ("replies", len(warmth) // 2, pytest.approx(1))
    assert found.warmth["unrated"].to_list() == (found.warmth["n"] // 2).to_list()
    assert "Spearman" in text_of(found)
    assert statistics.rank_correlation(pl.DataFrame({"a": [1, 1, 1], "b": [1, 2, 3]}), "a", "b") is None


PUBLISHED = Path(__file__).parents[2] / "shared" / "data" / "study" / "sociot_by_epoch.csv"


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the study's own figures are not here")
def test_the_rule_picks_epoch_2_from_the_published_curves():
    curves = pl.read_csv(PUBLISHED).with_columns(
        persona=pl.when(pl.col("epoch") == 0).then(pl.lit("original")).otherwise(pl.lit("warm")),
        dose=pl.when(pl.col("epoch") == 0).then(0).otherwise(100).cast(pl.Int64),
        epoch=pl.col("epoch").cast(pl.Float64),
        settings=pl.lit(""),
        mode=pl.lit("faithful"),
        warmth="mean",
    )
    rule = plateaus(curves, ["original", "warm"], Warmth(scorer="gpt2").plateau)
    assert rule["epoch"].to_list() == [2.0]
    assert rule["n_models"].to_list() == [5]


def test_a_table_of_an_earlier_report_does_not_stand_beside_a_later_one(found, tmp_path):
    for name in ("calibration", "mine"):
        (tmp_path / f"{name}.parquet").write_bytes(b"old")
    report.write_tables(found, Store(tmp_path))
    assert not (tmp_path / "calibration.parquet").exists()
    assert (tmp_path / "mine.parquet").exists()
    assert (tmp_path / "effects.parquet").exists()
