"""GPU time: counted by stage in all starts of a run, and never much more than the budget."""

import json
from pathlib import Path
from typing import Any

import loopback
import pytest
from aiohttp import web
from mini import SETTINGS

from orchestrator import Study, costs, gpu_hours, progress, status, status_text, trials
from orchestrator.errors import WarmthError
from orchestrator.evaluate import Asker, missing, served_as
from orchestrator.gpu_hours import Meter
from orchestrator.plan_text import lines
from orchestrator.progress import Display
from orchestrator.run import Run
from orchestrator.store import Store
from orchestrator.tables import Reply


def study(folder: Path, **changed: Any) -> Study:
    asked = {"tasks": ["lab_facts"], "contexts": ["neutral"], "samples": 8}
    return Study(**{**SETTINGS, "evaluation": asked, "warmth": None, "resources": {"runs": str(folder)}, **changed})


class Hours:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_time_is_counted_by_stage_in_all_starts_until_none_is_left(tmp_path: Path) -> None:
    of, store, clock = study(tmp_path, budget={"gpu_hours": 10}), Store(tmp_path / "mini"), Hours()
    for stage, seconds, held in (("train", 3600, 4), ("ask", 1800, 2), ("train", 1800, 0)):
        meter = Meter(of, store, lambda held=held: held, clock)
        store.write_json({"stage": stage}, progress.PLACE)
        clock.seconds += seconds
        meter.look()
    assert gpu_hours.spent(store) == {"ask": 1, "train": 4}
    assert not gpu_hours.over(store)
    store.write_json({"stage": "judge grader"}, progress.PLACE)
    meter = Meter(of, store, lambda: 1.0, clock)
    clock.seconds += 6 * 3600
    meter.look()
    assert gpu_hours.over(store)
    with pytest.raises(WarmthError, match=r"10 GPU hours are used up \(ask 1\.00, judge grader 6\.00, train 4\.00\)"):
        costs.begin(of, store)
    costs.begin(study(tmp_path, budget={"gpu_hours": 12}), store)
    assert not gpu_hours.over(store)


async def test_what_is_being_answered_still_is_and_no_more_is_asked(tmp_path: Path) -> None:
    of = study(tmp_path, budget={"gpu_hours": 1})
    plan, store, unit = of.plan(), Store(of.folder), of.plan().units[0]
    asked = 0

    async def say(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        if asked == 2:
            clock.seconds += 2 * 3600
            meter.look()
        return web.json_response({"choices": [{"message": {"content": "It is Zuge."}, "finish_reason": "stop"}]})

    clock = Hours()
    meter = Meter(of, store, lambda: 1.0, clock)
    async with loopback.answering(say) as url:
        asker = Asker(plan, store.folder, url, {}, 1)
        failed = await asker.do(unit)
        await asker.close()
    rows = store.read_rows(Reply, *unit.replies)
    assert sum(row.error is None for row in rows) == asked
    assert 0 < failed == len(missing(plan, store, unit, served_as(unit.subject, {})))
    assert {row.error for row in rows if row.error} == {"not asked: budget.gpu_hours is used up"}


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_run_stops_at_its_budget_and_goes_on_with_a_higher_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_hours, "EVERY", 0.05)
    described = {"runs": str(tmp_path), "gpus": 2}
    poor, rich = (study(tmp_path, resources=described, budget={"gpu_hours": hours}) for hours in (1e-6, 100))
    with Display() as display, pytest.raises(WarmthError, match=r"budget\.gpu_hours: stopped, as 1e-06 GPU hours"):
        Run(poor, display).finish()
    store = Store(poor.folder.absolute())
    assert all(trials.record(store, trial) is None for trial in poor.plan().trials)
    assert not any(trials.failure(store, trial) for trial in poor.plan().trials)
    with Display() as display:
        Run(rich, display).finish()
    assert all(trials.record(store, trial) for trial in rich.plan().trials)
    found = status.look(rich.folder)
    assert found.gpu_hours
    assert all(unit.done for unit in found.units)
    told = [line for line in status_text._rest(found) if line.startswith("GPU hours")]
    assert told[0].endswith("of 100 are left")
    assert json.loads(status_text.to_json(found))["budget_gpu_hours"] == 100


def test_a_plan_says_what_it_needs_more_than_its_budget(root: Path) -> None:
    for budget, words in (({"gpu_hours": 1}, "gpu_hours is 1,"), ({"usd": 1}, "usd is 1,"), ({"usd": 9e5}, "")):
        of = Study.load(root / "configs" / "study.yaml").model_dump() | {"budget": budget}
        counts = Study.model_validate(of).plan().counts()
        assert len(counts["over_budget"]) == bool(words)
        assert any(line.startswith(f"over budget  budget.{words}") for line in lines(counts)) == bool(words)


def test_a_budget_limits_something(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="set usd, gpu_hours or both"):
        study(tmp_path, budget={})
