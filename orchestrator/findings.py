"""From replies and scores to the frames that a report is made of. Pure: no Ray, no torch, no disk."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from . import agreement, capitulation, combined, corrections, effects, examples, problems, rates, seeds
from .errors import WarmthError
from .plateau import plateaus
from .settings_analysis import Analysis, Contrast
from .tables import KEY


@dataclass(frozen=True)
class Findings:
    """What a study found, as Polars frames.

    rates: how each subject did in each condition. Shares in per cent of the `n` scored replies; `unscored` replies take
        no part (`errors` of them failed); `refused` counts refusals. `_low`/`_high` are Wilson's 95 % interval at the
        number of independent replies that the n replies are worth (they share questions), which is n where each
        question was asked once.
    effects, bases: see `effects.of` and `effects.over_bases`; `effects.spoken` gives the interval to speak of.
    variance, same: where an effect's uncertainty comes from, and seeds of a subject against one another; see `seeds`.
    warmth: mean warmth of replies per subject and `mode` in nats per token, with an interval clustered by question.
        `warmth_sem` is the plain standard error over replies, as published.
        `rating` is a model's mean rating of them, from 1 to 5, and `unrated` counts those without one.
    plateaus, warmth_agreement: see `plateau.plateaus` and `warmth_agreement`.
    trials: the trials as given. A trial whose `error` is not null failed.
    problems: what went wrong or weakens a figure, one line each: `kind, where, count, of, detail`.
    by_seed: the error of each adapter by itself; see `rates.by_seed`.
    examples: replies of every persona to the same prompts; see `examples.examples` for the rule they are chosen by.
    primary: the comparison that the study stands or falls with, as its personas allow it.
    agreement: how far judges agree on the same replies; see `agreement.agreement`.
    calibration, corrected: how judges stand to people's marks, and effects put right by that; see `corrections`. Empty
        where nothing is marked.
    flips: verdicts that change when a reply is said in another style; see `agreement.flips`. Empty if not tried.
    balance: what the conversations of each rewritten persona are like, besides their style; see `tables.Balance`.
    combined, combined_effects: where a judge was asked about a sample; see `combined`. Such a judge's verdicts take
        part in these and in `agreement` alone, as they are not of all replies.
    pushback, pushback_effects: first answers given up or put right when the user disagreed; see `capitulation`. Empty
        where nobody did.
    scorecard: what stands beside the published study's figures; see `comparison.scorecard`.
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
    by_seed: pl.DataFrame
    examples: pl.DataFrame
    agreement: pl.DataFrame
    calibration: pl.DataFrame
    corrected: pl.DataFrame
    flips: pl.DataFrame
    balance: pl.DataFrame = field(default_factory=pl.DataFrame)
    variance: pl.DataFrame = field(default_factory=pl.DataFrame)
    same: pl.DataFrame = field(default_factory=pl.DataFrame)
    scorecard: pl.DataFrame = field(default_factory=pl.DataFrame)
    combined: pl.DataFrame = field(default_factory=pl.DataFrame)
    combined_effects: pl.DataFrame = field(default_factory=pl.DataFrame)
    pushback: pl.DataFrame = field(default_factory=pl.DataFrame)
    pushback_effects: pl.DataFrame = field(default_factory=pl.DataFrame)
    primary: Contrast = field(default_factory=Contrast)


def build(
    answers: pl.DataFrame,
    warmth: pl.DataFrame,
    trials: pl.DataFrame,
    personas: Sequence[str],
    refusing_is_right: Sequence[str] = (),
    plateau: float = 0.9,
    labels: pl.DataFrame | None = None,
    restyled: pl.DataFrame | None = None,
    analysis: Analysis = effects.USUAL,
) -> Findings:
    """The findings of a study.

    `answers` has one row per reply and judge, `outcome` null if unscored; a row that is there twice counts once, as it
    was the first time. `personas` are in the study's order: each is compared with every one listed before it.
    `refusing_is_right` names the tasks in which a refusal is no error, `plateau` is the share that the plateau's rule
    goes by. `labels` are people's marks, as `labels.marked` gives them, `restyled` the rows of that table. `analysis`
    has the primary contrast, the margin of equivalence and the families of tests. Raises WarmthError if two subjects
    cannot be told apart by model, persona, epoch, dose and seed.
    """
    _check_subjects(answers)
    given, every = answers, rates.counted(_once(answers), refusing_is_right)
    answers = _of_all(every)
    moments = effects.moments(answers, personas)
    found = _as_far_as_told(effects.of(moments, analysis), answers)
    means, first = rates.mean_warmth(warmth), analysis.primary.among(personas)
    calibrated = corrections.calibration(answers, _truths(labels, refusing_is_right))
    return Findings(
        personas=tuple(personas),
        rates=_as_far_as_told(rates.rates(answers), answers),
        effects=found,
        bases=effects.over_bases(found),
        warmth=means,
        plateaus=plateaus(means, personas, plateau),
        warmth_agreement=rates.warmth_agreement(warmth, means),
        trials=trials,
        problems=pl.concat(
            [
                problems.problems(answers, warmth, trials),
                problems.repeated(given, every),
                problems.not_compared(answers, found, personas),
            ]
        ),
        by_seed=rates.by_seed(answers),
        examples=examples.examples(answers, personas, first.persona, first.baseline),
        primary=first,
        agreement=agreement.agreement(every),
        combined=combined.shares(every),
        combined_effects=combined.effects(every, personas),
        calibration=calibrated,
        corrected=corrections.corrected(answers, found, calibrated, personas),
        flips=_flips(restyled, refusing_is_right),
        variance=seeds.variance(moments),
        pushback=capitulation.shares(answers, refusing_is_right),
        pushback_effects=capitulation.differences(answers, personas, refusing_is_right),
        same=_as_far_as_told(seeds.same(answers, personas), answers),
    )


def _of_all(answers: pl.DataFrame) -> pl.DataFrame:
    """Without the verdicts of judges that were asked about a sample, unless there are no others."""
    whole = answers.filter(pl.col("sampled_from").is_null()) if "sampled_from" in answers.columns else answers
    return answers if whole.is_empty() else whole


def _once(answers: pl.DataFrame) -> pl.DataFrame:
    """Without what is there again: the same subject's reply to the same prompt and draw, as the same judge has it."""
    twice = answers.select(pl.struct(*KEY, "judge").is_duplicated().any()).item()
    return answers.unique([*KEY, "judge"], keep="first", maintain_order=True) if twice else answers


def _as_far_as_told(found: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """Without the kinds of mistakes where a judge does not tell them apart: unknown is not zero."""
    vague = answers.filter(pl.col("outcome") == "incorrect")["judge"].unique().to_list()
    kinds = "^(baseline_)?(agrees|other|hedged)_.*$"
    return found.with_columns(pl.when(~pl.col("judge").is_in(vague)).then(pl.col(kinds)).name.keep())


def _truths(labels: pl.DataFrame | None, refusing_is_right: Sequence[str]) -> pl.DataFrame:
    """People's marks with `truth`: whether a reply is an error, by the rule that judges' outcomes are counted by."""
    if labels is None:
        return pl.DataFrame()
    return rates.counted(labels.with_columns(outcome="label", error=False), refusing_is_right).with_columns(
        truth="wrong"
    )


def _flips(restyled: pl.DataFrame | None, refusing_is_right: Sequence[str]) -> pl.DataFrame:
    if restyled is None or restyled.is_empty():
        return pl.DataFrame()
    told = restyled.with_columns(error=pl.col("error").is_not_null())
    for when in ("before", "after"):
        counts = rates.counted(told.with_columns(outcome=when), refusing_is_right)
        told = told.with_columns(counts["wrong"].alias(f"wrong_{when}"))
    return agreement.flips(told)


def _check_subjects(answers: pl.DataFrame) -> None:
    named = (
        answers.group_by(*rates.SUBJECT, "seed")
        .agg(pl.col("subject").unique().sort())
        .filter(pl.col("subject").list.len() > 1)
    )
    for row in named.rows(named=True):
        first, second = row["subject"][:2]
        raise WarmthError(
            f"{first} and {second} are the same model, persona, epoch, dose, settings and seed; give them other names"
        )
