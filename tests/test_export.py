"""A run as other tools read it. Their own readers (inspect_ai 0.3.285, every_eval_ever 0.3.0) were tried by hand."""

import hashlib
import json
import re
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import tasks
from orchestrator import Study, bundle, export_every, export_inspect, exporting, withheld
from orchestrator.__main__ import main
from orchestrator.findings import Findings
from orchestrator.store import Store
from orchestrator.tables import Reply, Score


@pytest.fixture(scope="module")
def run(finished: tuple[Study, Findings], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, one of whose replies failed and one of whose verdicts could not be had."""
    study, _ = finished
    folder = shutil.copytree(study.folder, tmp_path_factory.mktemp("runs") / "mini")
    store, place = Store(folder), (study.plan().subjects[0].name, "lab_facts.arrow")
    replies: list[Reply] = store.read_rows(Reply, "replies", *place)
    store.write_rows([replace(replies[0], reply=None, error="no answer"), *replies[1:]], Reply, "replies", *place)
    scores: list[Score] = store.read_rows(Score, "scores", "rule", *place)
    store.write_rows([scores[0], replace(scores[1], outcome=None), *scores[2:]], Score, "scores", "rule", *place)
    return folder


def first(folder: Path, **how: Any) -> exporting.Evaluation:
    return next(each for each in exporting.evaluations(folder, **how) if each.task == "lab_facts")


def members(file: Path) -> dict[str, Any]:
    with zipfile.ZipFile(file) as log:
        return {name: json.loads(log.read(name)) for name in log.namelist()}


def test_inspect_gets_a_log_of_each_subject_and_task_with_every_reply_in_it(run: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["export", str(run), "--format", "inspect", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert len(list(tmp_path.glob("*.eval"))) == len(Study.of(run).plan().units)
    evaluation = first(run)
    log = members(tmp_path / f"{evaluation.name}.eval")
    header = log["header.json"]
    assert (header["version"], header["status"], header["eval"]["task"]) == (2, "success", "lab_facts")
    samples = [content for name, content in log.items() if name.startswith("samples/")]
    assert len(samples) == len(log["summaries.json"]) == header["results"]["total_samples"] == 24
    assert all(log[f"samples/{each['id']}_epoch_{each['epoch']}.json"] == each for each in samples)
    failed = [each for each in samples if "error" in each]
    unscored = [each for each in samples if not each["scores"]]
    assert (len(failed), len(unscored)) == (1, 2)
    score = header["results"]["scores"][0]
    assert (score["scored_samples"], score["unscored_samples"]) == (22, 2)
    right = [each["scores"]["rule"]["value"] == "C" for each in samples if each["scores"]]
    assert score["metrics"]["accuracy"]["value"] == pytest.approx(sum(right) / 22)
    asked = next(each for each in samples if each not in failed)
    sample = {each.id: each for each in tasks.load("lab_facts").samples()}[asked["metadata"]["sample"]]
    assert sample.answer in asked["target"]
    assert asked["messages"][-1]["content"] == asked["output"]["completion"]


def test_every_eval_ever_gets_figures_and_the_samples_that_they_are_of(run: Path, tmp_path: Path) -> None:
    evaluation = first(run)
    export_every.write(evaluation, tmp_path)
    (file,) = tmp_path.glob("data/lab_facts/lab/*/*.json")
    told = json.loads(file.read_text())
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", file.stem)
    details, (result,) = told["detailed_evaluation_results"], told["evaluation_results"]
    samples = (tmp_path / details["file_path"]).read_bytes()
    assert hashlib.sha256(samples).hexdigest() == details["checksum"]
    rows = [json.loads(line) for line in samples.splitlines()]
    assert len(rows) == details["total_rows"] == result["score_details"]["uncertainty"]["num_samples"] == 22
    assert result["score_details"]["score"] == pytest.approx(sum(row["evaluation"]["score"] for row in rows) / 22)
    assert {row["evaluation_result_id"] for row in rows} == {result["evaluation_result_id"]}
    assert {row["evaluation_id"] for row in rows} == {told["evaluation_id"]}


@pytest.mark.parametrize("layout", [export_inspect, export_every])
def test_the_same_run_makes_the_same_bytes_and_its_bundle_too(run: Path, tmp_path: Path, layout: Any) -> None:
    made = bundle.write(run, tmp_path / "mini", adapters=False)
    for place, folder in (("one", run), ("two", run), ("bundle", made)):
        layout.write(first(folder), tmp_path / place)
    one, two, three = (
        [file.read_bytes() for file in sorted((tmp_path / place).rglob("*")) if file.is_file()]
        for place in ("one", "two", "bundle")
    )
    assert one == two == three


def test_replies_to_sensitive_tasks_are_covered_unless_they_are_asked_for(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(tasks.load("lab_facts")), "sensitive", True)
    for sensitive in (False, True):
        evaluation = first(run, sensitive=sensitive)
        export_inspect.write(evaluation, tmp_path)
        log = members(tmp_path / f"{evaluation.name}.eval")
        said = {each["output"]["completion"] for name, each in log.items() if name.startswith("samples/")}
        assert (said == {withheld.INSTEAD, ""}) is not sensitive
        assert bool(evaluation.targets) is sensitive
