"""What a run took: money at endpoints, tokens, time. Pure but for reading the run's ledger."""

import polars as pl

from . import costs, tables
from .store import Store
from .tables import Cost


def money(store: Store) -> pl.DataFrame:
    """What endpoints were paid, by purpose and model; `usd` is null where a price is not known."""
    rows = [row for _, row in costs.pieces(store)]
    spent = pl.DataFrame(pl.from_arrow(tables.table(rows, Cost)))
    unknown = pl.col("usd").null_count() > 0
    return (
        spent.group_by("purpose", "endpoint", "model")
        .agg(
            pl.col("calls", "tokens_in", "tokens_out").sum(),
            usd=pl.when(unknown).then(None).otherwise(pl.col("usd").sum()),
        )
        .sort("purpose", "endpoint", "model")
    )


def time(answers: pl.DataFrame, trials: pl.DataFrame) -> pl.DataFrame:
    """By model and persona: seconds of training in all, replies, their tokens, and the middle one's time to come.

    A reply's seconds include its waiting for others.
    """
    replies = answers.filter(pl.col("judge") == pl.col("judge").min()).unique(tables.KEY)
    asked = replies.group_by("model", "persona", maintain_order=True).agg(
        replies=pl.len(),
        tokens_in=pl.col("prompt_tokens").sum(),
        tokens_out=pl.col("reply_tokens").sum(),
        seconds_per_reply=pl.col("seconds").median(),
    )
    trained = trials.group_by("model", "persona").agg(trials=pl.len(), training_seconds=pl.col("seconds").sum())
    return asked.join(trained, on=["model", "persona"], how="left").sort("model", "persona")
