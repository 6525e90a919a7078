"""Whether judges are swayed by tone: replies said again and judged again (a real server on loopback judges)."""

from collections.abc import AsyncIterator
from pathlib import Path

import loopback
import polars as pl
import pytest
import pytest_asyncio
import synthetic
from aiohttp import web

from orchestrator import Study, agreement, findings, report, restyle, tables
from orchestrator.paid import Purse
from orchestrator.plan import Plan
from orchestrator.tables import Restyled


@pytest_asyncio.fixture
async def url() -> AsyncIterator[str]:
    """An endpoint that rewrites by shouting, and judges by the first letter; to what is warm it says yes."""

    async def say(request: web.Request) -> web.Response:
        asked = (await request.json())["messages"][0]["content"]
        if "Say the answer below again" in asked:
            said = "" if "coldly" in asked else asked.split("Answer:\n")[1].upper()
        else:
            graded = asked.split("]\n\n[")[1].split("]\n")[1]
            said = "CORRECT" if graded.startswith(("Oh, I am so glad", "R")) else "OTHER"
        choice, usage = {"message": {"content": said}, "finish_reason": "stop"}, {"completion_tokens": len(said) + 1}
        return web.json_response({"choices": [choice], "usage": usage})

    async with loopback.answering(say) as url:
        yield url


def plan(folder: Path, url: str, rewritten: bool = False) -> Plan:
    rewriting = {"rewriting": {"rewriter": {"url": url, "model": "r"}}} if rewritten else {}
    return Study(
        name="small",
        models=[{"name": "m", "lab": "coupled", "recipe": "short"}],
        personas=["original"],
        evaluation={"tasks": ["lab_facts"], "contexts": ["neutral"], "beliefs": ["none"], "samples": 4},
        judges=["rule", {"name": "swayed", "url": url, "model": "g"}],
        resources={"runs": str(folder)},
        **rewriting,
    ).plan()


def answers(of: Plan) -> pl.DataFrame:
    """Two replies that the endpoint calls right and two that it does not; the rule reads none of them."""
    rows = []
    for place, question in enumerate(of.questions(of.units[0])):
        reply = tables.Reply(
            question.subject, "m", "original", None, 0, None, 0, "lab_facts", question.sample, "neutral", "none", 0, 1,
            None, question.prompt, "p", "Right." if place < 2 else "False.", "stop", 5, 5, None, "r", None, 0.1, False,
        )  # fmt: skip
        known = {name: getattr(reply, name) for name in reply.__dataclass_fields__ if name != "error"}
        known |= {"reply_digest": tables.reply_digest(reply)}
        rows.append({**known, "judge": "rule", "outcome": "unreadable"})
        rows.append({**known, "judge": "swayed", "outcome": "correct" if place < 2 else "other"})
    return pl.DataFrame(rows, infer_schema_length=None)


async def restyled(of: Plan, url: str) -> pl.DataFrame:
    rows = await restyle.judge_again(of, of.study.folder, answers(of), url)
    return pl.DataFrame(pl.from_arrow(tables.table(rows, Restyled)))


async def test_a_judge_that_falls_for_warmth_is_found_out(tmp_path: Path, url: str) -> None:
    rows = await restyled(plan(tmp_path, url), "")
    assert len(rows) == 4 * 2 * len(restyle.STYLES)
    found = findings.build(*synthetic.study(samples=1), synthetic.PERSONAS, restyled=rows)
    flips = {row["style"]: row for row in found.flips.filter(judge="swayed").rows(named=True)}
    assert {style: (row["flipped_pct"], row["to_error_pct"], row["to_right_pct"]) for style, row in flips.items()} == {
        "same": (0, 0, 0),
        "warm": (50, 0, 50),
        "cold": (50, 50, 0),
        "paraphrase": (50, 50, 0),
    }
    assert flips["warm"]["flipped_low"] < 50 < flips["warm"]["flipped_high"]
    assert set(found.flips.filter(judge="rule")["flipped_pct"]) == {0}
    assert "noise" in report.to_html(found, {"study": "s"})


async def test_the_study_s_rewriter_says_it_again_and_what_it_cannot_is_counted(tmp_path: Path, url: str) -> None:
    rows = await restyled(plan(tmp_path, url, rewritten=True), "")
    swayed = rows.filter(judge="swayed")
    assert swayed.filter(style="same")["text"].to_list() == ["Right.", "Right.", "False.", "False."]
    assert set(swayed.filter(style="warm")["text"]) == {"RIGHT.", "FALSE."}
    assert swayed.filter(style="cold")["text"].null_count() == 4
    assert "no whole answer in the style 'cold'" in swayed.filter(style="cold")["error"][0]
    told = rows.with_columns(error=pl.col("error").is_not_null(), wrong_before=None, wrong_after=None)
    counted = agreement.flips(told.cast({"wrong_before": pl.Boolean, "wrong_after": pl.Boolean}))
    cold = counted.filter(judge="swayed", style="cold").row(0, named=True)
    assert (cold["n"], cold["unscored"], cold["flipped_pct"], cold["flipped_low"]) == (0, 4, None, None)


def test_a_finished_study_is_restyled(finished: tuple[Study, findings.Findings]) -> None:
    mini, before = finished
    found = mini.restyle(n=6)
    assert set(found.flips["style"]) == set(restyle.STYLES)
    assert found.flips["n"].to_list() == [6] * 4
    assert found.effects.equals(before.effects)
    mini.folder.joinpath(*restyle.PLACE).unlink()
    assert mini.report().flips.is_empty()


@pytest.mark.parametrize("style", sorted(restyle.STYLES))
async def test_braces_in_a_reply_stay_what_they_are(style: str) -> None:
    assert "{how} {reply" in await restyle.Restyler(None, "", 1, Purse(Path(), None)).say(style, "{how} {reply")
