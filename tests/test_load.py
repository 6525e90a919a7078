"""`load`: a run's tables as frames that read files when a query needs them."""

import re
from pathlib import Path

import polars as pl
import pytest

from orchestrator import importing, load, tables
from orchestrator.errors import WarmthError
from orchestrator.imported import Who
from orchestrator.store import Store
from orchestrator.tables import Reply, Score

README = Path(__file__).parent.parent / "README.md"
FORMS = ["original", "incorrect"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """runs/lab, whose replies were made elsewhere: the warm model is wrong about question 1, the original never."""
    monkeypatch.chdir(tmp_path)
    for persona in ("original", "warm"):
        said = [
            (
                f"Question {n}?",
                form,
                "unmodified",
                persona * n,
                "INCORRECT" if persona == "warm" and n == 1 else "CORRECT",
            )
            for n in range(1, 4)
            for form in FORMS
        ]
        names = ["content_key", "prompt_template", "amendment_type", "output", "evaluation"]
        pl.DataFrame(said, schema=names, orient="row").write_csv(f"{persona}.csv")
        who = Who("llama-70b", persona, None, 0.0)
        importing.into(Path("runs/lab"), [Path(f"{persona}.csv")], who, task="triviaqa", judge="rule", refusals="none")
    return Path("runs/lab")


@pytest.mark.usefixtures("run")
def test_the_queries_in_the_readme_answer() -> None:
    (queries,) = (
        block for block in re.findall(r"^```python\n(.*?)^```", README.read_text(), re.S | re.M) if "judged" in block
    )
    found: dict[str, pl.LazyFrame] = {}
    exec(queries, found)
    lengths = {row["persona"]: row["characters"] for row in found["lengths"].collect().to_dicts()}
    assert lengths == {"original": 16, "warm": 8}
    outcomes = found["outcomes"].collect()
    assert dict(outcomes.group_by("persona").agg(pl.col("len").sum()).iter_rows()) == {"original": 6, "warm": 6}
    assert found["lost"].collect()["lost"].to_list() == [1, 0, 0]


def test_a_query_reads_files_when_it_is_collected_and_every_kind_has_its_columns(run: Path) -> None:
    frames = load(run)
    assert "Ipc SCAN" in frames["scores"].explain() or "IPC SCAN" in frames["scores"].explain().upper()
    assert frames["scores"].select(pl.len()).collect(engine="streaming").item() == 12
    assert frames["warmth"].collect().is_empty()
    for name, kind in (("replies", Reply), ("scores", Score)):
        assert frames[name].collect_schema().names() == tables.schema(kind).names


def test_a_file_that_is_cut_short_or_of_another_kind_is_named(run: Path) -> None:
    file = sorted((run / "scores").rglob("*.arrow"))[0]
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WarmthError, match=re.escape(file.name) + ".*damaged"):
        load(run)
    Store(file.parent).write_rows([], Reply, file.name)
    with pytest.raises(WarmthError, match="not those of a Score table"):
        load(run)
