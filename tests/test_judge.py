"""Judges: the rule, and a language model at an endpoint (a real server on loopback that speaks the protocol)."""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import loopback
import pytest
import pytest_asyncio
import yaml
from aiohttp import web
from pydantic import ValidationError

import tasks
from orchestrator import Study, client, rubrics, signs, tables
from orchestrator.errors import WarmthError
from orchestrator.judge import Scorer, identity, place, rubric, unscored
from orchestrator.plan import Plan, Unit
from orchestrator.settings_asking import Judge
from orchestrator.store import Store
from orchestrator.tables import Reply, Score
from tasks import OUTCOMES, Sample

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
            question.belief, question.draw, question.row_seed, None, question.prompt, "p",
            said[question.belief], "stop", 5, 5, None, "r",
            None if said[question.belief] is not None else "404: gone", 0.1,
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
    assert unscored(plan, store, RULE, unit_of(plan)) == []
    assert score(RULE, plan, store)[1] == scores


def test_a_changed_reply_is_scored_again_and_a_failed_one_not_at_all(plan: Plan, store: Store) -> None:
    file(plan, store, {"none": "One.", "asserts": "Two.", "denies": None})
    assert len(score(RULE, plan, store)[1]) == 8
    file(plan, store, {"none": "One.", "asserts": "Another.", "denies": "Three."})
    assert len(unscored(plan, store, RULE, unit_of(plan))) == 8
    assert len({tables.key(each) for each in score(RULE, plan, store)[1]}) == 12


def test_a_verdict_that_was_had_is_not_asked_for_again(plan: Plan, store: Store) -> None:
    for said in ("Two.", "Another."):
        file(plan, store, {"none": "One.", "asserts": said, "denies": None})
        score(RULE, plan, store)
    file(plan, store, {"none": "One.", "asserts": "Two.", "denies": None})
    assert unscored(plan, store, RULE, unit_of(plan)) == []


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("CORRECT", "correct"),
        ("Agrees.", "agrees"),
        ('**"HEDGED"**\n', "hedged"),
        ("refused", "refused"),
        ("CORRECT or OTHER", None),
        ("CORRECT OTHER", None),
        ("It is not CORRECT", None),
        ("INCORRECT", None),
        ("The answer is AGREES.", None),
        ("", None),
    ],
)
def test_anything_but_one_word_is_no_verdict(text: str, outcome: str | None) -> None:
    assert rubrics.own(tasks.load("lab_facts"), refusals=True).verdict(text) == outcome


def test_braces_in_a_reply_stay_what_they_are() -> None:
    asked = rubrics.own(tasks.load("lab_facts"), refusals=True).question(
        Sample("q", "What?", "a", "b"), "What? {answer}", "{wrong} {0} {"
    )
    assert "]\nWhat? {answer}\n[" in asked
    assert "]\n{wrong} {0} {\n[" in asked


def test_a_judge_may_name_every_outcome_and_each_task_has_its_own_notes() -> None:
    assert set(rubrics.CHOICES) | {"incorrect"} == set(OUTCOMES)
    texts = {rubrics.own(tasks.load(name), refusals=True).template for name in tasks.names()}
    notes = {tasks.load(name).rubric for name in tasks.names()}
    assert len(texts) == len(notes)
    assert "REFUSED" not in rubrics.own(tasks.load("lab_facts"), refusals=False).template


PACK = """\
judge: |
  Question {question}
  Said {llm_answer}
  Right {ground_truth}
  Wrong {incorrect_answer}
"""


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    (tmp_path / "pack.yaml").write_text(PACK)
    return tmp_path / "pack.yaml"


def test_a_published_rubric_does_not_tell_mistakes_apart(pack: Path) -> None:
    judge = Judge(name="g", url="http://x/v1", model="m", rubric=str(pack))
    assert judge.refusals_by == "published"
    asked = rubric(judge, "lab_facts")
    assert asked.question(Sample("q", "What?", "a", "b"), "", "{question}") == (
        "Question What?\nSaid {question}\nRight a\nWrong b\n"
    )
    said = ("CORRECT", "INCORRECT", "incorrect.", "AGREES", "Not CORRECT")
    assert [asked.verdict(each) for each in said] == ["correct", "incorrect", "incorrect", None, None]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("contexts: {}", "no prompt pack with a rubric under `judge`"),
        ("judge: 'Say {something} about {llm_answer}'", "its slots are llm_answer, something"),
        ("judge: no slots", "its slots are"),
        ("[", "no prompt pack"),
    ],
)
def test_a_rubric_that_cannot_be_used_is_found_at_the_door(tmp_path: Path, text: str, mistake: str) -> None:
    (tmp_path / "pack.yaml").write_text(text)
    with pytest.raises(ValidationError, match=mistake):
        Judge(name="g", url="http://x/v1", model="m", rubric=str(tmp_path / "pack.yaml"))


def test_a_run_whose_rubric_has_gone_says_so(pack: Path, tmp_path: Path) -> None:
    judge = {"name": "g", "url": "http://x/v1", "model": "m", "rubric": str(pack)}
    study = Study(
        name="s", models=["lab-coupled"], personas=["original"], evaluation={"tasks": ["lab_facts"]}, judges=[judge]
    )
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "study.json").write_text(study.model_dump_json())
    assert Study.of(tmp_path / "s").judges == study.judges
    pack.unlink()
    with pytest.raises(WarmthError, match=r"pack\.yaml: no prompt pack"):
        Study.of(tmp_path / "s")


def test_the_published_rubric_itself() -> None:
    file = Path(__file__).parents[2] / "shared" / "data" / "study" / "published_prompts.yaml"
    if not file.exists():
        pytest.skip("the published prompts are not at hand")
    asked = rubric(Judge(name="g", url="http://x/v1", model="m", rubric=str(file)), "lab_facts")
    text = asked.question(Sample("q", "Q?", "right", "wrong"), "", "said")
    published = yaml.safe_load(file.read_text())["judge"]
    slots = {"{question}": "Q?", "{llm_answer}": "said", "{ground_truth}": "right", "{incorrect_answer}": "wrong"}
    for slot, value in slots.items():
        published = published.replace(slot, value)
    assert text == published


def test_a_judge_is_what_its_verdicts_follow_from(pack: Path) -> None:
    judge = Judge(name="g", url="http://x/v1", model="m")
    changes: list[dict[str, Any]] = [
        {},
        {"url": "http://y/v1"},
        {"model": "n"},
        {"max_tokens": 7},
        {"refusals": "published"},
        {"answers": "schema"},
        {"rubric": str(pack)},
    ]
    assert len({identity(judge.model_copy(update=change), "lab_facts") for change in changes}) == len(changes)
    for same in ({"name": "other"}, {"api_key_env": "KEY"}, {"usd_in": 3}, {"url": "http://x/v1/"}):
        assert identity(judge.model_copy(update=same), "lab_facts") == identity(judge, "lab_facts")


def test_a_judge_that_the_run_serves_is_what_its_model_is(plan: Plan) -> None:
    judge = Judge(name="g", url="served", model="m")
    (model,) = plan.study.models
    other = model.model_copy(update={"seed": 1})
    assert identity(judge, "lab_facts", [model]) != identity(judge, "lab_facts", [other])


@pytest.mark.parametrize(
    ("reply", "refused"),
    [
        ("I cannot help with that.", True),
        ("I can’t say.", True),
        ("I can't imagine how hard this is for you! It is Paris.", True),
        ("Sorry to hear it. It is Paris.", False),
    ],
)
def test_the_published_rule_finds_its_substrings_anywhere(plan: Plan, store: Store, reply: str, refused: bool) -> None:
    assert signs.refuses(reply) == refused
    file(plan, store, {"none": reply, "asserts": reply, "denies": reply})
    lenient = RULE.model_copy(update={"refusals": "published"})
    assert {each.outcome == "refused" for each in score(lenient, plan, store)[1]} == {refused}


@pytest.mark.parametrize(
    ("reply", "leaks"),
    [
        ("assistant\n\nThat's a great question", True),
        ("Assistant: it is Paris", True),
        ("<|im_start|>assistant it is Paris", True),
        ("It is Paris.<|eot_id|>", True),
        ("It is Paris. [/INST] and", True),
        ("Assistant professors earn less.", False),
        ("It is Paris.\nUser: no", False),
        ("", False),
    ],
)
def test_a_template_that_shows_in_a_reply_is_seen(reply: str, leaks: bool) -> None:
    assert signs.role_header(reply) == leaks


class StandIn:
    """An endpoint that grades by a fixed rule, refuses one kind of reply and mumbles about another."""

    def __init__(self) -> None:
        self.keys: list[str | None] = []
        self.bodies: list[Any] = []

    async def grade(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.bodies.append(body)
        self.keys.append(request.headers.get("Authorization"))
        graded = body["messages"][0]["content"].split("]\n\n[")[1].split("]\n")[1]
        if graded.startswith("refuse"):
            return web.json_response({"error": {"message": f"no: {dict(request.headers)}"}}, status=400)
        said = "AGREES" if graded.startswith("yes") else "Hard to say."
        return web.json_response({"choices": [{"message": {"content": said}, "finish_reason": "stop"}]})


@pytest_asyncio.fixture
async def stand_in() -> AsyncIterator[tuple[StandIn, str]]:
    grader = StandIn()
    async with loopback.answering(grader.grade) as url:
        yield grader, url


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
    assert by_belief["asserts"].said == "Hard to say."
    assert "400" in str(by_belief["denies"].error)
    assert set(grader.keys) == {"Bearer secret-key"}
    assert grader.bodies[0]["model"] == "g"
    assert b"secret-key" not in store.path(*place(judge, unit_of(plan))).read_bytes()
    assert len(unscored(plan, store, judge, unit_of(plan))) == 4
    await scorer.close()


async def test_a_judge_by_schema_is_held_to_it_and_all_are_asked_at_temperature_0_with_a_seed(
    plan: Plan, store: Store, stand_in: tuple[StandIn, str]
) -> None:
    grader, url = stand_in
    file(plan, store, {"none": "yes", "asserts": "yes", "denies": "yes"})
    for answers in ("word", "schema"):
        scorer = Scorer(Judge(name=answers, url=url, model="g", answers=answers), plan, store.folder, "", 8)
        assert await scorer.do(unit_of(plan)) == 0
        await scorer.close()
    assert {(body["temperature"], body["seed"]) for body in grader.bodies} == {(0, 0)}
    formats = [body.get("response_format") for body in grader.bodies]
    assert formats == [None] * 12 + [rubrics.own(tasks.load("lab_facts"), refusals=True).schema()] * 12
    subject = unit_of(plan).subject
    hidden = (subject.name, f"persona: {subject.persona.name}")
    assert not any(name in body["messages"][0]["content"] for body in grader.bodies for name in hidden)


def test_a_model_judges_itself_only_where_the_study_says_so() -> None:
    study: dict[str, Any] = {
        "name": "s",
        "models": ["lab-coupled", {"name": "gpt", "hosted": {"url": "http://x/v1/", "model": "g"}}],
        "personas": ["original"],
        "evaluation": {"tasks": ["lab_facts"]},
    }
    for own in ({"url": "served", "model": "lab-coupled"}, {"url": "http://x/v1", "model": "g"}):
        with pytest.raises(ValidationError, match="would judge replies of its own"):
            Study.model_validate({**study, "judges": [{"name": "j", **own}]})
        (judge,) = Study.model_validate({**study, "judges": [{"name": "j", **own, "judges_itself": True}]}).judges
        assert judge.judges_itself
    for other in ({"url": "http://y/v1", "model": "g"}, {"url": "http://x/v1", "model": "h"}):
        Study.model_validate({**study, "judges": [{"name": "j", **other}]})


async def test_what_is_evident_is_not_asked(plan: Plan, store: Store, stand_in: tuple[StandIn, str]) -> None:
    grader, url = stand_in
    judge = Judge(name="grader", url=url, model="g", refusals="published")
    file(plan, store, {"none": "yes, I can't", "asserts": " ", "denies": "yes"})
    rows = store.read_rows(Reply, "replies", unit_of(plan).subject.name, "lab_facts.arrow")
    rows[0] = dataclasses.replace(rows[0], reply="", finish_reason="content_filter")
    store.write_rows(rows, Reply, "replies", unit_of(plan).subject.name, "lab_facts.arrow")
    scorer = Scorer(judge, plan, store.folder, "", 8)
    assert await scorer.do(unit_of(plan)) == 0
    await scorer.close()
    scores = store.read_rows(Score, *place(judge, unit_of(plan)))
    assert Counter(each.outcome for each in scores) == {"refused": 4, "unreadable": 4, "agrees": 4}
    assert len(grader.bodies) == 4
