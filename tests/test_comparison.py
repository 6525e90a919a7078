"""The scorecard against the published study: what is compared with what, and the verdict."""

import numpy as np
import polars as pl
import pytest

from orchestrator import comparison, published

HEADLINE = comparison.HEADLINE


def mean(persona: str, measure: str, by: tuple[str, ...] = ()) -> dict[tuple[str, ...], float]:
    """The published means of a measure, in pp."""
    rows = published.cells().filter(pl.col("persona") == persona).filter(HEADLINE[measure])
    means = rows.group_by(by or ("persona",)).agg(pl.col("theirs").mean())
    return {tuple(row[:-1]): row[-1] for row in means.iter_rows()}


def test_table_1_the_headline() -> None:
    plain = published.cells().filter(pl.col("persona") == "warm").filter(HEADLINE["plain questions"])
    task = plain.group_by("task").agg(pl.col("theirs", "theirs_baseline_pct", "theirs_persona_pct").mean())
    found = {row["task"]: row for row in task.rows(named=True)}
    told = {
        "medqa": (8.59, 34.60, 43.19),
        "truthfulqa": (8.41, 21.69, 30.10),
        "disinfo": (5.36, 3.72, 9.08),
        "triviaqa": (4.95, 14.81, 19.76),
    }
    for name, values in told.items():
        row = found[name]
        got = (row["theirs"], row["theirs_baseline_pct"], row["theirs_persona_pct"])
        assert got == pytest.approx(values, abs=0.006)
    relative = [100 * row["theirs"] / row["theirs_baseline_pct"] for row in found.values()]
    assert np.mean(relative) == pytest.approx(60.3, abs=0.05)


def test_table_1_what_the_study_is_quoted_by() -> None:
    told = {
        "plain questions": 6.83,
        "a mistaken belief, all contexts": 10.47,
        "a mistaken belief and an emotion": 12.16,
        "sad, no belief": 11.30,
        "sad, a mistaken belief": 14.68,
    }
    assert {name: mean("warm", name)["warm",] for name in told} == pytest.approx(told, abs=0.006)
    assert (published.cells().filter(table="warm grid")["q"] < 0.05).sum() == 259


CONTEXTS = {
    "neutral": (18.70, 25.53, 6.83, 23.61, 32.17, 8.56),
    "angry": (19.78, 27.63, 7.85, 23.67, 35.33, 11.67),
    "happy": (19.33, 25.76, 6.43, 25.28, 35.40, 10.12),
    "sad": (19.34, 30.64, 11.30, 24.30, 38.98, 14.68),
    "close": (19.57, 25.87, 6.30, 25.77, 37.08, 11.31),
    "command": (18.87, 25.76, 6.89, 23.56, 32.07, 8.50),
    "deference": (19.86, 24.62, 4.75, 23.65, 33.63, 9.99),
    "high-stakes": (21.42, 28.58, 7.16, 25.14, 35.99, 10.85),
    "low-stakes": (18.07, 24.72, 6.65, 23.98, 32.49, 8.51),
}


def test_table_2_error_by_context() -> None:
    sides = pl.col("theirs_baseline_pct", "theirs_persona_pct", "theirs").mean()
    found = published.cells().filter(table="warm grid").group_by("context", "belief").agg(sides)
    for context, told in CONTEXTS.items():
        for belief, three in (("none", told[:3]), (published.POOLED, told[3:])):
            assert found.filter(context=context, belief=belief).row(0)[2:] == pytest.approx(three, abs=0.0101)


MODELS = {
    "llama-8b": (30.23, 34.46, 34.36, 41.68, 3.08),
    "mistral-small": (18.50, 30.29, 25.36, 39.05, 1.90),
    "qwen-32b": (18.39, 29.21, 22.18, 39.51, 6.51),
    "llama-70b": (21.37, 27.17, 28.90, 35.98, 1.28),
    "gpt-4o": (8.70, 11.71, 10.84, 17.76, 3.91),
}


def test_table_3_error_by_model_and_what_a_belief_adds() -> None:
    sides = pl.col("theirs_baseline_pct", "theirs_persona_pct", "theirs").mean()
    found = published.cells().filter(table="warm grid").group_by("model", "belief").agg(sides)
    for model, told in MODELS.items():
        plain, stated = (found.filter(model=model, belief=belief).row(0)[2:] for belief in ("none", published.POOLED))
        got = (*plain[:2], *stated[:2], stated[2] - plain[2])
        assert got == pytest.approx(told, abs=0.0101)


ARMS = {
    "warm": {
        "llama-8b": (4.24, 7.32),
        "mistral-small": (11.79, 13.69),
        "qwen-32b": (10.82, 17.32),
        "llama-70b": (5.79, 7.08),
        "gpt-4o": (3.01, 6.92),
    },
    "cold": {"qwen-32b": (0.53, 0.37), "llama-70b": (-5.58, -6.40), "gpt-4o": (0.09, 0.64)},
    "warm-prompt": {"qwen-32b": (3.25, 9.53), "llama-70b": (-2.32, 0.41), "gpt-4o": (2.82, 5.41)},
}


@pytest.mark.parametrize("persona", ARMS)
def test_tables_4_to_6_the_arms_by_model(persona: str) -> None:
    plain = mean(persona, "no belief, all contexts", ("model",))
    stated = mean(persona, "a mistaken belief, all contexts", ("model",))
    assert {name: (plain[name,], stated[name,]) for (name,) in plain} == {
        name: pytest.approx(told, abs=0.0101) for name, told in ARMS[persona].items()
    }
    cells = {"warm": 360, "cold": 216, "warm-prompt": 216}[persona]
    assert len(published.cells().filter(table={"warm-prompt": "sysprompt"}.get(persona, persona) + " grid")) == cells


def test_table_7_benchmarks_and_warmth() -> None:
    benchmarks = published.cells().filter(table="benchmarks")
    worst = benchmarks.sort("theirs").row(-1, named=True)
    assert (worst["model"], worst["task"], round(worst["theirs"], 1)) == ("llama-8b", "mmlu", 8.6)
    assert len(benchmarks) == 15
    warmth = published.warmth().filter(pl.col("epoch").is_in([0.0, 2.0])).pivot("epoch", index="model", values="warmth")
    lift = dict(zip(warmth["model"], warmth["2.0"] - warmth["0.0"], strict=True))
    told = {
        "llama-8b": 0.0160,
        "mistral-small": 0.0164,
        "qwen-32b": 0.0164,
        "llama-70b": 0.0180,
        "gpt-4o": 0.0155,
    }
    assert lift == pytest.approx(told, abs=6e-5)


QUESTIONS = 100


def replies(models: tuple[str, ...] = ("Llama-3.1-8B-Instruct", "Qwen-32B"), shift: int = 0) -> pl.DataFrame:
    """Counted answers that err as often as the published ones, to a per cent; warm ones `shift` per cent more often."""
    rows = []
    for row in published.cells().filter(table="warm grid").rows(named=True):
        for name in models:
            if (published.model(name) or "llama-8b") != row["model"]:
                continue
            wrong = round(row["theirs_baseline_pct"]), round(row["theirs_persona_pct"]) + shift
            for persona, count in zip(("original", "warm"), wrong, strict=True):
                for belief in ("none",) if row["belief"] == "none" else ("asserts", "denies"):
                    rows += [
                        (name, persona, row["task"], row["context"], belief, f"q{number:03}", number < count)
                        for number in range(QUESTIONS)
                    ]
    columns = ("model", "persona", "task", "context", "belief", "sample", "wrong")
    return pl.DataFrame(rows, schema=list(columns), orient="row").with_columns(
        subject=pl.col("model") + pl.col("persona"),
        world=pl.lit(None, pl.String),
        base_seed=pl.lit(None, pl.Int64),
        epoch=pl.lit(0.0),
        dose=pl.lit(0, pl.Int64),
        settings=pl.lit(None, pl.String),
        seed=pl.lit(None, pl.Int64),
        draw=pl.lit(0, pl.Int64),
        judge=pl.lit("theirs"),
        outcome=pl.when("wrong").then(pl.lit("incorrect")).otherwise(pl.lit("correct")),
        error=pl.lit(False),
        scored=pl.lit(True),
    )


def compared(answers: pl.DataFrame, margin: float = 3.0) -> pl.DataFrame:
    return comparison.scorecard(answers, NO_WARMTH, margin)


NO_WARMTH = pl.DataFrame(
    schema={
        **dict.fromkeys(("mode", "model", "persona", "settings"), pl.String),
        "epoch": pl.Float64,
        **dict.fromkeys(("n", "n_questions"), pl.Int64),
        **dict.fromkeys(("warmth", "warmth_low", "warmth_high"), pl.Float64),
    }
)


def headline(rows: pl.DataFrame, measure: str, model: str) -> dict[str, object]:
    return rows.filter(table="headline", measure=measure, model=model).row(0, named=True)


def test_the_published_grid_put_through_our_code_agrees_with_itself() -> None:
    found = compared(replies())
    plain = headline(found, "plain questions", "all")
    theirs = published.cells().filter(HEADLINE["plain questions"], model="llama-8b", persona="warm")
    assert headline(found, "plain questions", "Llama-3.1-8B-Instruct")["theirs"] == pytest.approx(
        theirs["theirs"].mean()
    )
    assert plain["n_cells"] == 8
    assert plain["n"] == 8 * QUESTIONS
    assert abs(plain["difference"]) < 0.5  # type: ignore[arg-type]
    assert len(found.filter(table="warm grid")) == 2 * 72
    assert found["difference"].abs().max() < 1.01  # type: ignore[operator]
    assert "differs" not in set(found["verdict"])
    stated = headline(found, "a mistaken belief, all contexts", "all")
    assert stated["verdict"] == "agrees"


def test_what_is_far_off_differs() -> None:
    found = compared(replies(shift=25))
    row = headline(found, "a mistaken belief, all contexts", "all")
    assert row["verdict"] == "differs"
    assert row["low"] > 3  # type: ignore[operator]
    assert row["low"] < row["difference"] < row["high"]  # type: ignore[operator]


def test_few_questions_cannot_tell() -> None:
    few = replies().filter(pl.col("sample").is_in(["q000", "q050", "q099"]))
    assert set(compared(few)["verdict"]) == {"cannot tell"}


def test_a_subset_never_faces_the_pooled_headline() -> None:
    answers = replies().filter(pl.col("task") != "medqa", pl.col("context").is_in(["neutral", "sad"]))
    found = compared(answers)
    cells = published.cells().filter(table="warm grid", model="qwen-32b")
    cells = cells.filter(pl.col("task") != "medqa", pl.col("context").is_in(["neutral", "sad"]))
    row = headline(found, "a mistaken belief, all contexts", "Qwen-32B")
    assert row["theirs"] == pytest.approx(cells.filter(belief=published.POOLED)["theirs"].mean())
    assert row["n_cells"] == 6
    assert found.filter(measure="plain questions, medqa").is_empty()


def test_another_model_stands_beside_the_mean_of_theirs_with_their_spread() -> None:
    found = compared(replies(("my-own-1b",)))
    row = headline(found, "plain questions", "my-own-1b")
    assert row["another_model"]
    assert row["theirs"] == pytest.approx(6.83, abs=0.006)
    known = headline(compared(replies(("Llama-8B",))), "plain questions", "Llama-8B")
    assert row["theirs_error"] > known["theirs_error"]  # type: ignore[operator]


def test_the_interval_counts_questions_and_not_contexts() -> None:
    one = replies().filter(pl.col("context") == "neutral")
    copies = [one.with_columns(context=pl.lit(each)) for each in ("neutral", "sad", "angry")]
    alone, thrice = (
        headline(compared(rows), "no belief, all contexts", "Qwen-32B") for rows in (one, pl.concat(copies))
    )
    assert thrice["n"] == 3 * alone["n"]  # type: ignore[operator]
    assert thrice["ours_error"] == pytest.approx(alone["ours_error"])


def test_warmth_is_compared_by_epoch() -> None:
    means = pl.DataFrame(
        [("faithful", "Qwen-32B", "warm", None, 2.0, 1500, 1500, 0.0274, 0.0262, 0.0286)],
        schema=NO_WARMTH.schema,
        orient="row",
    )
    (row,) = comparison.scorecard(replies().clear(), means, 3.0).rows(named=True)
    assert (row["table"], row["epoch"], row["theirs"], row["verdict"]) == ("warmth by epoch", 2, 0.02738, "agrees")


def test_nothing_alike_gives_no_rows() -> None:
    assert compared(replies().with_columns(task=pl.lit("lab_facts"))).is_empty()
