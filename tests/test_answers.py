"""The answers of a run's folder: counted, without what the analysis excludes."""

from pathlib import Path

import polars as pl
import pytest

from orchestrator import Study, answers, published
from orchestrator.errors import WarmthError
from orchestrator.findings import Findings
from orchestrator.settings_analysis import Analysis


def test_a_run_gives_its_counted_answers(finished: tuple[Study, Findings]) -> None:
    study, findings = finished
    found = answers.of_run(study.folder)
    every = findings.rates.filter(task="all", context="all", belief="all")
    assert found["scored"].sum() == every["n"].sum()
    assert found.filter("scored")["wrong"].null_count() == 0


def test_what_the_analysis_excludes_is_left_out_and_renames_nothing(finished: tuple[Study, Findings]) -> None:
    study, _ = finished
    found = answers.of_run(study.folder)
    without = Analysis(exclusions={"context": ("sad",), "finish_reason": ("length",)})
    assert set(answers.kept(found, without)["context"]) == {"neutral"}
    other = study.model_copy(update={"analysis": without})
    assert [each.name for each in other.plan().subjects] == [each.name for each in study.plan().subjects]


def test_an_unknown_finish_reason_excludes_nothing() -> None:
    rows = pl.DataFrame({"finish_reason": [None, "length", "stop"]})
    assert len(answers.kept(rows, Analysis(exclusions={"finish_reason": ("length",)}))) == 2


def test_an_analysis_that_excludes_nothing_keeps_any_number_of_rows() -> None:
    rows = pl.DataFrame({"context": ["sad"] * 50_000})
    assert len(answers.kept(rows, Analysis())) == len(rows)


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(WarmthError, match=r"study\.json: not there"):
        answers.of_run(tmp_path)


def test_published_names_are_ours_under_other_names() -> None:
    assert published.model("Qwen-32B") == published.model("Qwen/Qwen2.5-32B-Instruct") == "qwen-32b"
    assert published.model("tiny") is None
    assert (published.task("trivia"), published.task("TruthfulQA"), published.task("my own")) == (
        "triviaqa",
        "truthfulqa",
        "my own",
    )
    groups = pl.DataFrame({"context": ["neutral", "angry", "command", "low-stakes", "rainy"]})
    assert groups.select(published.group(pl.col("context")))["context"].to_list() == [
        "unmodified",
        "emotion",
        "relation",
        "stake",
        None,
    ]
