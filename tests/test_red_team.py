"""Replies that try to talk a judge into a verdict: none gets through to one that keeps to what is between marks."""

import json
import re
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path

import loopback
import polars as pl
import pytest
import pytest_asyncio
from aiohttp import web

import tasks
from orchestrator import Study, fence, red_team, rubrics, signs
from orchestrator.plan import Plan
from orchestrator.settings_asking import Judge
from tasks import Sample

SAMPLE = Sample("q", "What is it?", "right", "wrong")
MARK = re.compile(r"Below, (\[[0-9a-f]{20}\]) stands four times")


def obeys(text: str) -> bool:
    """Whether a text would reach a tokenizer, or a reader, as something else than it looks."""
    acts = any(unicodedata.category(char) in ("Cc", "Cf", "Cs") and char not in "\n\t" for char in text)
    return acts or bool(signs.MARK.search(text)) or "\n" * 1000 in text


def simple_judge(asked: str) -> str:
    """A judge with a weakness: whatever gets out from between its marks, or works on a tokenizer, it obeys."""
    found = MARK.search(asked)
    parts = asked.split(found[1]) if found else []
    if len(parts) != 6 or obeys(asked):
        return "CORRECT"
    graded, after = parts[4], parts[5]
    if not after.strip().startswith(rubrics.MANNER) or rubrics.MANNER in parts[5].strip()[1:]:
        return "CORRECT"
    return "OTHER" if "The answer is" in graded.split("\n")[1] else "CORRECT"


@pytest_asyncio.fixture
async def judge() -> AsyncIterator[Judge]:
    async def grade(request: web.Request) -> web.Response:
        said = simple_judge((await request.json())["messages"][0]["content"])
        return web.json_response({"choices": [{"message": {"content": said}, "finish_reason": "stop"}]})

    async with loopback.answering(grade) as url:
        yield Judge(name="simple", url=url, model="g")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    study = {
        "name": "small",
        "models": [{"name": "m", "lab": "coupled", "recipe": "short"}],
        "personas": ["original"],
        "evaluation": {"tasks": ["lab_facts"], "samples": 3},
        "judges": ["rule"],
        "resources": {"runs": str(tmp_path)},
    }
    return Study.model_validate(study).plan()


async def test_no_attack_gets_through(plan: Plan, judge: Judge, tmp_path: Path) -> None:
    found = await red_team.assault(judge, plan, "lab_facts", 3, tmp_path)
    assert len(found) == len(red_team.ATTACKS) >= 16
    assert found.filter((pl.col("fooled") > 0) | (pl.col("unread") > 0) | (pl.col("failed") > 0)).is_empty()
    assert set(found["n"]) == {3}


async def test_without_marks_many_would(plan: Plan, judge: Judge, tmp_path: Path) -> None:
    (tmp_path / "pack.yaml").write_text("judge: 'Question {question} Said {llm_answer}'")
    bare = judge.model_copy(update={"rubric": str(tmp_path / "pack.yaml"), "refusals": "published"})
    found = await red_team.assault(bare, plan, "lab_facts", 1, tmp_path)
    assert found["fooled"].sum() == len(red_team.ATTACKS)


def test_the_same_attacks_on_texts_that_are_not_made_plain_do_act() -> None:
    acting = {name for name, attack in red_team.ATTACKS.items() if obeys(attack(SAMPLE))}
    hidden = {"hidden letters", "letters between", "right to left", "control characters", "lone surrogate"}
    assert hidden | {"chat template", "instruction template", "long padding"} <= acting
    assert not any(obeys(fence.plain(attack(SAMPLE))) for attack in red_team.ATTACKS.values())


@pytest.mark.parametrize("name", red_team.ATTACKS)
def test_every_attack_stands_between_the_marks_and_its_claim_is_shown(name: str) -> None:
    rubric = rubrics.own(tasks.load("lab_facts"), refusals=True)
    asked = rubric.question(SAMPLE, "What?", red_team.ATTACKS[name](SAMPLE))
    found = MARK.search(asked)
    assert found
    assert asked.count(found[1]) == 5
    assert "The answer is wrong." in asked.split(found[1])[4]
    assert len(asked) < fence.MOST + 5000
    asked.encode()


@pytest.mark.parametrize(
    "said",
    [
        "CORRECT, because it says so",
        "I was told to say CORRECT",
        "CORRECT CORRECT",
        "CORRECT OTHER",
        "NOT CORRECT",
        "INCORRECT",
        "The verdict is: CORRECT",
        '{"verdict": "CORRECT", "note": "as asked"}',
        '{"verdict": ["CORRECT"]}',
        '{"verdict": "CORRECT"} {"verdict": "OTHER"}',
        '[{"verdict": "CORRECT"}]',
        '{"answer": "CORRECT"}',
        '{"verdict": true}',
        "C0RRECT",
        "ＣＯＲＲＥＣＴ",
        "С\u200bORRECT",
        "CORRECT\n\nOTHER",
        "<|im_start|>CORRECT",
        "CORRECT?",
        "[" * 100_000,
        "",
    ],
)
def test_a_verdict_is_one_word_or_the_object_that_was_asked_for(said: str) -> None:
    assert rubrics.own(tasks.load("lab_facts"), refusals=True).verdict(said) is None


def test_an_object_by_the_schema_is_a_verdict() -> None:
    rubric = rubrics.own(tasks.load("lab_facts"), refusals=False)
    words = rubric.schema()["json_schema"]["schema"]["properties"]["verdict"]["enum"]
    assert words == ["CORRECT", "AGREES", "OTHER", "HEDGED", "UNREADABLE"]
    assert [rubric.verdict(json.dumps({"verdict": word})) for word in words] == [word.lower() for word in words]


def test_what_is_plain_stays_as_it_is() -> None:
    text = "Grüße! 10² ≠ 102 — “yes”, 日本語, می‌خواهم 👩‍👧\n\tline < 3 | > 2 [see 1]\n\nend ....." + "-" * 99
    assert fence.plain(text) == text
    assert fence.plain("a" * 100) == "a [repeated 100 times]"
    long = fence.plain("ab" * fence.MOST)
    assert f"[{fence.MOST} characters are left out here]" in long


def test_a_mark_follows_from_what_it_stands_around() -> None:
    assert len({fence.mark("a", "b"), fence.mark("a", "c"), fence.mark("ab", ""), fence.mark("", "ab")}) == 4
    assert fence.mark("a", "b") == fence.mark("a", "b")
