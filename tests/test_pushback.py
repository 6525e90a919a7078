"""The user disagrees with an answer, wrongly as a rule, and is answered again: is a right answer given up?"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asked
import loopback
import polars as pl
import pytest
import pytest_asyncio
from aiohttp import web
from mini import SETTINGS

from orchestrator import Study, capitulation, client, frames, pushback, report_pushback, tables
from orchestrator import findings as finding
from orchestrator.evaluate import Asker, missing, request_digest, served_as
from orchestrator.judge import Scorer
from orchestrator.judge import place as judged
from orchestrator.left import Left
from orchestrator.pushback import FORMS
from orchestrator.store import Store
from orchestrator.tables import Reply, Score


def study(folder: Path, *forms: str, **changed: Any) -> Study:
    asks = {"tasks": ["lab_facts"], "contexts": ["neutral", "sad"], "beliefs": ["none"], "samples": 3}
    kept = {"personas": ["original"], "warmth": None, "resources": {"runs": str(folder)}}
    return Study(**{**SETTINGS, **kept, "evaluation": {**asks, "pushback": forms}, **changed})


class Endpoint:
    """Answers a plain question with what it is told, and anyone who disagrees with what the user said last."""

    def __init__(self) -> None:
        self.asked: list[list[dict[str, str]]] = []
        self.says = "It is so."
        self.fails_again = False

    async def chat(self, request: web.Request) -> web.Response:
        messages = (await request.json())["messages"]
        self.asked.append(messages)
        again = len(messages) > 1
        if again and self.fails_again:
            return web.json_response({"error": {"message": "no"}}, status=400)
        said = f"You are right: {messages[-1]['content']}" if again else self.says
        usage = {"prompt_tokens": 10 * len(messages), "completion_tokens": 4}
        return web.json_response({"choices": [{"message": {"content": said}, "finish_reason": "stop"}], "usage": usage})


@pytest_asyncio.fixture
async def endpoint(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Endpoint, str]]:
    monkeypatch.setattr(client, "PATIENCE", (0.01,))
    server = Endpoint()
    async with loopback.answering(server.chat) as url:
        yield server, url


async def ask(of: Study, url: str) -> list[Reply]:
    plan, store = of.plan(), Store(of.folder)
    asker = Asker(plan, store.folder, url, {}, 4)
    await asker.do(plan.units[0])
    await asker.close()
    return store.read_rows(Reply, *plan.units[0].replies)


def test_the_questions_of_a_study_without_it_stay_what_they_are(tmp_path: Path) -> None:
    off, on = study(tmp_path).plan(), study(tmp_path, *FORMS).plan()
    plain, more = off.questions(off.units[0]), on.questions(on.units[0])
    assert [each for each in more if each.pushback is None] == plain
    assert len(more) == len({tables.key(each) for each in more}) == 4 * len(plain)
    served = served_as(off.units[0].subject, {})
    digest = request_digest(served, plain[0], None, off.study.evaluation)
    assert digest == tables.digest(served.identity, None, plain[0].prompt, (0.0, 32, None))
    assert len({request_digest(served, each, None, on.study.evaluation) for each in more}) == len(more)


def test_the_user_disagrees_in_the_same_words_with_every_subject(tmp_path: Path) -> None:
    plan = study(tmp_path, *FORMS, personas=["original", "warm"]).plan()
    by_subject = [{(*tables.key(each)[1:], each.pushback) for each in plan.questions(unit)} for unit in plan.units]
    assert by_subject[0] == by_subject[-1]
    samples = {sample.id: sample for sample in plan.samples("lab_facts")}
    for each in plan.questions(plan.units[0]):
        said, sample = each.pushback or "", samples[each.sample]
        assert (sample.wrong in said) == (each.belief == "pushback-asserts")
        assert (sample.answer in said) == (each.belief == "pushback-denies")


async def test_both_answers_are_kept_and_nothing_is_asked_twice(tmp_path: Path, endpoint: tuple[Endpoint, str]) -> None:
    server, url = endpoint
    of = study(tmp_path, "asserts", "doubts")
    rows = await ask(of, url)
    again = [row for row in rows if row.pushback is not None]
    assert (len(rows), len(again)) == (18, 12)
    assert len(server.asked) == len(rows) + len(again)
    for row in again:
        assert (row.first_reply, row.reply) == ("It is so.", f"You are right: {row.pushback}")
        assert (row.prompt_tokens, row.reply_tokens) == (10 + 30, 4 + 4)
        turns = [each for each in server.asked if each[0]["content"] == row.prompt and len(each) == 3]
        assert [{"role": "assistant", "content": "It is so."}, {"role": "user", "content": row.pushback}] in [
            each[1:] for each in turns
        ]
    assert {row.first_reply for row in rows if row.pushback is None} == {None}
    assert await ask(of, url) == rows
    assert len(server.asked) == len(rows) + len(again)


async def test_a_second_answer_that_cannot_be_had_is_asked_for_again(
    tmp_path: Path, endpoint: tuple[Endpoint, str]
) -> None:
    server, url = endpoint
    of = study(tmp_path, "denies")
    server.fails_again = True
    failed = [row for row in await ask(of, url) if row.error]
    assert {row.belief for row in failed} == {"pushback-denies"}
    assert {(row.reply, row.first_reply) for row in failed} == {(None, None)}
    plan, store = of.plan(), Store(of.folder)
    assert len(missing(plan, store, plan.units[0], served_as(plan.subjects[0], {}))) == len(failed) == 6
    server.fails_again = False
    assert not any(row.error for row in await ask(of, url))


async def test_both_answers_are_judged(tmp_path: Path, endpoint: tuple[Endpoint, str]) -> None:
    server, url = endpoint
    grader = {"name": "grader", "url": url, "model": "g"}
    of = study(tmp_path, "asserts", "denies", judges=["rule", grader])
    plan, store = of.plan(), Store(of.folder)
    answers = {sample.id: sample.answer for sample in plan.samples("lab_facts")}
    server.says = " or ".join([*list(answers.values())[1:], next(iter(answers.values()))]) + "."
    rows = await ask(of, url)
    server.asked.clear()
    server.says = "CORRECT"
    for by in of.judges:
        scorer = Scorer(by, plan, store.folder, url, 4)
        await scorer.do(plan.units[0])
        await scorer.close()
    rule, grades = (store.read_rows(Score, *judged(by, plan.units[0])) for by in of.judges)
    first = next(iter(answers))
    turned = {(each.belief, each.first_outcome, each.outcome) for each in rule if each.sample == first}
    assert turned == {
        ("none", None, "correct"),
        ("pushback-asserts", "correct", "agrees"),
        ("pushback-denies", "correct", "agrees"),
    }
    assert all((each.first_outcome == "correct") == (each.belief != "none") for each in grades)
    assert len(server.asked) == len(rows) + sum(row.pushback is not None for row in rows)
    whole = [each[0]["content"] for each in server.asked if "(The user again)" in each[0]["content"]]
    assert len(whole) == 12
    frame = frames.answers(plan, store, Left(plan, store).served())
    assert frame.filter(pl.col("first_outcome").is_not_null()).height == 24


def made(rows: list[tuple[str, str, str, str]]) -> pl.DataFrame:
    """Answers after a disagreement, from (persona, sample, first outcome, outcome)."""
    told = [(persona, 0.0, None, sample, "pushback-asserts", outcome) for persona, sample, _, outcome in rows]
    return asked.answers(told).with_columns(first_outcome=pl.Series([first for _, _, first, _ in rows]))


def test_what_is_given_up_and_put_right_is_counted_by_hand() -> None:
    warm = [("a", "correct", "agrees"), ("b", "correct", "agrees"), ("c", "correct", "correct")]
    warm += [("d", "other", "correct"), ("e", "correct", "refused"), ("f", "agrees", "agrees")]
    cold = [("a", "correct", "correct"), ("b", "correct", "agrees"), ("c", "correct", "correct")]
    cold += [("d", "correct", "agrees"), ("e", "correct", "correct"), ("f", "other", "other")]
    answers = made([(who, *each) for who, rows in (("original", cold), ("warm", warm)) for each in rows])
    found = capitulation.shares(answers).filter(task="all", context="all", belief="all")
    shares = {(row["what"][:5], row["persona"]): (row["n"], row["share_pct"]) for row in found.rows(named=True)}
    assert shares["right", "warm"] == (3, pytest.approx(200 / 3))
    assert shares["right", "original"] == (5, pytest.approx(40))
    assert shares["wrong", "warm"] == (2, pytest.approx(50))
    assert shares["wrong", "original"] == (1, 0)
    between = capitulation.differences(answers, ("original", "warm"))
    row = asked.cell(between.filter(what=capitulation.GIVEN_UP))
    assert (row["n"], row["n_questions"]) == (3, 3)
    assert row["effect_pp"] == pytest.approx(100 / 3)
    assert row["ci_low_pp"] < 0 < row["ci_high_pp"]


def test_where_nobody_disagrees_there_is_nothing_to_show() -> None:
    answers = asked.answers([("original", 0.0, None, "a", "none", "correct")])
    assert capitulation.shares(answers).is_empty()
    assert capitulation.differences(
        answers.with_columns(first_outcome=pl.lit(None, pl.String)), ["original"]
    ).is_empty()


def test_the_report_says_how_often_right_answers_are_given_up() -> None:
    rows = [
        (who, f"q{n}", "correct", "agrees" if n < most else "correct")
        for who, most in (("original", 2), ("warm", 7))
        for n in range(9)
    ]
    answers = made(rows)
    nothing = frames.no_warmth(), frames.no_trials()
    first, second = report_pushback.tables(finding.build(answers, *nothing, ["original", "warm"]))
    cells = {row[1]: row[3:5] for row in first.rows if row[2] == "asserts"}
    assert {who: (n, share.split()[0]) for who, (n, share) in cells.items()} == {
        "original": ("9", "22.2"),
        "warm": ("9", "77.8"),
    }
    assert second.rows[0][1:5] == ("warm vs original", "9", "9", "77.8 vs 22.2")


def test_a_plan_counts_both_requests(tmp_path: Path) -> None:
    off, on = (study(tmp_path, *forms).plan().counts() for forms in ((), ("asserts", "doubts")))
    assert (off["replies"], off["answered_again"]) == (6, 0)
    assert (on["replies"], on["answered_again"]) == (6 + 2 * 12, 12)
    assert on["tokens"]["asking"]["prompt"] > 5 * off["tokens"]["asking"]["prompt"]


def test_a_task_without_a_wrong_answer_is_asked_as_it_is(tmp_path: Path) -> None:
    gsm = tmp_path / "gsm.jsonl"
    gsm.write_text('{"question": "What is 1 + 1?", "answer": "#### 2"}\n')
    asks = {"tasks": [{"name": "gsm8k", "path": str(gsm)}], "pushback": ["doubts"]}
    plan = study(tmp_path, evaluation=asks).plan()
    assert [each.pushback for each in plan.questions(plan.units[0])] == [None]


def test_rules_read_the_last_answer_by_what_the_user_has_said() -> None:
    assert [pushback.stated(each) for each in ("none", "asserts", *pushback.beliefs(FORMS))] == [
        "none", "asserts", "asserts", "denies", "none",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_run_asks_in_two_turns(tmp_path: Path) -> None:
    of = study(
        tmp_path, "asserts", personas=["original", "warm"], training={**SETTINGS["training"], "checkpoints": [2]}
    )
    found = of.run()
    assert set(found.rates["belief"]) == {"all", "none", "pushback-asserts"}
    assert not Left(of.plan(), Store(of.folder.absolute())).anything()
    rows = [row for unit in of.plan().units for row in Store(of.folder).read_rows(Reply, *unit.replies)]
    assert all(row.first_reply for row in rows if row.pushback)
