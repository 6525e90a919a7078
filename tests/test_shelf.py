"""What runs in one folder share: nothing is trained or asked twice, and a run is whole without the others."""

import shutil
import threading
from pathlib import Path

import pytest
from aiohttp import web
from loopback import answering
from trained import real, study, train_here

from orchestrator import engine_folders, judge, plan_text, shelf, shelf_trials, trials
from orchestrator.commands_run import on_file
from orchestrator.plan import Plan, Unit
from orchestrator.remembered import Cache, Said
from orchestrator.shelf import Shelf
from orchestrator.store import Store
from orchestrator.tables import Chat, Reply


@pytest.fixture
def first(tmp_path: Path) -> Plan:
    """A study with two seeds that is trained, and on the shelf."""
    plan = real(tmp_path, {}, "first", seeds=[0, 1])
    train_here(plan, plan.trials)
    shelf_trials.put(plan, Store(plan.study.folder), plan.trials)
    return plan


def test_a_second_study_plans_and_trains_only_what_the_first_has_not(first: Plan, tmp_path: Path) -> None:
    plan = real(tmp_path, {}, "second", seeds=[0, 1, 2])
    store = Store(plan.study.folder)
    assert on_file(plan) == {"trained": 0, "in_store": 2}
    told = "\n".join(plan_text.lines({**plan.counts(), "on_file": on_file(plan)}))
    assert "0 trials trained in this run, 2 in the store beside it; 1 to train" in told
    taken = shelf_trials.take(plan, store, plan.trials)
    assert [trial.seed for trial in taken] == [0, 1]
    assert on_file(plan) == {"trained": 2, "in_store": 0}
    for trial in taken:
        ours, theirs = (trials.record(each, trial) for each in (store, Store(first.study.folder)))
        assert ours
        assert theirs
        assert ours["taken"]
        assert (ours["losses"], ours["checkpoints"]) == (theirs["losses"], theirs["checkpoints"])


def test_a_run_is_whole_without_the_shelf_and_without_the_run_that_trained(first: Plan, tmp_path: Path) -> None:
    plan = real(tmp_path, {}, "second", seeds=[0, 1])
    store = Store(plan.study.folder)
    shelf_trials.take(plan, store, plan.trials)
    shutil.rmtree(tmp_path / shelf.FOLDER)
    shutil.rmtree(first.study.folder)
    for trial in plan.trials:
        found = trials.record(store, trial)
        assert found
        for kept in found["checkpoints"]:
            assert engine_folders.digest(store.path("adapters", kept["adapter"])) == kept["sha256"]


@pytest.mark.usefixtures("first")
def test_what_was_changed_on_the_shelf_or_learnt_from_other_data_is_not_taken(tmp_path: Path) -> None:
    plan = real(tmp_path, {}, "second", seeds=[0, 1])
    store = Store(plan.study.folder)
    entry = tmp_path / shelf.FOLDER / "trials" / shelf_trials.key(plan, plan.trials[0])
    weights = next(entry.glob("*.safetensors"))
    content = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert [trial.seed for trial in shelf_trials.take(plan, store, plan.trials)] == [1]
    other = real(tmp_path, {}, "third", seeds=[1])
    store = Store(other.study.folder)
    store.write_rows(store.read_rows(Chat, "chats.arrow")[1:], Chat, "chats.arrow")
    assert not shelf_trials.take(other, store, other.trials)


def test_a_study_that_is_to_have_no_store_takes_and_puts_nothing(first: Plan, tmp_path: Path) -> None:
    resources = first.study.resources.model_copy(update={"store": False})
    alone = Plan(first.study.model_copy(update={"resources": resources}))
    assert shelf_trials.there(alone, alone.trials) == []
    shutil.rmtree(tmp_path / shelf.FOLDER)
    shelf_trials.put(alone, Store(first.study.folder), alone.trials)
    assert not (tmp_path / shelf.FOLDER).exists()


def test_of_many_that_put_the_same_one_stays_and_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 100_000)
    at_once = threading.Barrier(8)

    def put() -> None:
        at_once.wait()
        Shelf(tmp_path / "shelf").put("kind", "key", {"a": file, "b": file}, {"of": "them"})

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    about = Shelf(tmp_path / "shelf").about("kind", "key")
    assert about
    assert about["of"] == "them"
    assert sorted(path.name for path in (tmp_path / "shelf").iterdir()) == ["kind"]


def test_where_a_disk_has_no_hard_links_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    file = tmp_path / "file"
    file.write_text("said")
    monkeypatch.setattr(shelf.os, "link", refuse)
    shelf.link(file, tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "said"
    assert file.stat().st_nlink == 1


def test_answers_of_endpoints_are_paid_for_once_in_all_runs(tmp_path: Path) -> None:
    beside = Shelf(tmp_path / shelf.FOLDER)
    Cache(tmp_path / "one" / "said", beside).put("ab12", Said("Hello!", "stop", 3, 4))
    assert Cache(tmp_path / "two" / "said", beside).get("ab12") == Said("Hello!", "stop", 3, 4)
    shutil.rmtree(tmp_path / shelf.FOLDER)
    assert Cache(tmp_path / "two" / "said", beside).get("ab12") == Said("Hello!", "stop", 3, 4)
    assert Cache(tmp_path / "two" / "said", beside).get("cd34") is None


async def test_a_judge_is_asked_the_same_once_in_all_runs(tmp_path: Path) -> None:
    asked: list[str] = []

    async def verdict(request: web.Request) -> web.Response:
        asked.append((await request.json())["messages"][0]["content"])
        choice = {"message": {"role": "assistant", "content": "CORRECT"}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 1}})

    async with answering(verdict) as url:
        for name in ("one", "two"):
            judges = [{"name": "grader", "url": url, "model": "g"}]
            plan = study({}, name=name, judges=judges, resources={"runs": str(tmp_path)}).plan()
            unit = plan.units[0]
            sample = plan.samples(unit.task)[0]
            scorer = judge.Scorer(plan.study.judges[0], plan, plan.study.folder, "", 4)
            scores = [await scorer.score(sample, said(plan, unit, text), "by") for text in ("So it is.", "No.")]
            await scorer.close()
            assert [score.said for score in scores] == ["CORRECT", "CORRECT"]
    assert len(asked) == 2


def said(plan: Plan, unit: Unit, text: str) -> Reply:
    """A reply to the first question of a unit."""
    each = plan.questions(unit)[0]
    return Reply(
        unit.subject.name, "m", "original", None, 0, None, 0, unit.task, each.sample, each.context, each.belief,
        each.draw, each.row_seed, None, each.prompt, "p", text, "stop", 5, 5, None, "r", None, 0.1,
    )  # fmt: skip
