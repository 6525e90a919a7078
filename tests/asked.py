"""Answers from a few words each, for tests of what is made of them."""

import polars as pl

from orchestrator import rates


def answers(rows, **columns):
    """Answers of one model from (persona, epoch, seed, sample, belief, outcome); other columns by keyword."""
    names = ["persona", "epoch", "seed", "sample", "belief", "outcome"]
    kinds = {"persona": str, "epoch": float, "seed": int, "sample": str, "belief": str, "outcome": str}
    frame = pl.DataFrame(rows, schema={name: kinds[name] for name in names}, orient="row")
    fixed = {
        "model": "m",
        "world": None,
        "base_seed": None,
        "task": "t",
        "context": "neutral",
        "draw": 0,
        "judge": "rule",
    }
    fixed |= {"dose": 0, "error": False, "finish_reason": "stop", "role_header": False, "reply": "It is so."} | columns
    subject = pl.format("{}-{}-{}", "persona", "epoch", pl.col("seed").fill_null(-1))
    kinds = {"world": pl.String, "base_seed": pl.Int64, "draw": pl.Int64, "dose": pl.Int64}
    given = [
        value.alias(name) if isinstance(value, pl.Expr) else pl.lit(value, kinds.get(name)).alias(name)
        for name, value in fixed.items()
    ]
    settings = {"settings": pl.when(pl.col("seed").is_not_null()).then(pl.lit(""))}
    frame = frame.with_columns(subject.alias("subject"), *given)
    return rates.counted(frame.with_columns(**({} if "settings" in columns else settings)), ())


def cell(frame, **chosen):
    everything = {"task": "all", "context": "all", "belief": "all"} | chosen
    found = frame.filter(**everything)
    assert len(found) == 1, found
    return found.row(0, named=True)
