"""What warmth is measured on, and where it is filed; without Ray."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from mini import SETTINGS
from tiny import tiny_model

from orchestrator import Study, evaluate, frames, measure, models, rating
from orchestrator.errors import WarmthError
from orchestrator.left import Left
from orchestrator.plan import HELD_OUT, Plan, Unit
from orchestrator.settings import Endpoint
from orchestrator.settings_warmth import Warmth
from orchestrator.store import Store
from orchestrator.tables import HeldOut, Rating, Reply

PROMPTS = [HeldOut("a", "advice", "How do I cook rice?"), HeldOut("b", "other", "Hello there!")]


def planned(tmp_path: Path, personas: list[str], **warmth: Any) -> tuple[Plan, Store]:
    """A plan whose held-out prompts lie in its run's folder."""
    study = Study(**{**SETTINGS, "personas": personas, "resources": {"runs": str(tmp_path)}})
    settings = Warmth(scorer="tiny", **warmth)
    store = Store(study.folder)
    store.write_rows(PROMPTS, HeldOut, "held_out.arrow")
    return Plan(study.model_copy(update={"warmth": settings})), store


def answer(plan: Plan, store: Store, unit: Unit) -> None:
    served = Left(plan, store).served()[unit.subject.name]
    rows = [
        Reply(
            subject=unit.subject.name, model="tiny", persona="original", trial=None, epoch=0.0, seed=None, dose=0,
            task=each.task, sample=each.sample, context=each.context, belief=each.belief, draw=each.draw,
            row_seed=each.row_seed, system=None, prompt=each.prompt, prompt_set="p", reply=f"I like {each.sample}.",
            finish_reason="stop", prompt_tokens=1, reply_tokens=1, adapter=None,
            request=evaluate.request_digest(served, each, None, plan.study.evaluation), error=None, seconds=0.1,
        )
        for each in evaluate.questions(plan, store, unit)
    ]  # fmt: skip
    store.write_rows(rows, Reply, *unit.replies)


def test_held_out_prompts_are_asked_measured_in_both_modes_and_never_judged(tmp_path: Path) -> None:
    plan, store = planned(tmp_path, ["original"], prompts=HELD_OUT, modes=["eval", "faithful"])
    left, (unit,) = Left(plan, store), plan.curve
    assert [(each.sample, each.prompt) for each in evaluate.questions(plan, store, unit)] == [
        ("a", "How do I cook rice?"),
        ("b", "Hello there!"),
    ]
    assert left.unasked([unit]) == {unit: 2}
    answer(plan, store, unit)
    assert not left.unasked([unit])
    assert not left.unjudged([unit])
    assert left.unmeasured() == [unit.subject]
    settings, study = plan.study.warmth, plan.study
    assert settings is not None
    weights, rulers = str(tiny_model(tmp_path / "scorer", 0)), measure.rulers(settings, study.models)
    openers = models.openers(settings, study.models)
    measurer = measure.Measurer(weights, openers, settings, store.folder, *left.measured_on(), rulers)
    assert measurer.do(unit.subject) == 0
    assert not left.unmeasured()
    rows = frames.warmth(plan, store, frames.answers(plan, store, left.served()), left.served())
    assert sorted(rows.select("sample", "mode").rows()) == [(s, m) for s in "ab" for m in ("eval", "faithful")]
    assert rows.filter(mode="eval")["sem"].null_count() == 2
    assert rows.filter(mode="faithful")["sem"].null_count() == 0


@pytest.mark.parametrize(
    ("said", "wanted"),
    [("4", 4), ("Rating: 5.", 5), ("**2**", 2), ("I would say 3 or 4", None), ("warm", None), ("7", None),
     ("4/5", None), ("3.5", None), ("14", None), ("-1", None)],
)  # fmt: skip
def test_a_rating_is_one_number_from_1_to_5(said: str, wanted: int | None) -> None:
    assert rating.number(said) == wanted


async def test_a_model_rates_what_is_measured_and_what_it_mumbles_is_null(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        asked = (await request.json())["messages"][0]["content"]
        said = "5" if "How do I cook rice?" in asked else "lovely"
        return web.json_response({"choices": [{"message": {"content": said}, "finish_reason": "stop"}]})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    async with TestServer(app, host="127.0.0.1") as server:
        judge = Endpoint(url=str(server.make_url("/v1")), model="m")
        plan, store = planned(tmp_path, ["original"], prompts=HELD_OUT, judge=judge)
        left, (unit,) = Left(plan, store), plan.curve
        answer(plan, store, unit)
        assert left.unrated() == [unit.subject]
        rater = rating.Rater(judge, store.folder, *left.measured_on(), 2)
        assert await rater.do(unit.subject) == 0
        await rater.close()
    assert not left.unrated()
    rows = store.read_rows(Rating, *rating.place(unit.subject.name))
    assert {row.sample: row.rating for row in rows} == {"a": 5, "b": None}


def test_prompts_that_were_not_held_out_are_missed(tmp_path: Path) -> None:
    plan, store = planned(tmp_path, ["original"], prompts=HELD_OUT)
    store.path("held_out.arrow").unlink()
    with pytest.raises(WarmthError, match=r"no prompts in it; raise data\.held_out"):
        evaluate.questions(plan, store, plan.curve[0])


def test_checkpoints_of_the_curve_are_those_of_warmth_at_whatever_else_is_asked(tmp_path: Path) -> None:
    plan, _ = planned(tmp_path, ["original", "warm"], prompts=HELD_OUT, warmth_at=[1])
    assert [unit.subject.epoch for unit in plan.curve] == [0, 1]
    plan, _ = planned(tmp_path, ["original", "warm"])
    assert not plan.curve
    assert [subject.epoch for subject in plan.measured] == [0, 1, 2]
