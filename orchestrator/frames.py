"""A run's tables as Polars frames."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from . import (
    evaluate,
    judge,
    measure,
    pieced,
    pieces,
    rating,
    restyle,
    rewritten,
    rows_replies,
    sampling,
    settings_sampling,
    tables,
    trials,
)
from .evaluate import Served
from .plan import Plan, Trial, Unit
from .store import Store
from .tables import Balance, Cost, Rating, Reply, Restyled, Score, WarmthScore

_WHO = ("model", "persona", "epoch", "dose", "seed")
KINDS: dict[str, type[Any]] = {
    "replies": Reply,
    "scores": Score,
    "warmth": WarmthScore,
    "ratings": Rating,
    "costs": Cost,
}

_TRIALS = {
    "trial": pl.String,
    "model": pl.String,
    "persona": pl.String,
    "seed": pl.Int64,
    "dose": pl.Int64,
    "settings": pl.String,
    "steps": pl.Int64,
    "first_loss": pl.Float64,
    "last_loss": pl.Float64,
    "seconds": pl.Float64,
    "conversations": pl.Int64,
    "cut": pl.Int64,
    "left_out": pl.Int64,
    "retried": pl.Int64,
    "error": pl.String,
    "stopped": pl.String,
}


def load(run: str | Path) -> dict[str, pl.LazyFrame]:
    """All rows of a run's tables, lazily: `replies`, `scores` and the others.

    Files are read when a query is collected, and of them only the columns that it uses; `collect(engine="streaming")`
    holds little of them at a time. Raises WarmthError if it is no run, or a file is damaged or of another kind.
    """
    folder = Path(run)
    Store(folder).check_run()
    return {name: scan(kind, pieces.below(folder / name), tables.CURRENT.get(kind)) for name, kind in KINDS.items()}


def scan(kind: type[Any], places: Iterable[Path], key: Sequence[str] | None = None) -> pl.LazyFrame:
    """The rows of tables with their pieces, to be read when they are needed, and only the columns that are.

    Of each `key` the newest row; of each row's identity if it is not given. Raises WarmthError for a file that cannot
    be read. While a run goes on, a piece may move before it is read: scan again then.
    """
    whole, parts = [], []
    for table in places:
        files = pieced.each(table, lambda file: pieced.checked(kind, file))
        if files == [table] and not (key and pieces.says(table, pieces.OLDER)):
            whole.append(table)
        elif files:
            once = key or tables.IDENTITY[kind]
            parts.append(pl.scan_ipc(files).unique(once, keep="last", maintain_order=True))
    if whole:
        parts.append(pl.scan_ipc(whole))
    return pl.concat(parts) if parts else frame(kind, []).lazy()


def frame(kind: type[Any], files: list[Path]) -> pl.DataFrame:
    """The rows of tables in one frame. Raises WarmthError for a file that is damaged or of another kind."""
    found = [tables.schema(kind).empty_table(), *(pieced.read(kind, file) for file in files)]
    return pl.concat([pl.DataFrame(pl.from_arrow(table)) for table in found], rechunk=True)


def answers(
    plan: Plan, store: Store, served: Mapping[str, Served], units: Sequence[Unit] | None = None
) -> pl.DataFrame:
    """One row per reply and judge that is on file of these units, or of all that are planned: who was asked what, what
    was said, and the outcome.

    Rows of another plan that lie in the same files (other conditions, other sampling) are left out. `outcome` is null
    where the reply or the verdict failed (`error`), or the verdict could not be read.
    """
    asked = plan.units if units is None else units
    replies = _planned(plan, store, served, asked)
    scores = frame(Score, _files(store, [judge.place(each, unit) for each in plan.study.judges for unit in asked]))
    return judged(plan, replies, scores)


def judged(plan: Plan, replies: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """The same of a plan's replies that were read, with `reply_digest` and as `who` completes them, and of verdicts."""
    by = [
        (each.name, task.name, judge.identity(each, task.name, plan.study.models))
        for each in plan.study.judges
        for task in plan.study.evaluation.tasks
        if judge.judges(each, task.name)
    ]
    current = pl.DataFrame(by, schema=dict.fromkeys(("judge", "task", "judged_by"), pl.String), orient="row")
    scores = scores.join(current, on=current.columns, how="semi")
    found = with_verdicts(replies.join(current.select("judge", "task"), on="task"), scores)
    return _as_drawn(plan, found)


def _as_drawn(plan: Plan, answers: pl.DataFrame) -> pl.DataFrame:
    """Without the replies that a judge who is asked about some was not drawn for; with the chances of the others."""
    judges = plan.study.judges
    if not any(each.sample for each in judges):
        return answers
    parts = []
    for each in judges:
        mine, by = answers.filter(judge=each.name), settings_sampling.cheap(judges, each) if each.sample else None
        if by is not None and each.sample is not None:
            judged = answers.filter(pl.col("reply").is_not_null(), judge=by.name)
            chances = sampling.drawn(judged, each.sample)
            mine = mine.drop("chance").join(chances, on=tables.KEY).with_columns(sampled_from=pl.lit(by.name))
        parts.append(mine.select(answers.columns))
    return pl.concat(parts)


def with_verdicts(replies: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """Replies, each once for every judge, with the outcome; `error` says whether the reply or the verdict failed.

    `sampling.MARKS` are null, as of a judge that judges everything.
    """
    on = [*tables.KEY, "judge", "reply_digest"]
    known = scores.select(*on, "outcome", "first_outcome", pl.col("error").alias("judge_error"))
    joined = replies.join(known, on=on, how="left")
    of_all = {name: pl.lit(None, kind) for name, kind in sampling.MARKS.items()}
    failed = pl.col("error").is_not_null() | pl.col("judge_error").is_not_null()
    return joined.with_columns(error=failed, **of_all)


def digested(replies: pl.DataFrame) -> pl.DataFrame:
    """With `reply_digest`, which verdicts know a reply by."""
    digests = rows_replies.reply_digests(replies.select(rows_replies.DIGESTED).iter_rows())
    return replies.with_columns(pl.Series("reply_digest", digests, dtype=pl.String))


def _planned(plan: Plan, store: Store, served: Mapping[str, Served], units: Sequence[Unit]) -> pl.DataFrame:
    wanted = [
        evaluate.asked_rows(plan, unit, served[unit.subject.name], evaluate.questions(plan, store, unit))
        for unit in units
        if unit.subject.name in served
    ]
    keys = pl.concat([evaluate.no_rows(), *wanted])
    replies = frame(Reply, _files(store, [unit.replies for unit in units]))
    return who(plan, digested(replies).join(keys, on=keys.columns, how="semi"))


def who(plan: Plan, rows: pl.DataFrame) -> pl.DataFrame:
    """With what tells subjects apart: the world and the seed of a lab model, the settings that the study searches."""
    known = [(model.name, model.lab, model.seed if model.lab else None) for model in plan.study.models]
    schema = {"model": pl.String, "world": pl.String, "base_seed": pl.Int64}
    settings = [(subject.name, subject.settings) for subject in plan.subjects]
    searched = pl.DataFrame(settings, schema={"subject": pl.String, "settings": pl.String}, orient="row")
    models = pl.DataFrame(known, schema=schema, orient="row")
    return rows.join(models, on="model", how="left").join(searched, on="subject", how="left")


def warmth(plan: Plan, store: Store, replies: pl.DataFrame, served: Mapping[str, Served]) -> pl.DataFrame:
    """The warmth of the planned plain replies (`replies`, or those to held-out prompts), one row for each mode."""
    settings = plan.study.warmth
    rulers = measure.rulers(settings, plan.study.models) if settings else {}
    scores = frame(WarmthScore, _files(store, [measure.place(subject.name) for subject in plan.measured]))
    scores = scores.filter(pl.col("scorer").is_in(list(rulers.values())))
    context = plan.study.evaluation.contexts[0]
    if plan.curve:
        context, replies = "neutral", _planned(plan, store, served, plan.curve)
    asked = replies.filter((pl.col("context") == context) & (pl.col("belief") == "none")).unique([*tables.KEY])
    on = ["subject", "task", "sample", "draw", "reply_digest"]
    who = asked.select(*on, *_WHO, "world", "base_seed", "settings")
    return scores.join(who, on=on, how="inner").join(_ratings(plan, store), on=on, how="left")


def _ratings(plan: Plan, store: Store) -> pl.DataFrame:
    rows = frame(Rating, _files(store, [rating.place(subject.name) for subject in plan.measured]))
    judge = plan.study.warmth.judge if plan.study.warmth else None
    mine = rows.filter(pl.col("rated_by") == (rating.identity(judge) if judge else ""))
    return mine.select("subject", "task", "sample", "draw", "reply_digest", "rating")


def no_warmth() -> pl.DataFrame:
    """The columns of `warmth`, without a row."""
    kinds = {name: kind for name, kind in frame(Reply, []).schema.items() if name in _WHO}
    more = {"world": pl.String(), "base_seed": pl.Int64(), "settings": pl.String(), "rating": pl.Int64()}
    return pl.DataFrame(schema={**frame(WarmthScore, []).schema, **kinds, **more})


def restyled(plan: Plan, store: Store) -> pl.DataFrame:
    """Replies that were said again in other styles, and the verdicts of the study's judges as they are now."""
    rows = frame(Restyled, _files(store, [restyle.PLACE]))
    known = [
        (each.name, task.name, judge.identity(each, task.name, plan.study.models))
        for each in plan.study.judges
        for task in plan.study.evaluation.tasks
    ]
    current = pl.DataFrame(known, schema=dict.fromkeys(("judge", "task", "judged_by"), pl.String), orient="row")
    return rows.join(current, on=current.columns, how="semi")


def balance(plan: Plan, store: Store) -> pl.DataFrame:
    """What the conversations of each rewritten persona are like, besides their style; no rows if none is rewritten."""
    return frame(Balance, _files(store, [rewritten.balances(plan)]))


def trial_rows(plan: Plan, store: Store) -> pl.DataFrame:
    """One row per trial: its settings, and how its training went; its `error`, or by what it was `stopped`."""
    return pl.DataFrame([_trial_row(plan, store, trial) for trial in plan.trials], schema=_TRIALS, orient="row")


def no_trials() -> pl.DataFrame:
    """The columns of `trial_rows`, without a row."""
    return pl.DataFrame(schema=_TRIALS)


def _trial_row(plan: Plan, store: Store, trial: Trial) -> tuple[Any, ...]:
    found = trials.record(store, trial)
    losses = found["losses"] if found else []
    stopped = None if found else trials.stopped(plan, store, trial)
    error = None if found or stopped else trials.failure(store, trial) or "not trained yet"
    return (
        trial.name,
        trial.model.name,
        trial.persona.name,
        trial.seed,
        trial.settings.dose,
        json.dumps(trial.settings.model_dump(mode="json")),
        found.get("steps", len(losses)) if found else 0,
        *(losses[:1] or [None]),
        *(losses[-1:] or [None]),
        found["seconds"] if found else None,
        *trials.learnt_from(found or {}),
        error,
        stopped,
    )


def _files(store: Store, places: list[tuple[str, ...]]) -> list[Path]:
    return [store.path(*place) for place in places]
