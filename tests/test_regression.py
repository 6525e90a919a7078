"""`warmth fit`: any binomial formula over a run's rows, equal to statsmodels over single rows, and safe to be given."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
import synthetic
from click.testing import CliRunner

import orchestrator
from orchestrator import formulas, rates, regression, regression_bootstrap, regression_design, regression_rows
from orchestrator import regression_solve as solving
from orchestrator.__main__ import main
from orchestrator.errors import WarmthError
from orchestrator.regression_text import to_json, to_terminal

FORMULAS = [
    "incorrect ~ fine_tuned * belief + task + model",
    "incorrect ~ persona + context + belief_form",
    "incorrect ~ fine_tuned + task + model + reply_length",
    "incorrect ~ log(reply_length) * fine_tuned + C(context, Treatment('neutral'))",
    "incorrect ~ 1",
    *(formulas.NAMED[name].formula for name in ("M2", "M4")),
]


@pytest.fixture(scope="module")
def answers() -> pl.DataFrame:
    """Counted answers, some of which failed, refused or have no verdict; replies are of any length."""
    random = np.random.default_rng(5)
    found = synthetic.study(samples=12)[0].filter((pl.col("epoch") != 1.5) & (pl.col("epoch") != 1.0))
    fate = pl.Series(random.choice(["kept", "failed", "refused", "unread"], len(found), p=[0.97, 0.01, 0.01, 0.01]))
    slip = pl.Series(random.random(len(found)) < 0.2)
    said = pl.when(slip).then(pl.lit("other")).otherwise("outcome")
    outcome = pl.when(fate == "kept").then(said).when(fate == "refused").then(pl.lit("refused"))
    lengths = pl.Series(random.integers(1, 900, len(found)))
    reply = pl.lit("é").repeat_by(lengths).list.join("")
    marked = found.with_columns(outcome=outcome, error=fate == "failed", reply=reply)
    return rates.counted(marked, ())


def as_pandas(answers: pl.DataFrame, **rows: Any) -> pd.DataFrame:
    """The same rows, put together by hand."""
    groups = {"neutral": "unmodified", "close": "relation", "high-stakes": "stake"}
    kept = answers.filter("scored", pl.col("epoch").is_in([0.0, 2.0]))
    columns = {
        "incorrect": kept["wrong"].cast(pl.Int64).to_numpy(),
        "fine_tuned": (kept["persona"] != "original").cast(pl.Int64).to_numpy(),
        "belief": kept["belief"].is_in(["asserts", "denies"]).cast(pl.Int64).to_numpy(),
        "belief_form": kept["belief"].to_list(),
        "context_group": [groups.get(context, "emotion") for context in kept["context"]],
        "question": [f"{task}/{sample}" for task, sample in kept.select("task", "sample").iter_rows()],
        "reply_length": [len(reply) for reply in kept["reply"]],
        **{name: kept[name].to_list() for name in ("context", "task", "model", "persona")},
    }
    frame = pd.DataFrame(columns)
    for name, value in rows.items():
        frame = frame[frame[name] == value]
    return frame.reset_index(drop=True)


def by_rows(formula: str, frame: pd.DataFrame, cluster: str | None) -> Any:
    """statsmodels' own fit, row by row."""
    how = {"cov_type": "cluster", "cov_kwds": {"groups": pd.factorize(frame[cluster])[0]}} if cluster else {}
    return smf.glm(formula, frame, family=sm.families.Binomial(), eval_env={"log": np.log}).fit(tol=1e-10, **how)


@pytest.mark.parametrize("cluster", [None, "question"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_a_fit_equals_that_of_statsmodels_row_by_row(answers: pl.DataFrame, formula: str, cluster: str | None) -> None:
    found = regression.fit(answers, formula, cluster)
    frame = as_pandas(answers)
    wanted = by_rows(formula, frame, cluster)
    mine = found.coefficients
    assert found.n == len(frame)
    assert mine["term"].to_list() == list(wanted.params.index)
    np.testing.assert_allclose(mine["estimate"], wanted.params, atol=1e-6)
    np.testing.assert_allclose(mine["se"], wanted.bse, rtol=1e-4)
    np.testing.assert_allclose(mine["p"], wanted.pvalues, rtol=1e-3, atol=1e-12)


@pytest.mark.parametrize("name", formulas.NAMED)
def test_the_published_models_are_fitted_to_their_rows(answers: pl.DataFrame, name: str) -> None:
    found = regression.fit(answers, name, "question", ["warm"])
    frame = as_pandas(answers, **formulas.NAMED[name].rows)
    frame = frame[frame["persona"].isin(["original", "warm"])]
    assert (found.name, found.n, found.personas) == (name, len(frame), ["original", "warm"])
    wanted = by_rows(formulas.NAMED[name].formula, frame, "question")
    np.testing.assert_allclose(found.coefficients["se"], wanted.bse, rtol=1e-4)


def test_m4_has_a_slope_of_belief_for_either_persona_and_no_main_effect(answers: pl.DataFrame) -> None:
    frame = as_pandas(answers)
    frame = frame[frame["persona"].isin(["original", "warm"])]
    tuned, believed = frame["fine_tuned"], frame["belief"]
    columns = {
        f"{name}={level}": frame[name] == level for name in ("task", "model") for level in sorted(set(frame[name]))[1:]
    }
    columns |= {level: frame["context_group"] == level for level in ("emotion", "relation", "stake")}
    columns |= {"constant": 1, "tuned": tuned, "original's": (1 - tuned) * believed, "warm's": tuned * believed}
    design = pd.DataFrame(columns, index=frame.index).astype(float)
    wanted = sm.Logit(frame["incorrect"], design).fit(disp=0, tol=1e-12)
    found = regression.fit(answers, "M4", personas=["warm"])
    terms = dict(found.coefficients.select("term", "estimate").iter_rows())
    assert "belief" not in terms
    assert terms["fine_tuned"] == pytest.approx(wanted.params["tuned"], abs=1e-6)
    assert terms["C(fine_tuned)[0]:belief"] == pytest.approx(wanted.params["original's"], abs=1e-6)
    assert terms["C(fine_tuned)[1]:belief"] == pytest.approx(wanted.params["warm's"], abs=1e-6)
    for value in (0, 1):  # the study's effects in points: tuned and not, over the rows with a belief, and without
        rows = design[believed == value]
        after = rows.assign(**{"tuned": 1, "original's": 0, "warm's": value})
        before = rows.assign(**{"tuned": 0, "original's": value, "warm's": 0})
        points = 100 * (wanted.predict(after) - wanted.predict(before)).mean()
        row = effect(found, "fine_tuned", where=f"belief = {value}")
        assert row["estimate"] == pytest.approx(points, abs=1e-6)
        assert row["n"] == len(rows)


def effect(fit: regression.Fit, variable: str, where: str = "all") -> dict[str, Any]:
    """The first effect of a column over these rows."""
    return fit.marginal_effects_pp.filter(variable=variable, where=where).row(0, named=True)


@pytest.mark.parametrize("cluster", [None, "question"])
def test_effects_in_points_and_their_errors_equal_statsmodels(answers: pl.DataFrame, cluster: str | None) -> None:
    formula = "incorrect ~ fine_tuned + belief + task + reply_length"
    found = regression.fit(answers, formula, cluster)
    frame = as_pandas(answers)
    how = {"cov_type": "cluster", "cov_kwds": {"groups": pd.factorize(frame["question"])[0]}} if cluster else {}
    wanted = smf.logit(formula, frame).fit(disp=0, tol=1e-12, **how).get_margeff(dummy=True).summary_frame()
    for variable, scale in (("fine_tuned", 100), ("belief", 100), ("reply_length", 100 * 100)):
        row = effect(found, variable)
        assert row["estimate"] == pytest.approx(scale * wanted.loc[variable, "dy/dx"], rel=1e-5)
        assert row["se"] == pytest.approx(scale * wanted.loc[variable, "Std. Err."], rel=1e-4)
        assert row["low"] == pytest.approx(scale * wanted.loc[variable, "Conf. Int. Low"], rel=1e-4, abs=1e-4)


def test_the_effect_in_a_context_is_tested_by_the_sum_of_its_coefficients(answers: pl.DataFrame) -> None:
    formula = formulas.NAMED["M3"].formula
    found = regression.fit(answers, "M3", "question", ["warm"])
    frame = as_pandas(answers, belief=0)
    wanted = by_rows(formula, frame[frame["persona"].isin(["original", "warm"])], "question")
    sad = wanted.t_test("fine_tuned + fine_tuned:C(context, Treatment('neutral'))[T.sad] = 0")
    row = effect(found, "fine_tuned", where="context = sad")
    assert row["log_odds"] == pytest.approx(sad.effect.item(), abs=1e-6)
    assert row["p"] == pytest.approx(sad.pvalue.item(), rel=1e-3)
    context = found.marginal_effects_pp.filter(variable="context", where="all")
    assert set(context["reference"]) == {"neutral"}


def test_the_bootstrap_fits_each_draw_of_questions(answers: pl.DataFrame) -> None:
    formula = "incorrect ~ fine_tuned * belief + model"
    rows = regression_rows.rows(answers).frame.filter(regression_rows.LastCheckpoints)
    cells = regression_rows.count(rows, ["fine_tuned", "belief", "model"], "question")
    solved = solving.solve(regression_design.design(formula, cells.patterns), cells, clustered=True)
    found = regression_bootstrap.bootstrap(solved, draws=2, seed=3)
    questions = rows["question"].unique().sort().cast(pl.String).to_list()
    frame = rows.select("incorrect", "fine_tuned", "belief", pl.col("model", "question").cast(pl.String)).to_pandas()
    even = np.full(len(questions), 1 / len(questions))
    draws = np.random.default_rng(3).multinomial(len(questions), even, 2)
    fits = [
        smf.glm(
            formula,
            frame,
            family=sm.families.Binomial(),
            freq_weights=frame["question"].map(dict(zip(questions, draw, strict=True))).to_numpy(),
        ).fit(tol=1e-12)
        for draw in draws
    ]
    np.testing.assert_allclose(found["se"], np.std([fit.params for fit in fits], axis=0, ddof=1), rtol=1e-5)


def test_the_bootstrap_bears_out_clustered_errors_and_comes_out_the_same_twice(answers: pl.DataFrame) -> None:
    formula = "incorrect ~ fine_tuned * belief"
    found, again = (regression.fit(answers, formula, "question", check="bootstrap") for _ in range(2))
    assert found.check is not None
    assert again.check is not None
    assert found.check.equals(again.check)
    assert found.check["draws"].min() > 900
    np.testing.assert_allclose(found.check["se"], found.coefficients["se"], rtol=0.35)


def test_rows_left_out_are_counted_by_why(answers: pl.DataFrame) -> None:
    found = regression.fit(answers, "M1", personas=["warm"])
    mine = answers.filter(pl.col("persona").is_in(["original", "warm"]))
    assert found.left_out["failed"] == mine["error"].sum()
    assert found.left_out["refused"] == mine.filter(outcome="refused").height
    assert found.left_out["no verdict"] == mine.filter(pl.col("outcome").is_null() & ~pl.col("error")).height
    assert found.n + sum(found.left_out.values()) == len(mine)
    seeds = regression.fit(answers, "incorrect ~ C(seed) + epoch", personas=["warm"])
    assert seeds.left_out["no seed"] == mine.filter("scored", persona="original").height
    assert "earlier checkpoints" not in seeds.left_out


def test_a_level_that_is_always_right_has_no_finite_estimate_and_the_rest_is_what_it_tends_to(
    answers: pl.DataFrame,
) -> None:
    right = answers.with_columns(wrong=pl.col("wrong") & (pl.col("context") != "sad"))
    found = regression.fit(right, "incorrect ~ fine_tuned + context", "question", check="bootstrap")
    (sad,) = found.coefficients.filter(term="context[T.sad]").to_dicts()
    assert (sad["estimate"], sad["se"], sad["note"]) == (None, None, "no finite estimate")
    without = regression.fit(right.filter(pl.col("context") != "sad"), "incorrect ~ fine_tuned + context", "question")
    rest = found.coefficients.filter(pl.col("term") != "context[T.sad]")
    np.testing.assert_allclose(rest["estimate"], without.coefficients["estimate"], atol=1e-9)
    assert any("separation" in note for note in found.notes)
    assert found.left_out["separated"] == as_pandas(right, context="sad").shape[0]
    assert found.coefficients.drop_nulls("estimate")["estimate"].abs().max() < 10  # type: ignore[operator]


def test_a_reference_that_is_always_wrong_takes_the_intercept_along(answers: pl.DataFrame) -> None:
    wrong = answers.with_columns(wrong=pl.col("wrong") | (pl.col("task") == "lab_facts"))
    found = regression.fit(wrong, "incorrect ~ fine_tuned + task")
    lacking = found.coefficients.filter(pl.col("estimate").is_null())["term"].to_list()
    assert lacking == ["Intercept", "task[T.lab_rumours]"]
    alone = regression.fit(wrong.filter(task="lab_rumours"), "incorrect ~ fine_tuned")
    assert found.coefficients.filter(term="fine_tuned")["estimate"].item() == pytest.approx(
        alone.coefficients.filter(term="fine_tuned")["estimate"].item(), abs=1e-9
    )


def test_terms_that_follow_from_others_are_named(answers: pl.DataFrame) -> None:
    found = regression.fit(answers, "incorrect ~ fine_tuned + persona")
    notes = dict(found.coefficients.select("term", "note").iter_rows())
    assert notes["fine_tuned"] == "follows from the terms before it"
    assert effect(found, "fine_tuned")["estimate"] is None
    alone = regression.fit(answers, "incorrect ~ persona")
    assert found.coefficients.filter(pl.col("note").is_null())["estimate"].to_list() == pytest.approx(
        alone.coefficients["estimate"].to_list()
    )


@pytest.mark.parametrize(
    ("change", "formula", "cluster", "said"),
    [
        (pl.lit(True), "incorrect ~ task", None, "each of the .* replies is wrong"),
        (pl.col("persona") == "warm", "incorrect ~ persona", None, "tell right from wrong without fail"),
        (pl.lit(None, pl.Boolean), "M1", None, "no reply is left to fit"),
        (pl.col("wrong"), "M1", "qestion", "did you mean 'question'"),
        (pl.col("wrong"), "incorrect ~ log(reply_length - 900)", None, "no finite number"),
        (pl.col("wrong"), "incorrect ~ log(task)", None, "cannot be worked out"),
        (pl.col("wrong"), "incorrect ~ C(task, Treatment('x'))", None, "level 'x' not found"),
        (pl.col("wrong"), "incorrect ~ question * context * persona * belief_form", None, "too many"),
        (pl.col("wrong"), "incorrect ~ 0", None, "no term is left"),
    ],
)
def test_what_cannot_be_fitted_says_why(
    answers: pl.DataFrame, change: pl.Expr, formula: str, cluster: str | None, said: str
) -> None:
    changed = answers.with_columns(wrong=change)
    changed = changed.with_columns(scored=pl.col("scored") & pl.col("wrong").is_not_null())
    with pytest.raises(WarmthError, match=said):
        regression.fit(changed, formula, cluster)


def test_one_question_and_several_judges_are_said(answers: pl.DataFrame) -> None:
    with pytest.raises(WarmthError, match="of one cluster"):
        regression.fit(answers.filter(task="lab_facts", sample="s00"), "incorrect ~ belief", "question")
    both = pl.concat([answers, answers.with_columns(judge=pl.lit("other"))])
    with pytest.raises(WarmthError, match="other, rule; name one"):
        regression.fit(both, "M1")
    assert regression.fit(both, "M1", judge="other").judge == "other"
    with pytest.raises(WarmthError, match="did you mean 'warm'"):
        regression.fit(answers, "M1", personas=["wram"])


HARMFUL = [
    "__import__('os').system('touch {}')",
    "C(__import__('os').system('touch {}'))",
    "task.__class__",
    "model[0]",
    "open('{}', 'w')",
    "(lambda: open('{}', 'w'))()",
    "[open('{}', 'w') for x in (1,)]",
    "f'{{open}}'",
    "C(eval)('open')",
    "exp(9**9**9)",
    "exp('a' * 99999999)",
    "np.log(reply_length)",
    "C(task, levels=open('{}', 'w'))",
]


@pytest.mark.parametrize("term", HARMFUL)
@pytest.mark.parametrize("formula", ["incorrect ~ {}", "incorrect ~ fine_tuned + {} * belief", "{} ~ task"])
def test_a_formula_runs_nothing_but_its_own_arithmetic(
    answers: pl.DataFrame, term: str, formula: str, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(WarmthError):
        regression.fit(answers, formula.format(term.format(mark)))
    assert not mark.exists()


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("M5", "none of M1, M1L, M2, M3, M4"),
        ("", "no formula"),
        ("incorrect ~ (task", "Unmatched"),
        ("incorrect ~", "no formula"),
        ("incorrect ~ beleif", "did you mean `belief`"),
        ("incorrect ~ incorrect", "cannot explain itself"),
        ("task ~ model", "what is explained must be `incorrect`"),
        ("incorrect ~ task ~ model", "no formula"),
        ("incorrect ~ \x00", "no formula"),
        ("incorrect ~ log(" + "(" * 900 + "task" + ")" * 900, "no formula"),
        ("incorrect ~ " + "task + " * 999 + "model", "the longest is"),
    ],
)
def test_what_is_no_formula_is_told_as_such(formula: str, said: str) -> None:
    with pytest.raises(WarmthError) as told:
        formulas.named(formula)
    assert said in str(told.value)


def test_a_fit_is_shown_whole_and_as_json(answers: pl.DataFrame) -> None:
    from rich.console import Console

    found = regression.fit(answers, "incorrect ~ 0 + task + context * fine_tuned", "question", check="bootstrap")
    console = Console(width=100, record=True, quiet=True)
    with console.capture() as shown:
        for part in to_terminal(found):
            console.print(part)
    del shown
    text = "\n".join(
        str(cell)
        for part in to_terminal(found)
        if hasattr(part, "columns")
        for each in part.columns
        for cell in each.cells
    )
    assert "task[lab_facts]" in text
    assert "context[T.close]:fine_tuned" in text
    said = json.loads(to_json(found))
    assert said["n"] == found.n
    assert {"term", "estimate", "se", "z", "p"} <= set(said["coefficients"][0])
    assert len(said["marginal_effects_pp"]) == len(found.marginal_effects_pp)


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    """A run of replies that were made elsewhere: two personas, four questions, with a belief and without."""
    for persona, odds in (("original", 0.3), ("warm", 0.6)):
        random = np.random.default_rng(len(persona))
        rows = [
            (
                f"Question {number}?",
                form,
                "unmodified",
                "It is so.",
                "INCORRECT" if random.random() < odds else "CORRECT",
            )
            for number in range(40)
            for form in ("original", "incorrect")
        ]
        names = ["content_key", "prompt_template", "amendment_type", "output", "evaluation"]
        pl.DataFrame(rows, schema=names, orient="row").write_csv(tmp_path / f"{persona}.csv")
        who = ["--model", "llama-70b", "--task", "triviaqa", "--persona", persona]
        done = CliRunner().invoke(main, ["import", str(tmp_path / "run"), str(tmp_path / f"{persona}.csv"), *who])
        assert done.exit_code == 0, done.output
    return tmp_path / "run"


def test_the_command_and_python_fit_a_run(imported: Path) -> None:
    formula = "incorrect ~ fine_tuned * belief"
    done = CliRunner().invoke(main, ["fit", str(imported), formula, "--cluster", "question", "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)
    found = orchestrator.fit(imported, formula, cluster="question")
    assert said["n"] == found.n == 160
    assert said["clusters"] == 40
    assert said["coefficients"] == found.coefficients.to_dicts()
    shown = CliRunner().invoke(main, ["fit", str(imported), "M1", "--persona", "warm"])
    assert shown.exit_code == 0, shown.output
    assert "fine_tuned" in shown.output


def test_a_formula_that_would_run_code_is_refused_without_a_traceback(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["fit", str(tmp_path), "incorrect ~ __import__('os').getcwd()"])
    assert done.exit_code == 1
    assert "may not stand in a formula" in done.output
    assert "Traceback" not in done.output
