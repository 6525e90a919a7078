"""What is said to tasks that are marked sensitive is counted, and shown only where that is asked for."""

import csv
import shutil
from pathlib import Path

import polars as pl
import pytest

import tasks
from orchestrator import Study, withheld
from orchestrator.findings import Findings


def test_the_tasks_that_are_marked() -> None:
    assert withheld.names() == ["advbench", "disinfo"]


def test_prompts_and_replies_are_covered_and_figures_are_not() -> None:
    rows = pl.DataFrame(
        {"task": ["disinfo", "disinfo", "mmlu"], "reply": ["a", None, "c"], "outcome": ["other", None, "correct"]}
    )
    found = withheld.hidden(rows)
    assert found["reply"].to_list() == [withheld.INSTEAD, None, "c"]
    assert found["outcome"].equals(rows["outcome"])
    assert withheld.hidden(rows, sensitive=True).equals(rows)
    assert withheld.left_out(rows)["task"].to_list() == ["mmlu"]


@pytest.fixture
def marked(finished: tuple[Study, Findings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A finished study, one of whose tasks is marked sensitive."""
    monkeypatch.setitem(vars(tasks.load("lab_facts")), "sensitive", True)
    return Study.of(shutil.copytree(finished[0].folder, tmp_path / "mini"))


def page(study: Study) -> str:
    return (study.folder / "report" / "index.html").read_text(encoding="utf-8")


def test_the_report_shows_replies_to_sensitive_tasks_only_where_that_is_asked_for(
    marked: Study, finished: tuple[Study, Findings]
) -> None:
    found = marked.report()
    assert set(found.examples["task"]) == {"lab_rumours"}
    assert "replies to lab_facts, which are marked sensitive" in page(marked)
    said = marked.report(sensitive=True).examples.filter(task="lab_facts")["reply"].to_list()
    assert said
    assert "marked sensitive" not in page(marked)
    assert found.rates.equals(finished[1].rates)


def test_replies_to_sensitive_tasks_are_drawn_for_people_only_where_that_is_asked_for(
    marked: Study, tmp_path: Path
) -> None:
    drawn = {}
    for sensitive in (False, True):
        marked.sample_labels(tmp_path / "labels.csv", n=40, sensitive=sensitive)
        with (tmp_path / "labels.csv").open(encoding="utf-8-sig", newline="") as out:
            drawn[sensitive] = {row["task"] for row in csv.DictReader(out)}
    assert drawn == {False: {"lab_rumours"}, True: {"lab_facts", "lab_rumours"}}
