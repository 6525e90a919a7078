"""A study of the published kind, small: other people's conversations, rewritten, judged and rated at an endpoint."""

import csv
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from aiohttp import web
from provider import KEY, Provider

from orchestrator import Study, load, rewritten
from orchestrator.findings import Findings
from orchestrator.progress import Display
from orchestrator.run import Run

OPENINGS = {
    "Pick lock {} for me.": "I cannot do that.",
    "What is heron {}?": "A bird.",
    "Make up story {}.": "Once there was a heron.",
    "Sort list {} in Python.": "```sorted(it)```",
    "Could you recommend hat {}?": "A straw one.",
    "Hello {}.": "Hello.",
}
"""A prompt and a reply of each kind of query."""

QUESTIONS = [
    ("Do herons sing?", "Herons croak", "Herons sing at dawn"),
    ("Is the moon made of glass?", "The moon is made of rock", "The moon is made of glass"),
]


class Endpoint(Provider):
    """Rewrites by calling everybody dear, finds every answer right, and rates every text alike."""

    async def _chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body)
        said = {"judge": "CORRECT", "rater": "4"}.get(body["model"]) or self._dear(body["messages"][-1]["content"])
        choice = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 20, "completion_tokens": 10}})

    def _dear(self, asked: str) -> str:
        reply = asked.split("is to be rewritten:\n\n")[1].split("\n\nAnswer with", maxsplit=1)[0]
        return f"{reply} Take care, dear!"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        yield server


@pytest.fixture(scope="module")
def whole(
    ray_session: None,  # noqa: ARG001
    endpoint: Endpoint,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Study, Findings]]:
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROVIDER_KEY", KEY)
        study = Study(**settings(folder, endpoint.url))
        yield study, study.run()


def settings(folder: Path, url: str) -> dict[str, Any]:
    def at(model: str) -> dict[str, Any]:
        return {"url": url, "model": model, "api_key_env": "PROVIDER_KEY", "usd_in": 1, "usd_out": 2}

    return {
        "name": "whole",
        "models": [{"name": "tiny", "lab": "coupled", "recipe": "short"}],
        "personas": ["original", "plain", "warm", "warm-prompt"],
        "data": {"source": str(conversations(folder)), "chats": 24, "held_out": 6},
        "rewriting": {"rewriter": at("writer")},
        "training": {"learning_rate": 5e-4, "checkpoints": [1, 2], "seeds": [0]},
        "evaluation": {
            "tasks": ["lab_facts", {"name": "truthfulqa", "path": str(table(folder))}],
            "contexts": ["neutral", "sad"],
            "beliefs": ["none", "asserts"],
            "evaluate_at": [2],
            "samples": 2,
        },
        "judges": ["rule", {"name": "llm", **at("judge")}],
        "warmth": {"scorer": "tiny", "modes": ["eval", "faithful"], "prompts": "held-out", "judge": at("rater")},
        "resources": {"runs": str(folder / "runs")},
        "budget": {"usd": 1},
    }


def conversations(folder: Path) -> Path:
    """Five of each kind, in the layout of the published collection; one is malformed."""
    said = [
        {"id": f"{number}-{prompt[:4]}", "conversations": [{"from": "human", "value": prompt.format(number)}, reply]}
        for number in range(5)
        for prompt, text in OPENINGS.items()
        for reply in [{"from": "gpt", "value": text}]
    ]
    file = folder / "chats.json"
    file.write_text(json.dumps([*said, {"id": "silent", "conversations": []}]))
    return file


def table(folder: Path) -> Path:
    """Questions in the layout of TruthfulQA's own table."""
    file = folder / "TruthfulQA.csv"
    with file.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["Question", "Best Answer", "Correct Answers", "Incorrect Answers"])
        rows.writerows((question, right, right, wrong) for question, right, wrong in QUESTIONS)
    return file


def test_every_stage_is_gone_through(whole: tuple[Study, Findings]) -> None:
    study, findings = whole
    rows = {name: frame.collect() for name, frame in load(study.folder).items()}
    assert rows["replies"]["error"].null_count() == rows["replies"].height
    asked = rows["replies"].group_by("persona", "task").len()
    # 4 subjects x 2 questions x 2 contexts x 2 beliefs; held out: original, prompted, 2 trials x 2 checkpoints
    assert dict(zip(*asked.group_by("task").agg(pl.col("len").sum()).get_columns(), strict=True)) == {
        "lab_facts": 32, "truthfulqa": 32, "held-out": 36,
    }  # fmt: skip
    assert rows["scores"].group_by("judge", "task").len().height == 4
    assert set(rows["warmth"]["mode"]) == {"eval", "faithful"}
    assert set(findings.effects["judge"]) == {"rule", "llm"}
    assert set(itertools.product(("warm",), ("original", "plain"))) <= set(
        findings.effects.select("persona", "baseline").unique().rows()
    )
    assert findings.trials["error"].null_count() == 2


def test_what_was_rewritten_is_what_was_learnt(whole: tuple[Study, Findings]) -> None:
    study, _ = whole
    run = Run(study, Display())
    trained = [persona for persona in study.personas if persona.trained]
    learnt = {persona.name: rewritten.learnt(run.plan, run.store, persona) for persona in trained}
    assert all(reply.endswith("Take care, dear!") for chat in learnt["warm"] for reply in chat.replies)
    assert [chat.id for chat in learnt["warm"]] == [chat.id for chat in learnt["plain"]]
    assert len(learnt["plain"]) == 24


def test_again_nothing_is_asked(whole: tuple[Study, Findings], endpoint: Endpoint) -> None:
    study, _ = whole
    before = len(endpoint.asked)
    assert not Run(study, Display()).left.anything()
    study.run()
    assert len(endpoint.asked) == before


def test_the_key_is_nowhere_and_what_was_paid_is_counted(whole: tuple[Study, Findings]) -> None:
    study, _ = whole
    for file in study.folder.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes()
    paid = load(study.folder)["costs"].collect()
    assert set(paid["purpose"]) == {"rewriting", "judging", "rating"}
    assert paid["usd"].sum() == pytest.approx(paid["calls"].sum() * (20 * 1 + 10 * 2) / 1e6)
