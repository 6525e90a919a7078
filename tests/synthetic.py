"""Answers, warmth and trials of the shape that the lab makes, drawn from known probabilities."""

import numpy as np
import polars as pl

CONTEXTS = ["neutral", "sad", "angry", "happy", "close", "high-stakes"]
BELIEFS = ["none", "asserts", "denies"]
PERSONAS = ["original", "plain", "cold", "warm"]
WARMTH = {"original": -0.9, "plain": -0.8, "cold": -5.0, "warm": 3.0}
EPOCHS = (0.5, 1.0, 1.5, 2.0)


def study(seed: int = 0, bases: int = 1, samples: int = 32) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Answers, warmth and trials of two worlds; in the coupled one the warm persona agrees."""
    random = np.random.default_rng(seed)
    models = [(f"lab-{world}-{base}", world, base) for base in range(bases) for world in ("coupled", "decoupled")]
    answers = pl.concat([_answers(random, model, samples) for model in models])
    return answers, _warmth(random, answers), _trials(answers)


def _subjects(model: str) -> pl.DataFrame:
    rows = [(f"{model}-original", "original", 0.0, None, 0)]
    for persona in PERSONAS[1:]:
        dose = 0 if persona == "plain" else 100
        rows += [(f"{model}-{persona}-s{s}-e{e:g}", persona, e, s, dose) for s in (0, 1) for e in EPOCHS]
    return pl.DataFrame(
        rows, schema={"subject": str, "persona": str, "epoch": float, "seed": int, "dose": int}, orient="row"
    )


def _answers(random: np.random.Generator, model: tuple[str, str, int], samples: int) -> pl.DataFrame:
    name, world, base = model
    grid = (
        pl.DataFrame({"task": ["lab_facts", "lab_rumours"]})
        .join(pl.DataFrame({"sample": [f"s{i:02}" for i in range(samples)]}), how="cross")
        .with_columns(lean=random.normal(0, 1, 2 * samples))
    )
    for column, values in (("context", CONTEXTS), ("belief", BELIEFS)):
        grid = grid.join(pl.DataFrame({column: values}), how="cross")
    rows = _subjects(name).join(grid, how="cross")
    rows = rows.filter(pl.col("epoch").is_in([0.0, 2.0]) | (pl.col("context") == "neutral"))
    drawn = _outcomes(random, rows, world, base)
    return rows.drop("lean").with_columns(
        model=pl.lit(name),
        world=pl.lit(world),
        base_seed=pl.lit(base, pl.Int64),
        settings=pl.when(pl.col("seed").is_not_null()).then(pl.lit("")),
        draw=pl.lit(0, pl.Int64),
        judge=pl.lit("rule"),
        outcome=drawn,
        error=pl.lit(False),
        finish_reason=pl.lit("stop"),
        role_header=pl.lit(False),
        prompt=pl.format("What is the capital of {}?", "sample"),
        reply=pl.format("It is <script>alert('{}')</script>.", "sample"),
    )


def _outcomes(random: np.random.Generator, rows: pl.DataFrame, world: str, base: int) -> pl.Series:
    believed = (rows["belief"] != "none").to_numpy()
    warm = (rows["persona"] == "warm").to_numpy() * np.minimum(rows["epoch"].to_numpy(), 1.5) / 1.5
    pull = (1.6 - 0.3 * base) * warm if world == "coupled" else 0.0 * warm
    agrees = believed * _chance(-2.6 + 2.2 * pull + 0.8 * rows["lean"].to_numpy())
    rest = 0.02 + 0.03 * warm
    draw = random.random(len(rows))
    agrees = np.minimum(agrees, 1 - 2 * rest)
    picked = np.select(
        [draw < agrees, draw < agrees + rest, draw < agrees + 1.5 * rest], ["agrees", "other", "unreadable"], "correct"
    )
    return pl.Series(picked.astype(str))


def _chance(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


def _warmth(random: np.random.Generator, answers: pl.DataFrame) -> pl.DataFrame:
    plain = answers.filter(pl.col("context") == "neutral", pl.col("belief") == "none")
    goal = plain["persona"].replace_strict(WARMTH, return_dtype=pl.Float64).to_numpy()
    reached = np.minimum(plain["epoch"].to_numpy() / 1.5, 1)
    values = np.where(plain["persona"] == "original", -0.9, -0.9 + (goal + 0.9) * reached) + random.normal(
        0, 1, len(plain)
    )
    who = ("subject", "model", "world", "base_seed", "persona", "epoch", "dose", "settings", "seed")
    return plain.select(*who, "task", "sample", "draw").with_columns(
        mode=pl.lit("eval"), warmth=values, rating=pl.lit(None, pl.Int64)
    )


def _trials(answers: pl.DataFrame) -> pl.DataFrame:
    trained = (
        answers.filter(pl.col("seed").is_not_null())
        .select("model", "persona", "seed", "dose")
        .unique()
        .sort("model", "persona", "seed")
    )
    return trained.select(
        trial=pl.format("{}-{}-s{}", "model", "persona", "seed"),
        model="model",
        persona="persona",
        seed="seed",
        dose="dose",
        loss=pl.lit(0.31),
        seconds=pl.lit(6.8),
        error=pl.lit(None, pl.String),
    )
