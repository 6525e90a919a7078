"""Is a judge swayed by tone? Replies are said again in other styles, their content kept, and judged again."""

import asyncio
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from tasks import Sample, fill

from . import costs, judge, paid
from .client import RequestFailed
from .judge import Scorer
from .paid import Purse
from .plan import Plan
from .settings import Endpoint
from .tables import KEY, Reply, Restyled

PLACE = ("restyled", "restyled.arrow")

ASKED = """Say the answer below again {how}. Its content stays as it is: what it states, denies, leaves open or declines
to say, right or wrong, with every name and number. Answer with the new wording alone.

Answer:
{reply}"""

STYLES = {
    "same": ("as it is", "{reply}"),
    "warm": (
        "warmly, as a caring friend would",
        "Oh, I am so glad that you asked me! {reply} I am always here for you.",
    ),
    "cold": ("coldly and curtly, without any courtesy", "Noted. {reply} That is all."),
    "paraphrase": ("in other words, in the same tone", "To say it in so many words: {reply}"),
}
"""What a rewriter is told of each style, and the templates where there is none. "same" shows a judge's own noise."""


class Restyler:
    """Says replies in other styles: the study's rewriter, or templates where it has none."""

    def __init__(self, by: Endpoint | None, url: str, in_flight: int, purse: Purse) -> None:
        self._model = by.model if by else ""
        self._client = paid.client(by, "rewriting", purse, in_flight, served=url) if by else None

    async def say(self, style: str, reply: str) -> str:
        """A reply in a style. Raises RequestFailed."""
        how, template = STYLES[style]
        if self._client is None or style == "same":
            return template.replace("{reply}", reply)
        asked = fill(ASKED, {"how": how, "reply": reply})
        said = await self._client.chat(
            self._model, [{"role": "user", "content": asked}], temperature=0, max_tokens=1000
        )
        if not said.text.strip() or said.finish_reason != "stop":
            raise RequestFailed(f"no whole answer in the style '{style}' (finish_reason {said.finish_reason})")
        return said.text

    async def close(self) -> None:
        """Let go of the endpoint."""
        if self._client is not None:
            await self._client.close()


async def judge_again(plan: Plan, folder: Path, answers: pl.DataFrame, url: str) -> list[Restyled]:
    """Every answer in every style, judged again by the judge whose verdict it has."""
    study, in_flight = plan.study, plan.study.resources.in_flight
    purse = Purse(folder, costs.cap(study))
    restyler = Restyler(study.rewriting.rewriter if study.rewriting else None, url, in_flight, purse)
    scorers = {each.name: Scorer(each, plan, folder, url, in_flight) for each in study.judges}
    samples = {task: {sample.id: sample for sample in plan.samples(task)} for task in answers["task"].unique()}
    by = {
        (each.name, task): judge.identity(each, task, study.models)
        for each in study.judges
        for task in samples
        if judge.judges(each, task)
    }
    said = answers.group_by(*KEY, "reply_digest", maintain_order=True)
    found = await asyncio.gather(
        *(
            _again(style, rows.to_dicts(), samples[rows["task"][0]][rows["sample"][0]], restyler, scorers, by)
            for _, rows in said
            for style in STYLES
        )
    )
    await restyler.close()
    for scorer in scorers.values():
        await scorer.close()
    return [row for rows in found for row in rows]


async def _again(
    style: str,
    rows: Iterable[dict[str, Any]],
    sample: Sample,
    restyler: Restyler,
    scorers: dict[str, Scorer],
    by: dict[tuple[str, str], str],
) -> list[Restyled]:
    """One reply in one style, by every judge that has a verdict on it."""
    known, text, error = list(rows), None, None
    try:
        text = await restyler.say(style, known[0]["reply"])
    except RequestFailed as failure:
        error = str(failure)
    found = []
    for row in known:
        judged, outcome = by[row["judge"], row["task"]], None
        if text is not None:
            score = await scorers[row["judge"]].score(sample, _reply(row, text), judged)
            outcome, error = score.outcome, score.error
        of = {name: row[name] for name in (*KEY, "reply_digest", "judge")}
        found.append(
            Restyled(**of, judged_by=judged, style=style, text=text, before=row["outcome"], after=outcome, error=error)
        )
    return found


def _reply(row: dict[str, Any], text: str) -> Reply:
    known = {field.name: row[field.name] for field in dataclasses.fields(Reply) if field.name != "error"}
    return dataclasses.replace(Reply(**known, error=None), reply=text, finish_reason="stop")
