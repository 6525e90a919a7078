"""People's marks: drawn blind, read back, and what they say about judges and effects."""

import csv
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import synthetic

from orchestrator import Study, corrections, findings, labels, report, tables
from orchestrator.corrections import true_rate
from orchestrator.errors import WarmthError
from orchestrator.findings import Findings
from orchestrator.store import Store
from tasks import Sample


def answers(samples: int = 8) -> pl.DataFrame:
    rows = synthetic.study(samples=samples)[0].filter(pl.col("epoch").is_in([0.0, 2.0]), model="lab-coupled-0")
    digests = [tables.digest(*row) for row in rows.select("subject", "sample", "context", "belief").iter_rows()]
    return rows.with_columns(reply_digest=pl.Series(digests))


def asked(rows: pl.DataFrame) -> dict[str, dict[str, Sample]]:
    known = {name: Sample(name, f"What of {name}?", "=right", "wrong") for name in rows["sample"].unique()}
    return dict.fromkeys(rows["task"].unique(), known)


def test_a_sample_is_spread_over_persona_verdict_and_task_and_drawn_alike_every_time() -> None:
    rows = answers()
    drawn = labels.draw(rows, "rule", 100, 0)
    assert len(drawn) == drawn["id"].n_unique() == 100
    assert drawn["id"].is_sorted()
    strata = rows.group_by("persona", "outcome", "task").len()
    taken = drawn.group_by("persona", "outcome", "task").agg(taken=pl.len())
    both = strata.join(taken, on=["persona", "outcome", "task"], how="left").fill_null(0)
    most = both["taken"].max()
    assert both.filter((pl.col("taken") < pl.col("len")) & (pl.col("taken") < most - 1)).is_empty()  # type: ignore[operator]
    assert labels.draw(rows.sample(fraction=1, shuffle=True, seed=3), "rule", 100, 0).equals(drawn, null_equal=True)
    assert set(labels.draw(rows, "rule", 100, 1)["reply_digest"]) != set(drawn["reply_digest"])
    assert labels.draw(rows, "nobody", 9, 0).is_empty()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "run")


def marks(file: Path, store: Store, n: int = 12) -> list[dict[str, str]]:
    rows = answers(2)
    labels.write(labels.draw(rows, "rule", n, 0), asked(rows), store, file)
    with file.open(encoding="utf-8-sig", newline="") as out:
        return list(csv.DictReader(out))


def put(file: Path, rows: list[dict[str, str]], encoding: str = "utf-8-sig", delimiter: str = ",") -> None:
    with file.open("w", encoding=encoding, newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def test_the_file_for_people_tells_neither_persona_nor_verdict(tmp_path: Path, store: Store) -> None:
    rows = marks(tmp_path / "labels.csv", store)
    assert list(rows[0]) == list(labels.COLUMNS)
    shown = {value for row in rows for name, value in row.items() if name not in ("prompt", "reply", "question")}
    assert not shown & {*synthetic.PERSONAS, "correct", "agrees", "other", "unreadable", "rule"}
    assert not any(persona in row["id"] for row in rows for persona in synthetic.PERSONAS)
    assert rows[0]["right_answer"] == "'=right"


def test_marks_come_back_and_more_can_be_added(tmp_path: Path, store: Store) -> None:
    file = tmp_path / "labels.csv"
    rows = marks(file, store)
    rows[0]["label"], rows[1]["label"] = " Correct ", "refused"
    put(file, rows[:2], delimiter=";")
    assert labels.read(file, store) == (2, 12)
    rows[2]["label"] = "agrees"
    put(file, rows[2:])
    assert labels.read(file, store) == (3, 12)
    assert sorted(labels.marked(store)["label"]) == ["agrees", "correct", "refused"]
    with pytest.raises(WarmthError, match="holds people's marks"):
        marks(file, store)


def test_every_mark_that_cannot_be_read_is_named_and_none_is_taken(tmp_path: Path, store: Store) -> None:
    file = tmp_path / "labels.csv"
    with pytest.raises(WarmthError, match="no replies were drawn"):
        labels.read(file, store)
    rows = marks(file, store)
    rows[0]["label"], rows[1]["label"], rows[2]["label"] = "right", "agrees", "agrees"
    rows[2]["id"] = "nobody"
    put(file, [*rows, {**rows[1], "label": "other"}])
    with pytest.raises(WarmthError) as raised:
        labels.read(file, store)
    said = str(raised.value)
    for part in (
        ":2: 'right' is not one of correct",
        ":4: no reply of this run's sample has the id 'nobody'",
        "marked twice",
    ):
        assert part in said
    assert labels.marked(store).is_empty()
    file.write_bytes("id,label\nä,correct".encode("latin-1"))
    with pytest.raises(WarmthError, match="not UTF-8"):
        labels.read(file, store)
    file.write_text("reply,mark\n")
    with pytest.raises(WarmthError, match="columns id and label are needed"):
        labels.read(file, store)


def test_the_true_rate_of_a_known_case() -> None:
    assert true_rate(0.3, 0.9, 0.8) == pytest.approx(0.1 / 0.7)
    assert true_rate(0.1, 0.9, 0.8) == 0
    assert np.isnan(true_rate(0.3, 0.5, 0.5))


def judged(rows: pl.DataFrame, strict: float, lenient: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Answers of a judge who calls some right replies of the warm persona wrong and misses some errors; all marked."""
    chance = pl.Series("chance", np.random.default_rng(1).random(len(rows)))
    truth = pl.col("outcome") != "correct"
    flipped = pl.when(truth).then(pl.col("chance") < lenient).otherwise(pl.col("chance") < strict)
    flipped = flipped & (pl.col("persona") == "warm")
    seen = rows.with_columns(chance).with_columns(flipped=flipped, truth=truth)
    said = pl.when(pl.col("flipped")).then(pl.when("truth").then(pl.lit("correct")).otherwise(pl.lit("other")))
    marked = rows.select("outcome", *tables.KEY, "reply_digest", drawn_by="judge").rename({"outcome": "label"})
    return seen.with_columns(outcome=said.otherwise("outcome")).drop("chance", "flipped", "truth"), marked


def test_a_judge_that_is_hard_on_one_persona_is_seen_and_put_right() -> None:
    rows = answers(32)
    seen, marked = judged(rows, strict=0.2, lenient=0.1)
    given = synthetic.study(samples=2)[1:]
    sample = labels.draw(seen, "rule", 600, 0).select(*tables.KEY, "reply_digest")
    found = findings.build(seen, *given, synthetic.PERSONAS, labels=marked.join(sample, on=sample.columns))
    exact = findings.build(rows, *given, synthetic.PERSONAS)
    warm, plain = (found.calibration.filter(persona=name).row(0, named=True) for name in ("warm", "plain"))
    assert warm["specificity_low"] < 0.8 < warm["specificity_high"]
    assert warm["sensitivity_low"] < 0.9 < warm["sensitivity_high"]
    assert (plain["sensitivity"], plain["specificity"]) == (1, 1)
    pair = {"persona": "warm", "baseline": "plain", "belief": "none"}
    row = found.corrected.filter(**pair).row(0, named=True)
    (true,) = exact.effects.filter(**pair, task="all", context="all")["effect_pp"]
    assert row["effect_pp"] - true > 10
    assert row["corrected_low_pp"] < true < row["corrected_high_pp"]
    assert abs(row["corrected_pp"] - true) < 6
    assert row["corrected_high_pp"] - row["corrected_low_pp"] > row["ci_high_pp"] - row["ci_low_pp"]
    page = report.to_html(found, {"study": "s"})
    assert "corrected by people's marks" in page.replace("&#39;", "'")


def test_marks_stand_for_the_stratum_that_they_were_drawn_from() -> None:
    """Of 90 replies called right 10 % are errors, of 10 called errors all; five of each are marked."""
    rows = answers(32).filter(persona="original").head(100)
    place = pl.int_range(pl.len())
    rows = rows.with_columns(
        outcome=pl.when(place < 10).then(pl.lit("other")).otherwise(pl.lit("correct")), task=pl.lit("t")
    )
    rows = rows.with_columns(wrong=pl.col("outcome") != "correct", scored=True)
    picked = rows.filter(place.is_in([0, 1, 2, 3, 4, 95, 96, 97, 98, 99]))
    marked = picked.select(*tables.KEY, "reply_digest", drawn_by="judge", truth=(place < 5) | (place == 5))
    (row,) = corrections.calibration(rows, marked).rows(named=True)
    assert (row["n"], row["errors"]) == (10, 6)
    assert row["sensitivity"] == pytest.approx(10 / (10 + 90 / 5))
    assert row["specificity"] == 1


def test_a_study_is_marked_and_put_right(finished: tuple[Study, Findings], tmp_path: Path) -> None:
    mini, before = finished
    file = tmp_path / "labels.csv"
    assert mini.sample_labels(file, n=40) == 40
    with file.open(encoding="utf-8-sig", newline="") as out:
        rows = list(csv.DictReader(out))
    put(file, [{**row, "label": "correct" if place % 3 else "other"} for place, row in enumerate(rows)])
    found = mini.read_labels(file)
    assert set(found.calibration["persona"]) == set(before.personas)
    assert found.effects.equals(before.effects)
    (mini.folder / "labels" / "labels.arrow").unlink()
    assert mini.report().calibration.is_empty()
