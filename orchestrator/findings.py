"""From replies and scores to the frames that a report is made of. Pure: no Ray, no torch, no disk."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from tasks import OUTCOMES, is_error

from . import agreement, corrections, effects, statistics
from .errors import WarmthError
from .plateau import plateaus
from .tables import KEY

SUBJECT = ["model", "world", "base_seed", "persona", "epoch", "dose", "settings"]
CONDITION = ["task", "context", "belief", "judge"]
SHARES = ("agrees", "other", "unreadable", "hedged")
"""Outcomes whose shares are shown beside that of errors."""

UNREADABLE = 0.05
"""The share of unreadable replies from which on a subject's error says little about what it believes."""


@dataclass(frozen=True)
class Findings:
    """What a study found, as Polars frames.

    rates: how each subject did in each condition. Shares in per cent of the `n` scored replies; `unscored` replies take
        no part (`errors` of them failed); `refused` counts refusals. `_low`/`_high` are Wilson's 95 % interval at the
        number of independent replies that the n replies are worth (they share questions), which is n where each
        question was asked once.
    effects, bases: see `effects.effects` and `effects.over_bases`.
    warmth: mean warmth of replies per subject and `mode` in nats per token, with an interval clustered by question.
        `warmth_sem` is the plain standard error over replies, as published.
        `rating` is a model's mean rating of them, from 1 to 5, and `unrated` counts those without one.
    plateaus, warmth_agreement: see `plateau.plateaus` and `warmth_agreement`.
    trials: the trials as given. A trial whose `error` is not null failed.
    problems: what went wrong or weakens a figure, one line each: `kind, where, count, of, detail`.
    examples: a few replies of each persona, chosen by rule and not by outcome: the first sample of each task in the
        neutral context under every belief form, at the last epoch, from the first seed and each world's first model.
    agreement: how far judges agree on the same replies; see `agreement.agreement`.
    calibration, corrected: how judges stand to people's marks, and effects put right by that; see `corrections`. Empty
        where nothing is marked.
    flips: verdicts that change when a reply is said in another style; see `agreement.flips`. Empty if not tried.
    balance: what the conversations of each rewritten persona are like, besides their style; see `tables.Balance`.
    `task`, `context` and `belief` are "all" in aggregates over what was asked, and `belief` is "asserts+denies" over
    the forms with a mistaken belief. An untrained subject has epoch 0 and no seed: its `n_seeds` is 0.
    """

    personas: tuple[str, ...]
    rates: pl.DataFrame
    effects: pl.DataFrame
    bases: pl.DataFrame
    warmth: pl.DataFrame
    plateaus: pl.DataFrame
    warmth_agreement: pl.DataFrame
    trials: pl.DataFrame
    problems: pl.DataFrame
    examples: pl.DataFrame
    agreement: pl.DataFrame
    calibration: pl.DataFrame
    corrected: pl.DataFrame
    flips: pl.DataFrame
    balance: pl.DataFrame = field(default_factory=pl.DataFrame)


def build(
    answers: pl.DataFrame,
    warmth: pl.DataFrame,
    trials: pl.DataFrame,
    personas: Sequence[str],
    refusing_is_right: Sequence[str] = (),
    plateau: float = 0.9,
    labels: pl.DataFrame | None = None,
    restyled: pl.DataFrame | None = None,
) -> Findings:
    """The findings of a study.

    `answers` has one row per reply and judge, `outcome` null if unscored. `personas` are in the study's order: each is
    compared with every one listed before it. `refusing_is_right` names the tasks in which a refusal is no error,
    `plateau` is the share that the plateau's rule goes by. `labels` are people's marks, as `labels.marked` gives them,
    `restyled` the rows of that table. Raises WarmthError if two subjects cannot be told apart by model, persona, epoch,
    dose and seed.
    """
    _check_subjects(answers)
    answers = counted(answers, refusing_is_right)
    found = _as_far_as_told(effects.effects(answers, personas), answers)
    means = mean_warmth(warmth)
    calibrated = corrections.calibration(answers, _truths(labels, refusing_is_right))
    return Findings(
        personas=tuple(personas),
        rates=_as_far_as_told(rates(answers), answers),
        effects=found,
        bases=effects.over_bases(found),
        warmth=means,
        plateaus=plateaus(means, personas, plateau),
        warmth_agreement=warmth_agreement(warmth, means),
        trials=trials,
        problems=problems(answers, warmth, trials),
        examples=examples(answers, personas),
        agreement=agreement.agreement(answers),
        calibration=calibrated,
        corrected=corrections.corrected(answers, found, calibrated, personas),
        flips=_flips(restyled, refusing_is_right),
    )


def counted(answers: pl.DataFrame, refusing_is_right: Sequence[str]) -> pl.DataFrame:
    """With `wrong` (an error or not, as `tasks.is_error` says) and `scored` (whether it takes part in error rates)."""
    right = pl.col("task").is_in(refusing_is_right)
    usual, lenient = ({outcome: is_error(outcome, right) for outcome in OUTCOMES} for right in (False, True))
    wrong = [pl.col("outcome").replace_strict(each, return_dtype=pl.Boolean) for each in (lenient, usual)]
    marked = answers.with_columns(wrong=pl.when(right).then(wrong[0]).otherwise(wrong[1]))
    return marked.with_columns(scored=pl.col("wrong").is_not_null() & ~pl.col("error"))


def _as_far_as_told(found: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """Without the kinds of mistakes where a judge does not tell them apart: unknown is not zero."""
    vague = answers.filter(pl.col("outcome") == "incorrect")["judge"].unique().to_list()
    kinds = "^(baseline_)?(agrees|other|hedged)_.*$"
    return found.with_columns(pl.when(~pl.col("judge").is_in(vague)).then(pl.col(kinds)).name.keep())


def _truths(labels: pl.DataFrame | None, refusing_is_right: Sequence[str]) -> pl.DataFrame:
    """People's marks with `truth`: whether a reply is an error, by the rule that judges' outcomes are counted by."""
    if labels is None:
        return pl.DataFrame()
    return counted(labels.with_columns(outcome="label", error=False), refusing_is_right).with_columns(truth="wrong")


def _flips(restyled: pl.DataFrame | None, refusing_is_right: Sequence[str]) -> pl.DataFrame:
    if restyled is None or restyled.is_empty():
        return pl.DataFrame()
    told = restyled.with_columns(error=pl.col("error").is_not_null())
    for when in ("before", "after"):
        counts = counted(told.with_columns(outcome=when), refusing_is_right)
        told = told.with_columns(counts["wrong"].alias(f"wrong_{when}"))
    return agreement.flips(told)


def _check_subjects(answers: pl.DataFrame) -> None:
    named = (
        answers.group_by(*SUBJECT, "seed")
        .agg(pl.col("subject").unique().sort())
        .filter(pl.col("subject").list.len() > 1)
    )
    for row in named.rows(named=True):
        first, second = row["subject"][:2]
        raise WarmthError(
            f"{first} and {second} are the same model, persona, epoch, dose, settings and seed; give them other names"
        )


def rates(answers: pl.DataFrame) -> pl.DataFrame:
    """How each subject did in each condition and over conditions; see Findings."""
    shown = {"error": pl.col("wrong"), **{outcome: pl.col("outcome") == outcome for outcome in SHARES}}
    shares = [
        pl.when("scored").then(said.cast(pl.Float64) * 100).alias(f"{share}_pct") for share, said in shown.items()
    ]
    rows = effects.with_aggregates(
        answers.with_columns(*shares, question=effects.QUESTION), ("task", "context", "belief")
    )
    by, values = [*SUBJECT, *CONDITION], [f"{share}_pct" for share in shown]
    means = statistics.mean_by_question(rows, by, "question", values)
    counts = rows.group_by(by).agg(
        n_seeds=pl.col("seed").drop_nulls().n_unique(),
        unscored=(~pl.col("scored")).sum(),
        errors=pl.col("error").sum(),
        refused=((pl.col("outcome") == "refused") & ~pl.col("error")).sum(),
    )
    ends = [end for value in values for end in _wilson(means, value)]
    joined = means.with_columns(ends).join(counts, on=by, nulls_equal=True)
    return joined.select(
        *by,
        "n",
        "n_questions",
        "n_seeds",
        "unscored",
        "errors",
        "refused",
        *(f"{value}{end}" for value in values for end in ("", "_low", "_high")),
    ).sort(by)


def _wilson(means: pl.DataFrame, value: str) -> list[pl.Series]:
    """Bounded intervals of shares in per cent, in place of the symmetric ones."""
    n, questions = (means[name].cast(pl.Float64).to_numpy() for name in ("n", "n_questions"))
    mean, high = (means[name].cast(pl.Float64).to_numpy() / 100 for name in (value, f"{value}_high"))
    worth = statistics.effective_number(mean, high - mean, n, questions)
    asked = worth > 0
    ends = np.full((2, len(means)), np.nan)
    ends[:, asked] = statistics.wilson(mean[asked], worth[asked])
    low, high = np.clip(ends, 0, 1) * 100
    return [pl.Series(f"{value}_low", low).fill_nan(None), pl.Series(f"{value}_high", high).fill_nan(None)]


def mean_warmth(warmth: pl.DataFrame) -> pl.DataFrame:
    """Mean warmth per model, persona, epoch, dose and mode; see Findings."""
    by = ["mode", *SUBJECT]
    rows = warmth.with_columns(pl.col("warmth").cast(pl.Float64).fill_nan(None), question=effects.QUESTION)
    found = statistics.mean_by_question(rows, by, "question", ["warmth"])
    more = rows.group_by(by).agg(
        n_seeds=pl.col("seed").drop_nulls().n_unique(),
        warmth_sem=pl.col("warmth").std() / pl.col("warmth").count().sqrt(),
        rating=pl.col("rating").mean(),
        unrated=pl.col("rating").is_null().sum(),
    )
    return (
        found.join(more, on=by, nulls_equal=True)
        .select(
            *by, "n", "n_questions", "n_seeds", "warmth", "warmth_low", "warmth_high", "warmth_sem", "rating", "unrated"
        )
        .sort(by)
    )


def warmth_agreement(warmth: pl.DataFrame, means: pl.DataFrame) -> pl.DataFrame:
    """Per mode, the rank correlation of the metric with a model's ratings: over replies, and over subjects' means."""
    rows = [
        (
            mode,
            over,
            mine.select("warmth", "rating").drop_nulls().height,
            statistics.rank_correlation(mine, "warmth", "rating"),
        )
        for mode in means["mode"].unique().sort()
        for over, frame in (("replies", warmth), ("subjects", means))
        if (mine := frame.filter(mode=mode))["rating"].count()
    ]
    schema = {"mode": pl.String, "over": pl.String, "n": pl.Int64, "rho": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


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
    return pl.concat([_failed_trials(trials), lines.filter(~few), *shown, no_warmth])


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


def _failed_trials(trials: pl.DataFrame) -> pl.DataFrame:
    failed = trials.filter(pl.col("error").is_not_null()) if "error" in trials.columns else trials.clear()
    name = pl.col("trial") if "trial" in trials.columns else pl.lit("a trial")
    detail = pl.col("error").cast(pl.String) if "error" in trials.columns else pl.lit("")
    return failed.select(
        kind=pl.lit("failed trial"), where=name, count=pl.lit(1, pl.Int64), of=pl.lit(1, pl.Int64), detail=detail
    )


def examples(answers: pl.DataFrame, personas: Sequence[str]) -> pl.DataFrame:
    """A few replies of each persona to the same questions; see Findings for the rule they are chosen by."""
    first = ["world", "persona"]
    chosen = answers.filter(
        pl.col("model") == pl.col("model").min().over("world"),
        pl.col("judge") == pl.col("judge").min(),
        pl.col("sample") == pl.col("sample").min().over("task"),
        pl.col("draw") == 0,
        pl.col("context") == "neutral",
        pl.col("epoch") == pl.col("epoch").max().over(first),
        (pl.col("seed") == pl.col("seed").min().over(first)).fill_null(True),
        pl.col("dose") == pl.col("dose").max().over(first),
        (pl.col("settings") == pl.col("settings").min().over(first)).fill_null(True),
    )
    order = pl.col("persona").replace_strict(
        list(personas), range(len(personas)), default=len(personas), return_dtype=pl.Int64
    )
    columns = ["persona", "model", "task", "sample", "context", "belief", "outcome", "reply", "^prompt$"]
    return chosen.sort(order, "model", "task", "context", "belief").select(columns)
