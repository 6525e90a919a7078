"""What is written down before the first reply, and what is told of later changes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from mini import SETTINGS

from orchestrator import Study, lock
from orchestrator.__main__ import main
from orchestrator.errors import WarmthError
from orchestrator.findings import Findings
from orchestrator.store import Store


def study(folder: Path, **changes: Any) -> Study:
    return Study(**{**SETTINGS, **changes}, resources={"runs": str(folder)})


def frozen(folder: Path, of: Study) -> Store:
    store = Store(folder / "mini")
    lock.preregister(of.plan(), store)
    return store


def test_a_lock_says_what_findings_will_be_judged_by(tmp_path: Path) -> None:
    of = study(tmp_path, analysis={"margin_pp": 2, "exclusions": {"finish_reason": ["length"]}})
    said = frozen(tmp_path, of).read_json("study.lock.json")
    assert said["margin_pp"] == 2
    assert said["exclusions"] == {"finish_reason": ["length"]}
    assert said["families"] == ["model", "task", "belief"]
    assert (said["primary"]["persona"], said["primary"]["baseline"]) == ("warm", "original")
    assert said["plan_digest"] == lock.plan_digest(of.plan())
    assert said["version"]
    assert said["commit"] is None or len(said["commit"].rstrip("+")) == 40
    assert not said["replies_before"]


def test_without_the_primary_personas_it_is_the_last_against_the_first(tmp_path: Path) -> None:
    of = study(tmp_path, personas=["original", "plain", "cold"])
    assert lock.primary(of).model_dump(include={"persona", "baseline"}) == {"persona": "cold", "baseline": "original"}


def test_where_and_how_fast_it_runs_is_no_part_of_it(tmp_path: Path) -> None:
    of = study(tmp_path)
    elsewhere = of.model_copy(update={"resources": of.resources.model_copy(update={"workers": 9, "runs": "x"})})
    assert lock.plan_digest(of.plan()) == lock.plan_digest(elsewhere.plan())
    assert lock.plan_digest(of.plan()) != lock.plan_digest(
        study(tmp_path, judges=[{"name": "rule", "kind": "rule", "refusals": "published"}]).plan()
    )


CHANGES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": ({}, []),
    "margin": ({"analysis": {"margin_pp": 5}}, ["analysis.margin_pp: 3.0 in the lock, now 5.0"]),
    "contrast": (
        {"analysis": {"primary": {"persona": "plain"}}},
        ['analysis.primary.persona: "warm" in the lock, now "plain"'],
    ),
    "exclusions": (
        {"analysis": {"exclusions": {"task": ["lab_facts"]}}},
        ['analysis.exclusions.task: not set in the lock, now ["lab_facts"]'],
    ),
    "seeds": (
        {"training": {**SETTINGS["training"], "seeds": [0, 1]}},
        ["training.seeds: [0] in the lock, now [0, 1]"],
    ),
    "persona": ({"personas": ["original", "warm"]}, ["personas.plain:"]),
    "samples": (
        {"evaluation": {**SETTINGS["evaluation"], "samples": 5}},
        ["evaluation.samples: 4 in the lock, now 5"],
    ),
}


@pytest.mark.parametrize(("changes", "told"), CHANGES.values(), ids=CHANGES.keys())
def test_every_later_deviation_is_told(tmp_path: Path, changes: dict[str, Any], told: list[str]) -> None:
    store = frozen(tmp_path, study(tmp_path))
    later = study(tmp_path, **changes)
    lines = lock.deviations(later.plan(), later.analysis, store)
    assert len(lines) == len(told)
    assert all(line.startswith(start) for line, start in zip(lines, told, strict=True))


def test_a_lock_stays_as_it_is(tmp_path: Path) -> None:
    store = frozen(tmp_path, study(tmp_path))
    before = store.path("study.lock.json").read_bytes()
    other = study(tmp_path, personas=["original", "warm"])
    lock.freeze(other.plan(), store)
    frozen(tmp_path, study(tmp_path))
    with pytest.raises(WarmthError, match=r"study\.lock\.json: frozen on .* personas\.plain.*another name"):
        frozen(tmp_path, other)
    assert store.path("study.lock.json").read_bytes() == before


def test_the_command_freezes_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mini.yaml").write_text(yaml.safe_dump(SETTINGS))
    told = CliRunner().invoke(main, ["plan", "mini.yaml", "--freeze", "--json"], catch_exceptions=False)
    figures = json.loads(told.stdout)
    assert json.loads(Path(figures["lock"]).read_text())["plan_digest"] == figures["plan_digest"]
    again = CliRunner().invoke(main, ["plan", "mini.yaml", "analysis.margin_pp=1", "--freeze"])
    assert again.exit_code == 1


def test_a_run_is_frozen_at_its_first_reply_and_its_report_lists_what_came_later(
    finished: tuple[Study, Findings], tmp_path: Path
) -> None:
    shutil.copytree(finished[0].folder, tmp_path / "mini")
    of = Study.of(tmp_path / "mini")
    said = Store(of.folder).read_json("study.lock.json")
    assert not said["replies_before"]
    assert said["plan_digest"] == lock.plan_digest(of.plan())
    assert of.report().problems.filter(kind="later than the lock, so exploratory").is_empty()
    later = of.model_copy(update={"analysis": of.analysis.model_copy(update={"margin_pp": 1.0})})
    told = later.report().problems.filter(kind="later than the lock, so exploratory")
    assert told["detail"].to_list() == ["analysis.margin_pp: 3.0 in the lock, now 1.0"]
    assert "analysis.margin_pp: 3.0 in the lock" in (of.folder / "report" / "index.html").read_text()
