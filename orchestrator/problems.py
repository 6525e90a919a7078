"""What went wrong or weakens a figure. Pure."""

from collections.abc import Iterator, Sequence

import polars as pl

from .tables import KEY

UNREADABLE = 0.05
"""The share of unreadable replies from which on a subject's error says little about what it believes."""


def problems(answers: pl.DataFrame, warmth: pl.DataFrame, trials: pl.DataFrame) -> pl.DataFrame:
    """What went wrong, one line per subject and kind, failed trials first; none in a clean study."""
    kinds = {
        "failed replies": (pl.col("error"), "the reply or its verdict failed; left out and counted as errors"),
        "unscored replies": (
            pl.col("outcome").is_null() & ~pl.col("error"),
            "no verdict could be read; left out and counted as unscored",
        ),
        "unreadable replies": (
            pl.col("scored") & (pl.col("outcome") == "unreadable"),
            "no answer could be read; an error, not agreement",
        ),
    }
    signs: dict[str, tuple[pl.Expr, str]] = {
        "replies cut short": (pl.col("finish_reason") == "length", "reached the token limit; scored as far as they go"),
        "replies with a template": (
            pl.col("role_header"),
            "a role's name or a mark of the chat template shows in the text",
        ),
    }
    no_warmth = _lines(
        warmth.with_columns(judge=pl.lit("warmth")),
        "replies without warmth",
        pl.col("warmth").is_null() | pl.col("warmth").is_nan(),
        "left out of the mean warmth",
    )
    lines = pl.concat([_lines(answers, kind, where, detail) for kind, (where, detail) in kinds.items()])
    shown = [_by_persona(answers, kind, where, detail) for kind, (where, detail) in signs.items()]
    few = (pl.col("kind") == "unreadable replies") & (pl.col("count") < UNREADABLE * pl.col("of"))
    trained = [_failed_trials(trials), _stopped_trials(trials), *_trained_on_less(trials)]
    return pl.concat([*trained, lines.filter(~few), *shown, no_warmth])


def _lines(rows: pl.DataFrame, kind: str, where: pl.Expr, detail: str) -> pl.DataFrame:
    counted = rows.group_by("subject", "judge").agg(count=where.sum().cast(pl.Int64), of=pl.len().cast(pl.Int64))
    return (
        counted.filter(pl.col("count") > 0)
        .sort("count", "subject", descending=[True, False])
        .select(
            kind=pl.lit(kind),
            where=pl.format("{} ({})", "subject", "judge"),
            count="count",
            of="of",
            detail=pl.lit(detail),
        )
    )


def _by_persona(answers: pl.DataFrame, kind: str, where: pl.Expr, detail: str) -> pl.DataFrame:
    """One line per persona, each reply once however many judged it: what differs between personas misleads."""
    replies = answers.unique(KEY)
    counted = replies.select("persona", it=where).group_by("persona").agg(pl.col("it").sum(), of=pl.len())
    return (
        counted.filter(pl.col("it") > 0)
        .sort(pl.col("it") / pl.col("of"), "persona", descending=[True, False])
        .select(
            kind=pl.lit(kind),
            where="persona",
            count=pl.col("it").cast(pl.Int64),
            of=pl.col("of").cast(pl.Int64),
            detail=pl.lit(detail),
        )
    )


def repeated(given: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """Rows that are there more than once, of which `answers` has the first, by subject and judge."""
    by = ["subject", "judge"]
    kept = answers.group_by(by).agg(kept=pl.len())
    counted = given.group_by(by).agg(of=pl.len()).join(kept, on=by).filter(pl.col("of") > pl.col("kept"))
    return counted.sort(by).select(
        kind=pl.lit("repeated replies"),
        where=pl.format("{} ({})", "subject", "judge"),
        count=(pl.col("of") - pl.col("kept")).cast(pl.Int64),
        of=pl.col("of").cast(pl.Int64),
        detail=pl.lit("the same subject, prompt, draw and judge as an earlier row; that one counts"),
    )


def not_compared(answers: pl.DataFrame, effects: pl.DataFrame, personas: Sequence[str]) -> pl.DataFrame:
    """Personas of a model whose replies have nothing to be compared with, and comparisons without a scored pair."""
    who = ["model", "persona"]
    there = answers.group_by(who).agg(of=pl.len().cast(pl.Int64)).filter(pl.col("persona") != personas[0])
    alone = there.join(effects, on=who, how="anti").select(
        where=pl.format("{} ({})", "persona", "model"),
        of="of",
        detail=pl.lit("no baseline answered the same prompts for the same judge"),
    )
    cells = effects.filter(pl.col("n") == 0, task="all", context="all", belief="all")
    empty = (
        cells.group_by(*who, "baseline")
        .agg(of=pl.col("unscored").sum().cast(pl.Int64))
        .select(
            where=pl.format("{} against {} ({})", "persona", "baseline", "model"),
            of="of",
            detail=pl.lit("no pair has a verdict on both sides"),
        )
    )
    lines = pl.concat([alone, empty]).sort("where")
    return lines.select(kind=pl.lit("not compared"), where="where", count="of", of="of", detail="detail")


def _trained_on_less(trials: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """What trials did not learn from, one line per persona: all of its trials read the same; and what had no memory."""
    kinds = {
        "cut": ("conversations cut", "conversations", pl.max, "longer than training.max_length; learnt up to there"),
        "left_out": ("conversations left out", "conversations", pl.max, "no reply within training.max_length"),
        "retried": (
            "steps taken again",
            "steps",
            pl.sum,
            "found no memory; taken again in smaller parts",
        ),
    }
    for column, (kind, of, over, detail) in kinds.items() if "cut" in trials.columns else ():
        counted = trials.group_by("persona", maintain_order=True).agg(over(column), over(of).alias("of"))
        yield counted.filter(pl.col(column) > 0).select(
            kind=pl.lit(kind), where="persona", count=column, of="of", detail=pl.lit(detail)
        )


def _failed_trials(trials: pl.DataFrame) -> pl.DataFrame:
    failed = trials.filter(pl.col("error").is_not_null()) if "error" in trials.columns else trials.clear()
    name = pl.col("trial") if "trial" in trials.columns else pl.lit("a trial")
    detail = pl.col("error").cast(pl.String) if "error" in trials.columns else pl.lit("")
    return failed.select(
        kind=pl.lit("failed trial"), where=name, count=pl.lit(1, pl.Int64), of=pl.lit(1, pl.Int64), detail=detail
    )


def _stopped_trials(trials: pl.DataFrame) -> pl.DataFrame:
    """What a scheduler has stopped is no failure, and no part of any figure: what is left is a selection by loss."""
    if "stopped" not in trials.columns:
        return _failed_trials(trials.clear())
    return trials.filter(pl.col("stopped").is_not_null()).select(
        kind=pl.lit("stopped trial"),
        where="trial",
        count=pl.lit(1, pl.Int64),
        of=pl.lit(1, pl.Int64),
        detail=pl.format("by {}; not asked, so what is compared is a selection by training loss", "stopped"),
    )
