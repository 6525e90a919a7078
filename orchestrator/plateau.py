"""From which epoch on more training makes a persona no warmer: one rule, fixed in the study's file. Pure."""

from collections.abc import Sequence
from typing import Any

import polars as pl

GROUP = ["mode", "persona", "dose", "settings"]
SCHEMA: dict[str, Any] = {
    "mode": pl.String,
    "persona": pl.String,
    "dose": pl.Int64,
    "settings": pl.String,
    "n_models": pl.Int64,
    "epochs": pl.List(pl.Float64),
    "lifts": pl.List(pl.Float64),
    "share": pl.Float64,
    "epoch": pl.Float64,
}


def plateaus(warmth: pl.DataFrame, personas: Sequence[str], share: float) -> pl.DataFrame:
    """Per rewritten persona, the first epoch whose mean lift is `share` of the largest: one epoch for all models.

    `warmth` is `Findings.warmth`. A model's lift is its warmth at an epoch minus that of the first of `personas` that
    needed no training. `lifts` are means over models, each counting once, at the `epochs` that all of them have; of a
    persona that makes colder, the largest is the lowest. `epoch` is null if fewer than two can be compared, or nothing
    was lifted. Nothing is selected by it: reports show every checkpoint, and say which one this is.
    """
    untrained = set(warmth.filter(epoch=0.0)["persona"])
    first = next((persona for persona in personas if persona in untrained), "")
    before = warmth.filter(epoch=0.0, persona=first).select("model", "mode", start="warmth")
    rows = warmth.filter(pl.col("epoch") > 0, pl.col("dose") > 0)
    lifted = rows.join(before, on=["model", "mode"]).with_columns(lift=pl.col("warmth") - pl.col("start"))
    groups = lifted.drop_nulls("lift").group_by(GROUP, maintain_order=True)
    found = [(*name, *_plateau(group, share)) for name, group in groups]
    return pl.DataFrame(found, schema=SCHEMA, orient="row").sort(GROUP)


def _plateau(group: pl.DataFrame, share: float) -> tuple[Any, ...]:
    models = group["model"].n_unique()
    means = (
        group.group_by("epoch")
        .agg(pl.col("lift").mean(), has=pl.col("model").n_unique())
        .filter(has=models)
        .sort("epoch")
    )
    epochs, lifts = means["epoch"].to_list(), means["lift"].to_list()
    largest = max(lifts, key=abs, default=0.0)
    reached = [epoch for epoch, lift in zip(epochs, lifts, strict=True) if largest and lift / largest >= share]
    return models, epochs, lifts, share, reached[0] if len(epochs) > 1 and reached else None
