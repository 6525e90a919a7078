"""Replies to read beside one another: every persona's answer to the same prompt, chosen by rule. Pure."""

from collections.abc import Sequence

import polars as pl

PER_TASK = 6
"""How many prompts of each task and model are shown."""

PROMPT = ["model", "task", "sample", "context", "belief", "draw"]
RULE = (
    "Prompts that all personas of a model answered, at their last epoch and from the first training seed. First those "
    "where {persona} is wrong and {baseline} is right, then others where {persona} is wrong, then those where anybody "
    "is, then the rest; within these groups in the order of a checksum, so that nobody has picked them."
)


def rule(persona: str, baseline: str) -> str:
    """What the replies were chosen by, in words."""
    return RULE.format(persona=persona, baseline=baseline)


def examples(answers: pl.DataFrame, personas: Sequence[str], persona: str, baseline: str) -> pl.DataFrame:
    """Up to PER_TASK prompts of each model and task with every persona's reply, by RULE; personas in their order."""
    rows = _one_each(_with_both_turns(answers))
    prompts = rows.group_by(PROMPT).agg(
        answered=pl.col("persona").n_unique(),
        rank=_rank(persona, baseline),
        drawn=pl.concat_str(pl.col(PROMPT).cast(pl.String), separator="\x1f").first().hash(0),
    )
    all_answered = pl.col("answered") == pl.col("answered").max().over("model", "task")
    ordered = prompts.filter(all_answered).sort("model", "task", "rank", "drawn")
    chosen = ordered.group_by("model", "task", maintain_order=True).head(PER_TASK).with_row_index("place")
    place = pl.col("persona").replace_strict(list(personas), range(len(personas)), default=None, return_dtype=pl.Int64)
    columns = ["place", *PROMPT, "persona", "epoch", "outcome", "wrong", "reply", "^prompt$"]
    return rows.join(chosen.drop("answered", "rank", "drawn"), on=PROMPT).sort("place", place).select(columns)


def _with_both_turns(answers: pl.DataFrame) -> pl.DataFrame:
    """What was said in a second turn stands in prompt and reply, behind what was said in the first one."""
    if not {"prompt", "pushback"} <= set(answers.columns):
        return answers
    again = pl.when(pl.col("pushback").is_not_null())
    return answers.with_columns(
        again.then(pl.format("{}\n\n(after the answer) {}", "prompt", "pushback")).otherwise("prompt").alias("prompt"),
        again.then(pl.format("{}\n\n(after that) {}", "first_reply", "reply")).otherwise("reply").alias("reply"),
    )


def _one_each(answers: pl.DataFrame) -> pl.DataFrame:
    """Each persona's replies as one subject has them and one judge sees them."""
    same = ["model", "persona"]
    return answers.filter(
        pl.col("judge") == pl.col("judge").min(),
        pl.col("reply").is_not_null(),
        pl.col("epoch") == pl.col("epoch").max().over(same),
        (pl.col("seed") == pl.col("seed").min().over(same)).fill_null(True),
        pl.col("dose") == pl.col("dose").max().over(same),
        (pl.col("settings") == pl.col("settings").min().over(same)).fill_null(True),
    )


def _rank(persona: str, baseline: str) -> pl.Expr:
    wrong = pl.col("wrong").fill_null(False)
    mine = (wrong & (pl.col("persona") == persona)).any()
    right = (~pl.col("wrong").fill_null(True) & (pl.col("persona") == baseline)).any()
    return pl.when(mine & right).then(0).when(mine).then(1).when(wrong.any()).then(2).otherwise(3)
