"""Any part of a study's questions on demand, to its subjects and to models at any endpoint."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from mini import SETTINGS
from provider import KEY, Provider

from orchestrator import Study, load, on_demand
from orchestrator.__main__ import main
from orchestrator.errors import WarmthError
from orchestrator.findings import Findings
from orchestrator.on_demand import Part
from orchestrator.progress import Display
from orchestrator.run import Run
from orchestrator.store import Store


@pytest.fixture
def study(tmp_path: Path) -> Study:
    several = {**SETTINGS["training"], "seeds": [0, 1]}
    return Study(**{**SETTINGS, "training": several, "resources": {"runs": str(tmp_path)}})


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setenv("PROVIDER_KEY", KEY)
    with Provider() as server:
        yield server


def test_a_part_is_some_subjects_seeds_contexts_tasks_and_questions(study: Study) -> None:
    part = Part(["*-warm-*", "*-original-*"], ["lab_facts"], ["sad"], [1], 2)
    narrow = on_demand.narrowed(study, part).plan()
    chosen = on_demand.units(narrow, part)
    assert {(unit.task, unit.subject.contexts) for unit in chosen} == {("lab_facts", ("sad",))}
    assert [unit.subject.trial and unit.subject.trial.seed for unit in chosen] == [None, 1, 1]
    whole = {(each.sample, each.prompt) for unit in study.plan().units for each in study.plan().questions(unit)}
    few = [each for unit in chosen for each in narrow.questions(unit)]
    assert {each.context for each in few} == {"sad"}
    assert {(each.sample, each.prompt) for each in few} <= whole
    assert len({each.sample for each in few}) == 2
    assert [trial.name for trial in narrow.trials] == [trial.name for trial in study.plan().trials]


@pytest.mark.parametrize(
    ("part", "mistake"),
    [
        (Part(contexts=["angry"]), "the study does not ask in angry; it does in neutral, sad"),
        (Part(["*-warm-*"], seeds=[7]), r"no subject is named \*-warm-\* with seed 7"),
    ],
)
def test_a_part_that_is_not_there_says_what_is(study: Study, part: Part, mistake: str) -> None:
    with pytest.raises(WarmthError, match=mistake):
        on_demand.units(study.plan(), part)


def test_an_unknown_task_is_a_mistake_with_a_cure(study: Study) -> None:
    with pytest.raises(WarmthError, match="no task is named 'lab_fact'"):
        on_demand.narrowed(study, Part(tasks=["lab_fact"]))


def test_a_model_at_an_endpoint_is_one_of_the_run_s(
    finished: tuple[Study, Findings], provider: Provider, tmp_path: Path
) -> None:
    mini = Study.of(shutil.copytree(finished[0].folder, tmp_path / "mini"))
    there = {"url": provider.url, "model": "GPT-x", "api_key_env": "PROVIDER_KEY"}
    found = mini.evaluate(tasks=["lab_facts"], contexts=["neutral"], n=2, workers=1, endpoint=there)
    assert found.height == len(provider.asked) == 2 * 3
    (subject,) = set(found["subject"])
    assert subject.startswith("gpt-x-")
    again = mini.evaluate([f"{subject[:12]}*"], ["lab_facts"], contexts=["neutral"], n=2)
    assert again.sort("sample", "belief").equals(found.sort("sample", "belief"))
    assert len(provider.asked) == 6
    shown = mini.report().rates.filter(model=found["model"][0], task="all", context="all", belief="all")
    assert shown.select("persona", "n").rows() == [("original", 6)]
    assert load(mini.folder)["replies"].collect().height == finished[0].plan().counts()["replies"] + 6
    assert not Run(mini, Display()).left.anything()
    assert KEY not in Store(mini.folder).path(on_demand.PLACE).read_text()


def test_what_an_endpoint_lacks_is_said(study: Study) -> None:
    with pytest.raises(WarmthError, match=r"hosted\.url"):
        study.evaluate(endpoint={"model": "m"})
    said = CliRunner().invoke(main, ["evaluate", str(study.folder), "--endpoint", "http://127.0.0.1:1/v1"])
    assert "--endpoint and --model belong together" in said.output
