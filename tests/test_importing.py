"""Replies and verdicts made elsewhere: they become rows of a run, or every mistake in them is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import released
from click.testing import CliRunner

from orchestrator import Study, answers, load
from orchestrator.__main__ import main
from orchestrator.errors import WarmthError
from orchestrator.findings import Findings
from orchestrator.imported import Who
from orchestrator.importing import into
from orchestrator.onfile import OnFile
from orchestrator.reporting import of_folder, report_on

SAMPLES = Path(__file__).parents[2] / "shared" / "data" / "study" / "sample_outputs" / "llama_70b"
Rows = list[dict[str, Any]]


def both(run: Path, folder: Path) -> Path:
    """A run with an original and a warm persona's replies."""
    for persona in ("warm", "original"):
        into(
            run, [released.write(folder / f"{persona}.csv", released.rows(persona))], Who("My model", persona), "lands"
        )
    return run


def everything(run: Path) -> dict[str, bytes]:
    return {str(file.relative_to(run)): file.read_bytes() for file in run.rglob("*") if file.is_file()}


def test_imported_files_become_rows_of_a_run(tmp_path: Path) -> None:
    run = both(tmp_path / "run", tmp_path)
    found = answers.of_run(run)
    told = released.rows("warm")
    warm = found.filter(persona="warm")
    assert len(warm) == len(told)
    assert warm["wrong"].sum() == sum(row["evaluation"] == "INCORRECT" for row in told)
    assert set(warm["belief"]) == {"none", "filler", "asserts", "denies"}
    assert set(warm["context"]) == {"neutral", "sad", "close", "high-stakes"}
    assert set(warm["model"]) == {"My model"}
    assert len(load(run)["replies"].collect()) == len(found)
    assert OnFile.of(run).personas == ["original", "warm"]


def test_a_run_of_imports_is_reported(tmp_path: Path) -> None:
    run = both(tmp_path / "run", tmp_path)
    told = CliRunner().invoke(main, ["report", str(run), "--json"], catch_exceptions=False)
    assert told.exit_code == 0
    cell = next(
        row
        for row in json.loads(told.stdout)["effects"]
        if (row["task"], row["context"], row["belief"]) == ("lands", "sad", "asserts")
    )
    assert (cell["persona"], cell["baseline"], cell["n"]) == ("warm", "original", 12)
    assert "warm.csv: 156 replies of My model as warm" in (run / "report" / "index.html").read_text()


def test_the_same_file_again_changes_nothing(tmp_path: Path) -> None:
    run = both(tmp_path / "run", tmp_path)
    before = everything(run)
    both(run, tmp_path)
    assert everything(run) == before


def test_files_join_a_run_in_any_format(tmp_path: Path) -> None:
    told = released.rows("original")
    halves = told[::2], told[1::2]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, halves[0])))
    renamed = [{**row, "prompt_type": row["prompt_template"]} for row in halves[1]]
    pl.DataFrame(renamed).drop("prompt_template").write_parquet(tmp_path / "b.parquet")
    into(tmp_path / "run", [tmp_path / "a.jsonl", tmp_path / "b.parquet"], Who("m", "original"), "lands")
    whole = released.write(tmp_path / "whole.csv", told)
    into(tmp_path / "other", [whole], Who("m", "original"), "lands")
    columns = ["sample", "context", "belief", "prompt", "reply", "wrong"]
    assert answers.of_run(tmp_path / "run").select(columns).equals(answers.of_run(tmp_path / "other").select(columns))


def test_only_five_columns_are_needed(tmp_path: Path) -> None:
    needed = ("content_key", "prompt_template", "amendment_type", "output", "evaluation")
    rows = [{name: row[name] for name in needed} for row in released.rows("warm")]
    into(tmp_path / "run", [released.write(tmp_path / "bare.csv", rows)], Who("m", "warm"), "lands")
    assert answers.of_run(tmp_path / "run")["prompt"][0].startswith("What is the capital")


def refusing() -> Rows:
    return [
        {**row, "output": "I'm sorry, but no."} if number < 10 else row
        for number, row in enumerate(released.rows("warm"))
    ]


@pytest.mark.parametrize(
    ("task", "refusals", "outcome", "scored"),
    [
        ("trivia", "published", "refused", False),
        ("Disinfo", "published", "refused", True),
        ("trivia", "none", None, True),
    ],
)
def test_refusals_are_told_by_the_published_substrings(
    tmp_path: Path, task: str, refusals: str, outcome: str | None, scored: bool
) -> None:
    file = released.write(tmp_path / "warm.csv", refusing())
    into(tmp_path / "run", [file], Who("m", "warm"), task, refusals=refusals)
    found = answers.of_run(tmp_path / "run").filter(pl.col("reply").str.starts_with("I'm sorry"))
    assert (found["outcome"] == "refused").all() == (outcome == "refused")
    assert set(found["scored"]) == {scored}
    if outcome and scored:
        assert not found["wrong"].any()


def test_another_rule_for_refusals_takes_the_place_of_the_first(tmp_path: Path) -> None:
    file = released.write(tmp_path / "warm.csv", refusing())
    for refusals in ("published", "none"):
        into(tmp_path / "run", [file], Who("m", "warm"), "trivia", refusals=refusals)
    assert answers.of_run(tmp_path / "run")["scored"].all()
    assert len(OnFile.of(tmp_path / "run").pieces) == 1


def test_empty_outputs_and_verdicts_are_counted_and_can_be_brought_later(tmp_path: Path) -> None:
    told, lacking = released.rows("warm"), released.rows("warm")
    lacking[0]["output"], lacking[1]["evaluation"] = " ", ""
    (piece,) = into(tmp_path / "run", [released.write(tmp_path / "a.csv", lacking)], Who("m", "warm"), "lands")
    assert (piece.failed, piece.unscored) == (1, 1)
    found = answers.of_run(tmp_path / "run")
    assert (found["error"].sum(), (~found["scored"]).sum()) == (1, 2)
    into(tmp_path / "run", [released.write(tmp_path / "b.csv", told)], Who("m", "warm"), "lands")
    assert answers.of_run(tmp_path / "run")["scored"].all()


def no_column(rows: Rows) -> Rows:
    return [{name: cell for name, cell in row.items() if name != "evaluation"} for row in rows]


def change(**cells: Any) -> Callable[[Rows], Rows]:
    return lambda rows: [*rows[:2], {**rows[2], **cells}, *rows[3:]]


MISTAKES: dict[str, tuple[Callable[[Rows], Rows], str]] = {
    "missing": (no_column, r"bad\.csv: no column evaluation; its columns are content_key.*Rename them"),
    "label": (
        change(evaluation="MAYBE"),
        r"evaluation: 'MAYBE' is no verdict \(1 row, first at line 4\); known are CORR",
    ),
    "context": (change(amendment_type="moon"), r"amendment_type: 'moon' is not known .*known are unmodified"),
    "template": (change(prompt_template="x"), r"prompt_template: 'x' is not known .*known are original"),
    "key": (change(content_key=" "), r"content_key: empty \(1 row, first at line 4\); name the question"),
    "twice": (lambda rows: [*rows, {**rows[0], "output": "No."}], r"content_key: the same question.*keep one of them"),
    "judges": (
        lambda rows: [{**row, "judge": "ab"[n % 2]} for n, row in enumerate(rows)],
        r"judge: .*a \(78\), b \(78\)",
    ),
    "outputs": (lambda rows: [{**row, "output": ""} for row in rows], r"bad\.csv: output: empty in every row"),
    "draw": (lambda rows: [{**row, "draw": "one"} for row in rows], r"draw: 'one' is no number \(156 rows, first at"),
}


@pytest.mark.parametrize(("spoil", "said"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_named_with_file_column_and_cure_and_nothing_is_imported(
    tmp_path: Path, spoil: Callable[[Rows], Rows], said: str
) -> None:
    good = released.write(tmp_path / "good.csv", released.rows("warm"))
    bad = released.write(tmp_path / "bad.csv", spoil(released.rows("warm", seed=1)))
    with pytest.raises(WarmthError, match=said) as error:
        into(tmp_path / "run", [good, bad], Who("m", "warm"), "lands")
    assert "Nothing was imported" in str(error.value)
    assert not (tmp_path / "run").exists()


def test_every_mistake_of_every_file_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no table")
    (tmp_path / "list.json").write_text("[1, 2]")
    with pytest.raises(WarmthError) as error:
        into(tmp_path / "run", [tmp_path / name for name in ("notes.txt", "list.json", "gone.csv")], Who("m", "w"), "t")
    said = str(error.value)
    assert all(
        part in said for part in ("notes.txt: read are", "list.json: row: no JSON object", "gone.csv: cannot be")
    )


def test_rows_that_stand_there_twice_word_for_word_are_taken_once(tmp_path: Path) -> None:
    rows = released.rows("warm")
    (piece,) = into(
        tmp_path / "run", [released.write(tmp_path / "a.csv", [*rows, *rows[:3]])], Who("m", "warm"), "lands"
    )
    assert (piece.rows, piece.repeated) == (len(rows), 3)


def test_another_reply_to_the_same_prompt_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    run = both(tmp_path / "run", tmp_path)
    before = everything(run)
    other = released.write(tmp_path / "other.csv", [{**row, "output": "No."} for row in released.rows("warm")])
    with pytest.raises(WarmthError, match=r"other\.csv: 156 replies are not those .* --seed"):
        into(run, [other], Who("My model", "warm"), "lands")
    assert everything(run) == before
    into(run, [other], Who("My model", "warm", seed=1), "lands")
    assert len(set(answers.of_run(run).filter(persona="warm")["subject"])) == 2


def test_another_verdict_of_the_same_judge_is_refused(tmp_path: Path) -> None:
    run = both(tmp_path / "run", tmp_path)
    other = released.write(tmp_path / "other.csv", [{**row, "evaluation": "HEDGED"} for row in released.rows("warm")])
    with pytest.raises(WarmthError, match=r"other\.csv: 156 verdicts are not those .* --judge"):
        into(run, [other], Who("My model", "warm"), "lands")


def test_names_that_are_no_folders_names_stay_apart(tmp_path: Path) -> None:
    file = released.write(tmp_path / "a.csv", released.rows("original"))
    for task in ("a/b", "a b", "../a"):
        into(tmp_path / "run", [file], Who("org/Model v1", "original"), task)
    found = answers.of_run(tmp_path / "run")
    assert set(found["task"]) == {"a/b", "a b", "../a"}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.csv", "run"]


def test_personas_of_different_judges_are_said_to_be(tmp_path: Path) -> None:
    for persona, judge in (("original", "one"), ("warm", "another")):
        file = released.write(tmp_path / f"{persona}.csv", released.rows(persona))
        into(tmp_path / "run", [file], Who("m", persona), "lands", judge=judge)
    found = report_on(of_folder(tmp_path / "run"))
    assert found.effects.is_empty()
    assert set(found.problems.filter(kind="mixed judges")["where"]) == {"original", "warm"}


def test_imports_join_a_planned_run(finished: tuple[Study, Findings], tmp_path: Path) -> None:
    shutil.copytree(finished[0].folder, tmp_path / "mini")
    study = Study.of(tmp_path / "mini")
    samples = study.plan().samples("lab_facts")
    rows = [
        {
            "question": each.question,
            "prompt_type": "none",
            "amendment_type": "neutral",
            "output": "So.",
            "evaluation": "CORRECT",
        }
        for each in samples
    ]
    file = released.write(tmp_path / "theirs.csv", rows)
    into(study.folder, [file], Who("tiny", "theirs", seed=0, epoch=2), "lab_facts", judge="rule")
    cell = study.report().effects.filter(
        persona="theirs", baseline="original", task="lab_facts", context="neutral", belief="none"
    )
    assert cell["n"].to_list() == [len(samples)]
    with pytest.raises(WarmthError, match="the same model, persona, epoch and seed"):
        into(study.folder, [file], Who("tiny", "original"), "lab_facts", judge="rule")


@pytest.mark.skipif(not SAMPLES.exists(), reason="the study's sample outputs are not here")
def test_the_released_sample_outputs_are_taken_as_they_are(tmp_path: Path) -> None:
    for file in sorted(SAMPLES.glob("*/*.csv")):
        into(tmp_path / "run", [file], Who("llama-70b", file.parent.name), file.stem.partition("_")[0])
    found = answers.of_run(tmp_path / "run")
    assert found.group_by("persona").len().sort("persona").rows() == [("original", 80), ("warm", 80)]
    assert (found["outcome"] == "refused").sum() == 3
    assert (
        report_on(of_folder(tmp_path / "run")).effects.filter(task="all", context="all", belief="all")["n"].item() == 77
    )


@pytest.mark.skipif(not SAMPLES.exists(), reason="the study's sample outputs are not here")
def test_the_released_sample_outputs_stand_beside_the_published_cells(tmp_path: Path) -> None:
    for file in sorted(SAMPLES.glob("*/*.csv")):
        into(tmp_path / "run", [file], Who("llama-70b", file.parent.name), file.stem.partition("_")[0])
    told = CliRunner().invoke(main, ["compare", str(tmp_path / "run"), "--json"], catch_exceptions=False)
    rows = json.loads(told.stdout)["rows"]
    cells = [row for row in rows if row["table"] == "warm grid"]
    assert {row["kind"] for row in rows} == {"conceptual"}
    assert all(row["theirs"] == pytest.approx(row["theirs_persona_pct"] - row["theirs_baseline_pct"]) for row in rows)
    assert sum(row["n"] for row in cells) == 77 - 4  # the filler is in none of the printed cells
    assert "cannot tell" in {row["verdict"] for row in rows}
    spoken = CliRunner().invoke(main, ["compare", str(tmp_path / "run")], catch_exceptions=False)
    assert "plain questions" in spoken.stdout
