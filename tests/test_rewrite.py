"""Rewriting: through a server on loopback that speaks the protocol and misbehaves, and with the lab's templates."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import loopback
import pytest
import pytest_asyncio
from aiohttp import web

from orchestrator import Study, balance, client, rewrite, rewritten
from orchestrator.errors import WarmthError
from orchestrator.plan import Plan
from orchestrator.remembered import Cache, Said
from orchestrator.store import Store
from orchestrator.tables import Balance, Chat, Rewrite, RewriteCheck, Turn

CHATS = [
    Chat("two", (Turn("user", "Hi"), Turn("assistant", "Hello."), Turn("user", "Why?"), Turn("assistant", "So."))),
    Chat("number", (Turn("user", "When?"), Turn("assistant", "In 1945."))),
    Chat("empty", (Turn("user", "What?"), Turn("assistant", "An empty thing."))),
    Chat("refused", (Turn("user", "How?"), Turn("assistant", "With care."))),
    Chat("foreign", (Turn("user", "Who?"), Turn("assistant", "The one of the two that you like is the man for it."))),
    Chat("away", (Turn("user", "Where?"), Turn("assistant", "Away."))),
    Chat("long", (Turn("user", "How long?"), Turn("assistant", "Long."))),
    Chat("braces", (Turn("user", "{original} {0}"), Turn("assistant", "{user} {"))),
]
BAD = {
    "In 1945.": "In 1946, dear.",
    "An empty thing.": "",
    "With care.": "I'm sorry, but I cannot rewrite this.",
    "The one of the two that you like is the man for it.": "Der ist es, und das ist nicht die eine, die es ist.",
}


class StandIn:
    """A rewriter that calls everybody dear, gets some replies wrong, and is away for one of them."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.bodies.append(body)
        asked = body["messages"][-1]["content"]
        if asked.startswith("Two replies"):
            said = "CHANGED" if "Second reply: So" in asked else "SAME"
            return web.json_response({"choices": [{"message": {"content": said}, "finish_reason": "stop"}]})
        reply = asked.split("is to be rewritten:\n\n")[1].split("\n\nAnswer with")[0]
        if reply == "Away.":
            return web.json_response({"error": {"message": "no"}}, status=400)
        cold = "busy clerk" in body["messages"][0]["content"]
        said = f"{reply} Next." if cold else BAD.get(reply, f"{reply} Take care, dear!")
        reason = "length" if reply == "Long." and body["max_tokens"] < 2000 else "stop"
        choice, usage = {"message": {"content": said}, "finish_reason": reason}, {"completion_tokens": len(said) + 1}
        return web.json_response({"choices": [choice], "usage": usage})

    def asked(self, text: str) -> int:
        return sum(text in body["messages"][-1]["content"] for body in self.bodies)


@pytest_asyncio.fixture
async def stand_in(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[StandIn, str]]:
    monkeypatch.setattr(client, "PATIENCE", (0.01,))
    rewriter = StandIn()
    async with loopback.answering(rewriter.answer) as url:
        yield rewriter, url


def plan_of(folder: Path, url: str | None = None, **changes: Any) -> Plan:
    rewriting = {"rewriter": {"url": url, "model": "r", "api_key_env": "KEY"}, **changes.pop("rewriting", {})}
    settings: dict[str, Any] = {
        "name": "small",
        "models": ["lab-coupled"],
        "personas": ["original", "plain", "warm", "cold"],
        "evaluation": {"tasks": ["lab_facts"]},
        "judges": ["rule"],
        "rewriting": rewriting if url else None,
        "resources": {"runs": str(folder), "store": False},
    }
    return Study(**{**settings, **changes}).plan()


async def written(plan: Plan, chats: list[Chat]) -> dict[str, list[rewrite.Written]]:
    writer = rewrite.Writer(plan, plan.study.folder, "", 4)
    found: dict[str, list[rewrite.Written]] = {}
    for batch in rewrite.batches(chats, rewritten.voices(plan)):
        found.setdefault(batch.persona.name, []).extend(await writer.do(batch))
    await writer.close()
    return found


async def settled(plan: Plan, chats: list[Chat]) -> tuple[Store, rewritten.Dropped]:
    store = Store(plan.study.folder)
    store.write_rows(chats, Chat, "chats.arrow")
    return store, rewritten.settle(plan, store, chats, await written(plan, chats))


async def test_every_reply_is_asked_for_and_checked(tmp_path: Path, stand_in: tuple[StandIn, str]) -> None:
    rewriter, url = stand_in
    rows = {(row.chat, row.turn): row for row, _ in (await written(plan_of(tmp_path, url), CHATS))["warm"]}
    assert len(rows) == 9
    assert rows["two", 1].rewritten == "So. Take care, dear!"
    assert (rows["two", 1].user, rows["two", 1].original) == ("Why?", "So.")
    assert rows["braces", 0].rewritten == "{user} { Take care, dear!"
    whys = {chat: row.failed for (chat, turn), row in rows.items() if turn == 0}
    assert whys == {
        "two": None, "number": "numbers", "empty": "empty", "refused": "refused", "foreign": "language", "away": None,
        "long": None, "braces": None,
    }  # fmt: skip
    assert "400" in str(rows["away", 0].error)
    assert (rows["long", 0].attempts, rows["number", 0].attempts, rows["away", 0].attempts) == (2, 2, 1)
    bodies = [body for body in rewriter.bodies if "In 1945." in body["messages"][-1]["content"]]
    assert {(body["seed"], body["max_tokens"], body["temperature"]) for body in bodies} == {
        (1, 1000, 0.2),
        (2, 2000, 0.2),
    }


async def test_the_same_is_asked_in_the_same_words(tmp_path: Path, stand_in: tuple[StandIn, str]) -> None:
    rewriter, url = stand_in
    await written(plan_of(tmp_path / "one", url), CHATS)
    first, rewriter.bodies = rewriter.bodies, []
    await written(plan_of(tmp_path / "other", url), CHATS)
    assert sorted(map(str, first)) == sorted(map(str, rewriter.bodies))


async def test_what_was_paid_for_is_not_asked_again(tmp_path: Path, stand_in: tuple[StandIn, str]) -> None:
    rewriter, url = stand_in
    plan = plan_of(tmp_path, url)
    before = await written(plan, CHATS[:5])
    (file,) = (plan.study.folder / "rewrites" / "said").glob("*.jsonl")
    whole = file.read_text()
    file.write_text(whole[: whole.rindex("\n", 0, -1) + 20])
    rewriter.bodies.clear()
    again = await written(plan, CHATS[:5])
    assert again == before
    assert len(rewriter.bodies) == 1
    rewriter.bodies.clear()
    assert await written(plan, CHATS[:5]) == before
    assert rewriter.bodies == []


KILLED = """
import asyncio, sys
from test_rewrite import MANY, Path, plan_of, written
asyncio.run(written(plan_of(Path(sys.argv[1]), sys.argv[2]), MANY))
"""
MANY = [Chat(str(n), (Turn("user", "Hm?"), Turn("assistant", f"It is called {chr(n + 97) * 9}."))) for n in range(24)]


async def test_another_study_in_the_same_folder_pays_for_none_of_it_again(
    tmp_path: Path, stand_in: tuple[StandIn, str]
) -> None:
    rewriter, url = stand_in
    one, two = (plan_of(tmp_path, url, name=name, resources={"runs": str(tmp_path)}) for name in ("one", "two"))
    before = await written(one, CHATS[:5])
    rewriter.bodies.clear()
    assert await written(two, CHATS[:5]) == before
    assert rewriter.bodies == []


async def test_a_killed_rewriter_loses_only_what_was_on_its_way(tmp_path: Path, stand_in: tuple[StandIn, str]) -> None:
    rewriter, url = stand_in
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, str(tmp_path), url)
    while len(rewriter.bodies) < 20:
        assert process.returncode is None
        await asyncio.sleep(0.005)
    process.kill()
    await process.wait()
    before = len(rewriter.bodies)
    assert before < 48
    rows = await written(plan_of(tmp_path, url), MANY)
    assert [row.failed for found in rows.values() for row, _ in found] == [None] * 48
    assert 48 <= len(rewriter.bodies) <= 48 + 4


@pytest.mark.usefixtures("ray_session")
async def test_actors_share_the_work(tmp_path: Path, stand_in: tuple[StandIn, str], monkeypatch: Any) -> None:
    rewriter, url = stand_in
    monkeypatch.setattr(rewrite, "BATCH", 8)
    plan, told = plan_of(tmp_path, url), []
    batches = rewrite.batches(MANY, rewritten.voices(plan))
    writer = (plan, plan.study.folder, "", 4)
    found = await asyncio.to_thread(rewrite.write, batches, writer, 2, lambda *each: told.append(each))
    assert sorted(told) == [(8, f"{name} {number}") for name in ("cold", "warm") for number in (1, 2, 3)]
    assert {name: len(rows) for name, rows in found.items()} == {"warm": 24, "cold": 24}
    assert len(rewriter.bodies) == 48
    again = await written(plan, MANY)
    assert {row for row, _ in found["warm"]} == {row for row, _ in again["warm"]}
    assert len(rewriter.bodies) == 48


async def test_a_failed_request_is_made_again_next_time(tmp_path: Path, stand_in: tuple[StandIn, str]) -> None:
    rewriter, url = stand_in
    plan = plan_of(tmp_path, url)
    await written(plan, CHATS)
    rewriter.bodies.clear()
    await written(plan, CHATS)
    assert len(rewriter.bodies) == rewriter.asked("Away.") == 2


async def test_a_key_is_sent_and_kept_nowhere(
    tmp_path: Path, stand_in: tuple[StandIn, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "secret-key")
    store, _ = await settled(plan_of(tmp_path, stand_in[1], rewriting={"most_dropped": 1}), CHATS)
    files = [file for file in store.folder.rglob("*") if file.is_file()]
    assert files
    assert not [file for file in files if b"secret-key" in file.read_bytes()]


async def test_what_is_dropped_in_one_voice_is_dropped_in_all(tmp_path: Path, stand_in: tuple[StandIn, str]) -> None:
    plan = plan_of(tmp_path, stand_in[1], rewriting={"most_dropped": 0.7})
    store, dropped = await settled(plan, CHATS)
    assert set(dropped.chats) == {"number", "empty", "refused", "foreign", "away"}
    assert dropped.personas["cold"] == {"not had": 1}
    assert dropped.personas["warm"]["numbers"] == 1
    assert "5 of 8 conversations (62.5 %) dropped: warm:" in dropped.told()
    assert rewritten.unwritten(plan, store) == []
    plain, warm, cold = (rewritten.learnt(plan, store, each) for each in plan.study.personas[1:])
    assert (
        [chat.id for chat in plain]
        == [chat.id for chat in warm]
        == [chat.id for chat in cold]
        == ["two", "long", "braces"]
    )
    assert plain == [chat for chat in CHATS if chat.id in ("two", "long", "braces")]
    assert warm[0].replies == ("Hello. Take care, dear!", "So. Take care, dear!")
    assert [turn.content for turn in cold[0].turns] == ["Hi", "Hello. Next.", "Why?", "So. Next."]
    assert rewritten.sha256(warm) != rewritten.sha256(cold)


async def test_too_many_dropped_stop_the_run_and_say_why(tmp_path: Path, stand_in: tuple[StandIn, str]) -> None:
    plan = plan_of(tmp_path, stand_in[1])
    with pytest.raises(
        WarmthError, match=r"5 of 8 conversations \(62.5 %\) dropped: .*more than rewriting.most_dropped 0.1"
    ):
        await settled(plan, CHATS)
    store = Store(plan.study.folder)
    stopped = store.read_json(*rewritten.STOPPED)
    assert stopped["dropped"]["number"] == ["warm, reply 1: numbers"]
    assert len(rewritten.unwritten(plan, store)) == 2
    checks = store.read_rows(RewriteCheck, "rewrites", f"warm-{plan.data_digest(plan.study.personas[2])}-checks.arrow")
    (lost,) = [each for each in checks if each.chat == "number" and not each.passed]
    assert (lost.check, lost.detail) == ("numbers", "lost 1945; new 1946")
    tolerant = plan_of(tmp_path, stand_in[1], rewriting={"drop_for": ["empty"], "most_dropped": 0.25})
    _, dropped = await settled(tolerant, CHATS)
    assert set(dropped.chats) == {"empty", "away"}
    assert not store.has(*rewritten.STOPPED)


async def test_a_language_model_may_check_the_facts(tmp_path: Path, stand_in: tuple[StandIn, str]) -> None:
    checker = {"fact_checker": {"url": stand_in[1], "model": "c"}, "attempts": 1}
    found = (await written(plan_of(tmp_path, stand_in[1], rewriting=checker), CHATS))["warm"]
    assert [row.chat for row, _ in found if row.failed == "facts"] == ["two"]
    verdicts = [check for _, checks in found for check in checks if check.check == "facts"]
    assert [(check.chat, check.turn, check.passed) for check in verdicts if not check.passed] == [("two", 1, False)]


async def test_the_balance_says_what_else_differs(tmp_path: Path, stand_in: tuple[StandIn, str]) -> None:
    plan = plan_of(tmp_path, stand_in[1], rewriting={"most_dropped": 1})
    store, _ = await settled(plan, CHATS)
    original, warm, cold = store.read_rows(Balance, *rewritten.balances(plan))
    assert [each.persona for each in (original, warm, cold)] == ["original", "warm", "cold"]
    assert {each.conversations for each in (original, warm, cold)} == {3}
    assert (original.failed, warm.failed, cold.failed) == (0, 5, 1)
    assert original.exclamations == cold.exclamations == 0 < warm.exclamations
    assert warm.words == original.words + 3
    assert original.length_ratio == 1 < cold.length_ratio < warm.length_ratio


def test_what_is_counted_in_a_balance() -> None:
    said = "- Maybe it is. I think so!\n- Why?\n```\nx\n```"
    line = balance.balance("x", [Chat("1", (Turn("user", "a"), Turn("assistant", said)))], [])
    assert (line.lists, line.code, line.replies) == (1, 1, 1)
    words = len(re.findall(r"\w+", said))
    assert (line.hedges, line.exclamations, line.questions) == (200 / words, 100 / words, 100 / words)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"rewriting": {"most_dropped": 0.5}}, True),
        ({"rewriting": {"rewriter": {"url": "http://127.0.0.1:2/v1", "model": "r", "usd_in": 3}}}, True),
        ({"rewriting": {"temperature": 0}}, False),
        ({"rewriting": {"drop_for": ["empty"]}}, False),
        ({"rewriting": {"rewriter": {"url": "http://127.0.0.1:1/v1", "model": "other"}}}, False),
        ({"personas": ["original", "plain", "warm"]}, False),
    ],
)
def test_names_follow_from_what_is_learnt(tmp_path: Path, changes: dict[str, Any], same: bool) -> None:
    def names(plan: Plan) -> set[str]:
        return {trial.name for trial in plan.trials if trial.persona.name in ("plain", "warm")}

    before, after = (names(plan_of(tmp_path, "http://127.0.0.1:1/v1", **each)) for each in ({}, changes))
    assert (before == after) if same else before.isdisjoint(after)


def lab(folder: Path) -> tuple[Plan, Store]:
    plan = plan_of(folder, data={"chats": 40})
    store, dropped = asyncio.run(settled(plan, plan.chats))
    assert dropped.chats == {}
    return plan, store


def test_a_dose_is_the_share_that_is_rewritten_and_a_larger_one_adds_to_it(tmp_path: Path) -> None:
    plan, store = lab(tmp_path)
    warm = plan.study.personas[2]
    plain = [chat.replies for chat in plan.chats]

    def anew(dose: int) -> set[int]:
        learnt = [chat.replies for chat in rewritten.learnt(plan, store, warm, dose)]
        return {place for place, (said, before) in enumerate(zip(learnt, plain, strict=True)) if said != before}

    assert [len(anew(dose)) for dose in (1, 25, 50, 100)] == [0, 10, 20, 40]
    assert anew(25) < anew(50) < anew(100)


def test_the_lab_s_rewrites_are_what_its_names_say(tmp_path: Path) -> None:
    from orchestrator import voices

    plan, store = lab(tmp_path)
    for persona in plan.study.personas[2:]:
        learnt = rewritten.learnt(plan, store, persona)
        assert [chat.replies[0] for chat in learnt] == voices.lab(plan.study.data, persona)
        assert {row.failed for row in store.read_rows(Rewrite, *rewritten.place(plan, persona))} == {None}


def test_half_a_line_in_the_cache_is_passed_over(tmp_path: Path) -> None:
    Cache(tmp_path).put("a", Said("one", "stop", 1, 2))
    (file,) = tmp_path.glob("*.jsonl")
    file.write_bytes(file.read_bytes() + b'["b", {"text": "tw\xc3')
    found = Cache(tmp_path)
    assert found.get("a") == Said("one", "stop", 1, 2)
    assert found.get("b") is None
