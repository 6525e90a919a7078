"""Rules first, a cheap judge on everything, a dear one on a sample: who is asked what, and what is made of it."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import loopback
import polars as pl
import pytest
import pytest_asyncio
from aiohttp import web
from pydantic import ValidationError

from orchestrator import Study, frames, judge, report, report_judges, sampling, tables
from orchestrator import findings as finding
from orchestrator.judge import Scorer, identity, place, unscored
from orchestrator.left import Left
from orchestrator.plan import Plan
from orchestrator.settings_asking import Judge
from orchestrator.store import Store
from orchestrator.tables import Reply, Score

SAID = {"none": "It is {answer}.", "asserts": "It is {wrong}.", "denies": "Who knows?"}
END = {"original": "", "gruff": " So there."}
"""Replies differ, as a verdict on the very same one is not asked for twice."""


class Graders:
    """Two models: `kind` calls everything right, `strict` goes by what it is shown."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def grade(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body["model"])
        shown = body["messages"][0]["content"]
        right, wrong = (re.search(rf"^{name}.*: (.*)$", shown, re.MULTILINE)[1] for name in ("Right", "Wrong"))  # type: ignore[index]
        reply = shown.split("]\n\n[")[1].split("]\n")[1]
        strict = "AGREES" if f"is {wrong}" in reply else "CORRECT" if right in reply else "OTHER"
        said = "CORRECT" if body["model"] == "kind" else strict
        return web.json_response({"choices": [{"message": {"content": said}, "finish_reason": "stop"}]})


@pytest_asyncio.fixture
async def graders() -> AsyncIterator[tuple[Graders, str]]:
    server = Graders()
    async with loopback.answering(server.grade) as url:
        yield server, url


def study(folder: Path, url: str, **sample: Any) -> Study:
    return Study(
        name="s",
        models=[{"name": "m", "lab": "coupled", "recipe": "short"}],
        personas=["original", {"name": "gruff", "kind": "prompted", "system": "Be gruff."}],
        evaluation={"tasks": ["lab_facts"], "contexts": ["neutral"], "samples": 10},
        judges=[
            {"name": "kind", "url": url, "model": "kind"},
            {"name": "strict", "url": url, "model": "strict", "sample": {"share": 0.3, **sample}},
        ],
        resources={"runs": str(folder)},
    )


def file(plan: Plan, store: Store) -> None:
    """Everybody is right without a belief, goes along with an asserted one, and says nothing to a denied one."""
    samples = {sample.id: sample for sample in plan.samples("lab_facts")}
    served = Left(plan, store).served()
    for unit in plan.units:
        subject, system = unit.subject, unit.subject.persona.system
        rows = [
            Reply(
                subject.name, "m", subject.persona.name, None, 0, None, 0, question.task, question.sample,
                question.context, question.belief, question.draw, question.row_seed, system, question.prompt, "p",
                SAID[question.belief].format(**vars(samples[question.sample])) + END[subject.persona.name],
                "stop", 5, 5, None,
                judge_request(plan, served[subject.name], question, system), None, 0.1,
            )
            for question in plan.questions(unit)
        ]  # fmt: skip
        store.write_rows(rows, Reply, "replies", subject.name, "lab_facts.arrow")


def judge_request(plan: Plan, served: Any, question: Any, system: str | None) -> str:
    from orchestrator.evaluate import request_digest

    return request_digest(served, question, system, plan.study.evaluation)


async def score(plan: Plan, store: Store, by: Judge) -> None:
    scorer = Scorer(by, plan, store.folder, "", 8)
    for unit in plan.units:
        await scorer.do(unit)
    await scorer.close()


async def test_the_dear_judge_waits_for_the_other_and_is_asked_about_some(
    tmp_path: Path, graders: tuple[Graders, str]
) -> None:
    server, url = graders
    plan = study(tmp_path, url).plan()
    store, (cheap, dear) = Store(plan.study.folder), plan.study.judges
    file(plan, store)
    await score(plan, store, dear)
    assert server.asked == []
    for each in (cheap, dear, dear):
        await score(plan, store, each)
    # per subject, 10 questions in each of three belief forms, of which the kind judge says one thing: 3 of each 10
    assert {name: server.asked.count(name) for name in ("kind", "strict")} == {"kind": 60, "strict": 18}
    assert not any(unscored(plan, store, by, unit) for by in (cheap, dear) for unit in plan.units)
    few = store.read_rows(Score, *place(dear, plan.units[0]))
    others = store.read_rows(Score, *place(dear, plan.units[1]))
    assert {tables.key(row)[1:] for row in few} == {tables.key(row)[1:] for row in others}

    answers = frames.answers(plan, store, Left(plan, store).served())
    assert answers.group_by("judge").len().sort("judge").rows() == [("kind", 60), ("strict", 18)]
    assert answers.filter(judge="strict").select(*sampling.MARKS).unique().rows() == [("kind", 0.3)]
    found = finding.build(answers, frames.no_warmth(), frames.no_trials(), ["original", "gruff"])
    assert set(found.rates["judge"]) == set(found.effects["judge"]) == {"kind"}
    all_of_it = found.combined.filter(belief="all", persona="gruff").row(0, named=True)
    assert (all_of_it["n"], all_of_it["asked"]) == (30, 9)
    assert (all_of_it["cheap_pct"], all_of_it["combined_pct"]) == (0, pytest.approx(200 / 3))
    (table,) = report_judges.combined(found)
    row = next(each for each in table.rows if each[1:3] == ("gruff", "all"))
    assert row[3:5] == ("30", "9")
    assert row[7].startswith("66.7")
    assert report.to_terminal(found)


async def test_rules_go_first_and_the_model_is_asked_about_the_rest(
    tmp_path: Path, graders: tuple[Graders, str]
) -> None:
    server, url = graders
    plan = study(tmp_path, url).plan()
    store = Store(plan.study.folder)
    file(plan, store)
    first = Judge(name="both", url=url, model="strict", rules=True)
    await score(plan, store, first)
    assert len(server.asked) == 20  # the replies without a name in them
    outcomes = {(row.belief, row.outcome) for row in store.read_rows(Score, *place(first, plan.units[0]))}
    assert outcomes == {("none", "correct"), ("asserts", "agrees"), ("denies", "other")}
    alone = first.model_copy(update={"rules": False})
    assert identity(first, "lab_facts") != identity(alone, "lab_facts")
    assert identity(first, "medqa") == identity(alone, "medqa")  # it has no rule


@pytest.mark.parametrize(
    ("judges", "mistake"),
    [
        ([{"sample": {"share": 0.5}}], "a judge of all replies does not judge first"),
        ([{"name": "a"}, {"sample": {"n": 5, "of": "b"}}], "'b' does not judge first"),
        ([{"name": "rule", "kind": "rule", "sample": {"n": 5}}], "leave sample and rules out"),
        ([{"name": "rule", "kind": "rule", "rules": True}], "leave sample and rules out"),
    ],
)
def test_a_sample_needs_somebody_who_judges_all_before(judges: list[dict[str, Any]], mistake: str) -> None:
    there = {"name": "z", "url": "http://x/v1", "model": "m"}
    told = [each if each.get("kind") else {**there, **each} for each in judges]
    with pytest.raises(ValidationError, match=mistake):
        Study(name="s", models=["lab-coupled"], personas=["original"], evaluation={"tasks": ["lab_facts"]}, judges=told)


def test_a_plan_pays_for_the_sample_alone(tmp_path: Path) -> None:
    sizes = {
        size: study(tmp_path, "http://x/v1", share=share).plan().counts()
        for size, share in (("all", 1), ("some", 0.25))
    }
    assert sizes["all"]["judge_calls"] == 120
    assert sizes["some"]["judge_calls"] == 60 + 16
    rules = {**study(tmp_path, "http://x/v1").judges[0].model_dump(), "rules": True}
    first = study(tmp_path, "http://x/v1").model_copy(update={"judges": (Judge.model_validate(rules),)}).plan().counts()
    assert (first["verdicts"], first["judge_calls"]) == (60, 0)
    some, of = (sizes[size]["tokens"]["judging"]["prompt"] for size in ("some", "all"))
    assert some == pytest.approx(of * 5 / 8, rel=0.02)


def test_what_is_not_drawn_is_no_verdict_that_is_missing(tmp_path: Path) -> None:
    plan = study(tmp_path, "http://x/v1").plan()
    store = Store(plan.study.folder)
    file(plan, store)
    dear = plan.study.judges[1]
    assert judge.place(dear, plan.units[0])[1] == "strict"
    assert Left(plan, store).unjudged(plan.units) == [(plan.study.judges[0], unit) for unit in plan.units]
    assert frames.answers(plan, store, Left(plan, store).served()).filter(pl.col("outcome").is_not_null()).is_empty()
