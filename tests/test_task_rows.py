"""Where questions come from: files and the hub, what is wrong with them, and how they are drawn."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rows import ROWS

import tasks
from tasks import Unusable, take

TRIVIA = tasks.load("triviaqa")
GOOD = [{"question": f"Question {n}?", "answer": f"Right {n}", "wrong": f"Wrong {n}"} for n in range(20)]


def lines(file: Path, rows: list[Any]) -> str:
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(file)


def test_all_formats_give_the_same_questions(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "\ufeffquestion,answer,wrong\n" + "".join(f'"{r["question"]}",{r["answer"]},{r["wrong"]}\n' for r in GOOD)
    )
    (tmp_path / "a.json").write_text(json.dumps(GOOD))
    lines(tmp_path / "a.jsonl", GOOD)
    lines(tmp_path / "lines.json", GOOD)
    pq.write_table(pa.Table.from_pylist(GOOD), tmp_path / "a.parquet")
    files = [tmp_path / name for name in ("a.csv", "a.json", "a.jsonl", "lines.json", "a.parquet")]
    found = [take(TRIVIA, str(file)) for file in files]
    assert len(found[0].samples) == 20
    assert all(each == found[0] for each in found)


def test_a_drawn_sample_depends_on_the_seed_and_grows(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", GOOD)
    few, more, other = take(TRIVIA, path, 5), take(TRIVIA, path, 9), take(TRIVIA, path, 5, 1)
    assert len(few.samples) == 5
    assert set(few.samples) < set(more.samples)
    assert few != other
    assert list(more.samples) == [each for each in take(TRIVIA, path).samples if each in more.samples]
    shuffled = take(TRIVIA, lines(tmp_path / "b.jsonl", GOOD[::-1]), 5)
    assert set(shuffled.samples) == set(few.samples)


def test_bad_rows_are_named_counted_and_left_out(tmp_path: Path) -> None:
    bad = [
        {"question": "No answer?", "answer": " ", "wrong": "x"},
        {"question": "No column?", "answer": "x"},
        {"question": "Same?", "answer": "The Rhine", "wrong": "rhine."},
        {"question": "Same again?", "answer": "a", "wrong": "A"},
        GOOD[3],
        {"id": 7, **GOOD[0]},
        {"id": 7, **GOOD[1]},
        "{not json",
        "[1, 2]",
        {"question": "Lone \ud800?", "answer": "a", "wrong": "b"},
    ]
    found = take(TRIVIA, lines(tmp_path / "a.jsonl", [*GOOD, *bad]))
    assert len(found.samples) == 21
    assert [line.removeprefix(f"{tmp_path / 'a.jsonl'}: ") for line in found.left_out] == [
        "1 left out: nothing in base.correct_answer (first at line 21)",
        "1 left out: no column base.incorrect_answer or incorrect_answer or wrong (first at line 22)",
        "2 left out: the wrong answer is the right one (first at line 23)",
        "2 left out: an id, or a question, that stands there before (first at line 25)",
        "1 left out: not JSON (first at line 28)",
        "1 left out: no JSON object (first at line 29)",
        "1 left out: not UTF-8 (first at line 30)",
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_bytes_that_are_not_utf_8_cost_their_row_alone(tmp_path: Path, name: str) -> None:
    rows = {
        "a.csv": b"question,answer,wrong\nCaf\xe9?,yes,no\nTea?,yes,no\n,yes,no\nA,b,c,d\nshort\n",
        "a.jsonl": b'{"question": "Caf\xe9?", "answer": "y", "wrong": "n"}\n'
        b'{"question": "Tea?", "answer": "y", "wrong": "n"}',
    }
    (tmp_path / name).write_bytes(rows[name])
    found = take(TRIVIA, str(tmp_path / name))
    assert [sample.question for sample in found.samples] == ["Tea?"]
    assert "1 left out: not UTF-8 (first at line" in found.left_out[0]


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.txt", b"x", "read are .csv, .jsonl, .json, .parquet files"),
        ("a.csv", b"Q,A\nwhy,so\n", "1 left out: no column base.question or content_key or question (first at line 2)"),
        ("a.csv", b"Q,A\nwhy,so\n", "the columns are Q, A"),
        ("a.csv", b"", "there is nothing in it"),
        ("a.parquet", b"PAR", "not Parquet"),
        ("a.json", b"[1]", "1 left out: no JSON object"),
    ],
)
def test_what_leaves_nothing_is_an_error(tmp_path: Path, name: str, content: bytes, fault: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Unusable) as raised:
        take(TRIVIA, str(tmp_path / name))
    assert fault in str(raised.value)
    assert name in str(raised.value)


def test_a_file_that_is_not_there_and_a_task_that_reads_none(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=r"none\.csv: cannot be read: No such file or directory"):
        take(TRIVIA, str(tmp_path / "none.csv"))
    with pytest.raises(Unusable, match="this task has its own questions and reads no file"):
        take(tasks.load("lab_facts"), lines(tmp_path / "a.jsonl", GOOD))


# ----------------------------------------------------------------- the hub
def test_the_hub_s_rows_are_read_like_any_others(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked = []

    def load_dataset(*args: Any, **settings: Any) -> Any:
        asked.append((args, settings))
        return datasets.Dataset.from_list(ROWS["gsm8k"])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert len(take(tasks.load("gsm8k"), count=2).samples) == 2
    assert asked == [(("openai/gsm8k", "main"), {"split": "test", "data_files": None})]


def test_a_gated_set_and_a_hub_out_of_reach_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def gated(*_: Any, **__: Any) -> Any:
        raise datasets.exceptions.DatasetNotFoundError("Dataset 'cais/MASK' is a gated dataset on the Hub.")

    monkeypatch.setattr(datasets, "load_dataset", gated)
    with pytest.raises(Unusable, match="MASK is gated: ask for access at https://"):
        take(tasks.load("disinfo"))
    monkeypatch.undo()
    with pytest.raises(Unusable, match=r"cais/mmlu cannot be had from the Hugging Face hub \(.+\): check the network"):
        take(tasks.load("mmlu"))
    with pytest.raises(Unusable, match=r"ELEPHANT .* is not on the Hugging Face hub: fetch OEQ.csv"):
        take(tasks.load("elephant_framing"))


def test_counting_the_hub_s_tasks_loads_nothing_heavy() -> None:
    code = (
        "import sys, tasks; [tasks.size(tasks.load(n)) for n in tasks.names()];"
        "print([m for m in ('torch', 'ray', 'transformers', 'polars', 'datasets', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
