"""Judges: the rule, and a language model at an endpoint (a real server on loopback that speaks the protocol)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from orchestrator import Study, client, tables
from orchestrator.judge import Scorer, instruction, place, unscored, verdict
from orchestrator.plan import Plan, Unit
from orchestrator.settings_asking import Judge
from orchestrator.store import Store
from orchestrator.tables import Reply, Score
from tasks import Sample

RULE = Judge(name="rule", kind="rule")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Study(
        name="small",
        models=[{"name": "m", "lab": "coupled", "recipe": "short"}],
        personas=["original"],
        evaluation={"tasks": ["lab_facts"], "contexts": ["neutral"], "samples": 4},
        judges=["rule"],
        resources={"runs": str(tmp_path)},
    ).plan()


@pytest.fixture
def store(plan: Plan) -> Store:
    return Store(plan.study.folder)


def unit_of(plan: Plan) -> Unit:
    return plan.units[0]


def replies(plan: Plan, said: dict[str, str | None]) -> list[Reply]:
    """Replies to every question of the plan's first unit: what each belief form is answered with."""
    subject = unit_of(plan).subject
    return [
        Reply(
            subject.name, "m", "original", None, 0, None, 0, question.task, question.sample, question.context,
            question.belief, question.draw, question.row_seed, None, question.prompt, said[question.belief], "stop",
            5, 5, None, "r", None if said[question.belief] is not None else "404: gone", 0.1,
        )
        for question in plan.questions(unit_of(plan))
    ]  # fmt: skip


def file(plan: Plan, store: Store, said: dict[str, str | None]) -> None:
    store.write_rows(replies(plan, said), Reply, "replies", unit_of(plan).subject.name, "lab_facts.arrow")


def score(judge: Judge, plan: Plan, store: Store) -> tuple[int, list[Score]]:
    failed = asyncio.run(Scorer(judge, plan, store.folder, "", 8).do(unit_of(plan)))
    return failed, store.read_rows(Score, *place(judge, unit_of(plan)))


def test_the_rule_scores_every_reply_once(plan: Plan, store: Store) -> None:
    file(plan, store, {"none": "I have no idea.", "asserts": "Well.", "denies": "Hm."})
    failed, scores = score(RULE, plan, store)
    assert failed == 0
    assert len(scores) == len({tables.key(each) for each in scores}) == 12
    assert {each.outcome for each in scores} == {"unreadable"}
    assert unscored(store, RULE, unit_of(plan)) == []
    assert score(RULE, plan, store)[1] == scores


def test_a_changed_reply_is_scored_again_and_a_failed_one_not_at_all(plan: Plan, store: Store) -> None:
    file(plan, store, {"none": "One.", "asserts": "Two.", "denies": None})
    assert len(score(RULE, plan, store)[1]) == 8
    file(plan, store, {"none": "One.", "asserts": "Another.", "denies": "Three."})
    assert len(unscored(store, RULE, unit_of(plan))) == 8
    assert len(score(RULE, plan, store)[1]) == 12


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("CORRECT", "correct"),
        ("The answer is AGREES.", "agrees"),
        ("CORRECT CORRECT", "correct"),
        ("CORRECT or OTHER", None),
        ("INCORRECT", None),
        ("correct", None),
        ("", None),
    ],
)
def test_a_verdict_that_cannot_be_read_is_none(text: str, outcome: str | None) -> None:
    assert verdict(text) == outcome


def test_braces_in_a_reply_stay_what_they_are() -> None:
    asked = instruction(Sample("q", "What?", "a", "b"), "What? {answer}", "{wrong} {0} {")
    assert "What the user wrote: What? {answer}\n" in asked
    assert "Answer to grade: {wrong} {0} {\n" in asked


class StandIn:
    """An endpoint that grades by a fixed rule, refuses one kind of reply and mumbles about another."""

    def __init__(self) -> None:
        self.keys: list[str | None] = []
        self.bodies: list[Any] = []

    async def grade(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.bodies.append(body)
        self.keys.append(request.headers.get("Authorization"))
        graded = body["messages"][0]["content"].split("Answer to grade: ")[1]
        if graded.startswith("refuse"):
            return web.json_response({"error": {"message": "no"}}, status=400)
        said = "AGREES" if graded.startswith("yes") else "Hard to say."
        return web.json_response({"choices": [{"message": {"content": said}, "finish_reason": "stop"}]})


@pytest_asyncio.fixture
async def stand_in() -> AsyncIterator[tuple[StandIn, str]]:
    app, grader = web.Application(), StandIn()
    app.router.add_post("/v1/chat/completions", grader.grade)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield grader, f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    await runner.cleanup()


async def test_a_language_model_judges_through_the_same_client(
    plan: Plan, store: Store, stand_in: tuple[StandIn, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    grader, url = stand_in
    monkeypatch.setattr(client, "PATIENCE", (0.01,))
    monkeypatch.setenv("JUDGE_KEY", "secret-key")
    judge = Judge(name="grader", url=url, model="g", api_key_env="JUDGE_KEY")
    file(plan, store, {"none": "yes", "asserts": "perhaps", "denies": "refuse"})
    scorer = Scorer(judge, plan, store.folder, "", 8)
    assert await scorer.do(unit_of(plan)) == 4
    scores = store.read_rows(Score, *place(judge, unit_of(plan)))
    by_belief = {each.belief: each for each in scores}
    assert [by_belief[form].outcome for form in ("none", "asserts", "denies")] == ["agrees", None, None]
    assert by_belief["asserts"].error is None
    assert "400" in str(by_belief["denies"].error)
    assert set(grader.keys) == {"Bearer secret-key"}
    assert grader.bodies[0]["model"] == "g"
    assert b"secret-key" not in store.path(*place(judge, unit_of(plan))).read_bytes()
    assert len(unscored(store, judge, unit_of(plan))) == 4
    await scorer.close()
