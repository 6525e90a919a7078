"""A run as a folder for a journal: whole, checked, without secrets, and enough to make the report again elsewhere."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml
from click.testing import CliRunner
from polars.testing import assert_frame_equal

import tasks
from orchestrator import Study, answers, bundle, evidence, importing, load, reporting, trials
from orchestrator.__main__ import main
from orchestrator.errors import WarmthError
from orchestrator.findings import Findings
from orchestrator.imported import Who
from orchestrator.sharing import HIDDEN, Sharing, pathless
from orchestrator.store import Store

SECRET = "sk-planted-0123456789"
EXAMINED = {"served": "a", "examined": ["2026-11-24T12:00:00+00:00"]}


@pytest.fixture(scope="module")
def run(finished: tuple[Study, Findings], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run in a folder of its own, in which a trial's error holds a key."""
    folder = shutil.copytree(finished[0].folder, tmp_path_factory.mktemp("runs") / "mini")
    trial = finished[0].plan().trials[0].name
    (folder / "trials" / trial / "trial.json").unlink()
    trials.file_failure(Store(folder), trial, f"refused: {SECRET}")
    certificate = {"id": "c0", "adapter": str(folder / "adapters" / "a"), "key": SECRET, **EXAMINED}
    Store(folder).write_json(certificate, "certificates", "c0.json")
    return folder


@pytest.fixture(scope="module")
def made(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its bundle, made where keys are in the environment."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("GRADER_API_KEY", SECRET)
        return bundle.write(run, tmp_path_factory.mktemp("bundles") / "mini")


def files(folder: Path) -> dict[str, bytes]:
    listed = (folder / bundle.SUMS).read_text().splitlines()
    return {name: (folder / name).read_bytes() for name in (line.split("  ", 1)[1] for line in listed)}


def test_every_file_has_its_checksum_and_one_that_is_touched_is_found(made: Path, tmp_path: Path) -> None:
    there = {file.relative_to(made).as_posix() for file in made.rglob("*") if file.is_file()}
    assert {name for name in there if not name.startswith("report/")} == {*files(made), bundle.SUMS}
    check = ["sha256sum", "-c", "--quiet", bundle.SUMS]
    assert subprocess.run(check, cwd=made, check=False).returncode == 0
    other = shutil.copytree(made, tmp_path / "other")
    (other / "METHODS.md").write_text("We did nothing.")
    assert subprocess.run(check, cwd=other, check=False, capture_output=True).returncode == 1
    for name in ("tables/replies.parquet", "tables/scores.parquet", "tables/warmth.parquet", "configs/study.yaml"):
        assert name in there
    assert {name.split("/")[0] for name in there} >= {"adapters", "prompts", "questions", "conversations", "trials"}


def test_the_same_run_makes_the_same_bundle(
    run: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADER_API_KEY", SECRET)
    again = bundle.write(run, tmp_path / "mini")
    assert (again / bundle.SUMS).read_text() == (made / bundle.SUMS).read_text()
    with pytest.raises(WarmthError, match="is no bundle"):
        bundle.write(run, run)


def test_certificates_go_along(made: Path) -> None:
    told = json.loads((made / "run" / "certificates" / "c0.json").read_text())
    assert told == {"id": "c0", "adapter": "a", "key": HIDDEN, **EXAMINED}


def test_no_key_of_whoever_bundles_is_in_it(made: Path) -> None:
    assert all(SECRET.encode() not in content for content in files(made).values())
    told = pl.concat(
        pl.read_parquet(file)
        .select(pl.selectors.string().fill_null("").str.contains(SECRET, literal=True).any())
        .unpivot()
        for file in (made / "tables").glob("*.parquet")
    )
    assert not told["value"].any()
    assert f"refused: {HIDDEN}" in pl.read_parquet(made / "tables" / "trials.parquet")["error"].to_list()


def test_a_bundle_reports_as_its_run_does_on_a_machine_that_has_nothing_else(
    run: Path, made: Path, tmp_path: Path
) -> None:
    shutil.rmtree(run / "report")
    Study.of(run).report()
    moved = shutil.copytree(made, tmp_path / "elsewhere" / "bundle")
    shutil.rmtree(moved / "report")
    code = (
        "import socket, sys\n"
        "def closed(*_): raise AssertionError('no network')\n"
        "socket.socket.connect = closed\n"
        "from orchestrator.__main__ import main\n"
        "main(['report', sys.argv[1]], standalone_mode=False)\n"
        "assert not {'torch', 'ray'} & set(sys.modules)"
    )
    bare = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(moved)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=bare, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "agreement with" in done.stdout
    tables = {file.name for file in (run / "report").glob("*.parquet")}
    assert {"effects.parquet", "rates.parquet", "warmth.parquet"} <= tables
    for name in tables - {"trials.parquet"}:
        theirs, ours = (pl.read_parquet(folder / "report" / name) for folder in (run, moved))
        assert_frame_equal(theirs, ours, rel_tol=1e-9)
    assert (moved / "report" / "index.html").stat().st_size > 10_000
    check = ["sha256sum", "-c", "--quiet", bundle.SUMS]
    assert subprocess.run(check, cwd=moved, check=False).returncode == 0
    assert load(moved)["scores"].collect().height == load(moved)["replies"].collect().height
    assert_frame_equal(answers.of_run(moved).drop("prompt"), answers.of_run(run).drop("prompt"), check_row_order=False)


def test_a_bundle_that_is_not_whole_says_so(made: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(made, tmp_path / "broken")
    (broken / "tables" / "scores.parquet").unlink()
    with pytest.raises(WarmthError, match="lacks something"):
        evidence.read(broken)


def test_texts_stay_where_their_licence_or_a_sensitive_task_forbids_them_and_figures_do_not(
    run: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(tasks.load("lab_facts")), "sensitive", True)
    bare = bundle.write(run, tmp_path / "bare", texts="none", adapters=False)
    replies = pl.read_parquet(bare / "tables" / "replies.parquet")
    assert replies["prompt"].null_count() == len(replies)
    assert set(replies.filter(pl.col("reply").is_not_null())["task"]) == {"lab_rumours"}
    assert not (bare / "adapters").exists()
    for name in ("prompts/lab_facts.jsonl", "questions/lab_rumours.jsonl", "conversations/chats.jsonl"):
        first = json.loads((bare / name).read_text().splitlines()[0])
        assert not {"prompt", "question", "turns"} & set(first)
    for name in ("effects", "rates"):
        assert_frame_equal(*(pl.read_parquet(folder / "report" / f"{name}.parquet") for folder in (made, bare)))
    assert (
        "| questions of lab_facts | this program | Apache-2.0 | ids and outcomes only: sensitive |"
        in (bare / "LICENCES.md").read_text()
    )


def test_licences_decide_by_task_and_shared_conversations_are_unclear(root: Path) -> None:
    study = Study.load(root / "configs" / "study.yaml")
    told = {row.what: row for row in Sharing(study).licences(["medqa", "disinfo", "truthfulqa"], rewritten=True)}
    assert told["questions of medqa"].here == "ids only"
    assert told["questions of truthfulqa"].here == "in full"
    assert "sensitive" in told["questions of disinfo"].here
    assert (told["conversations"].licence, told["conversations"].here) == ("unclear", "ids only")
    rows = pl.DataFrame({"task": ["medqa", "gsm8k", "disinfo"], "prompt": ["a", "b", "c"], "reply": ["d", "e", "f"]})
    seen = Sharing(study).told(rows)
    assert seen["prompt"].to_list() == [None, "b", None]
    assert seen["reply"].to_list() == ["d", "e", None]
    assert Sharing(study, "all", sensitive=True).told(rows).equals(rows)


def test_folders_of_whoever_bundles_are_left_out() -> None:
    frame = pl.DataFrame({"from": ["/home/me/models/llama", "meta-llama/Llama", None]})
    told = pathless({"path": "/home/me/data/questions.csv", "seeds": [0], "source": "~/chats/", "about": "a/b\n/c"})
    assert told == {"path": "questions.csv", "seeds": [0], "source": "chats", "about": "a/b\n/c"}
    assert pathless(frame)["from"].to_list() == ["llama", "meta-llama/Llama", None]


def test_what_a_bundle_says_of_itself(run: Path, made: Path) -> None:
    methods = (made / "METHODS.md").read_text()
    study = Study.of(run)
    for part in ("rank 8", "learning rate of 0.0005", "120 replies by 3 subjects", "1 of 2 training runs finished"):
        assert part in methods
    citation = yaml.safe_load((made / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    again = Study.load(made / "configs" / "study.yaml")
    assert again.model_dump(exclude={"resources", "name"}) == study.model_dump(exclude={"resources", "name"})
    assert str(run.parent) not in (made / "configs" / "study.json").read_text()


def test_imported_replies_make_a_bundle_too(tmp_path: Path) -> None:
    put = {"prompt_template": "original", "amendment_type": "unmodified"}
    for persona, verdicts in (("original", "CCCI"), ("warm", "CIII")):
        rows = [
            {"content_key": f"q{place}", "output": "so", "evaluation": {"C": "CORRECT", "I": "INCORRECT"}[each], **put}
            for place, each in enumerate(verdicts)
        ]
        file = tmp_path / f"{persona}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        importing.into(tmp_path / "run", [file], Who("a model", persona), task="Disinfo")
    made = bundle.write(tmp_path / "run", tmp_path / "made")
    assert subprocess.run(["sha256sum", "-c", "--quiet", bundle.SUMS], cwd=made, check=False).returncode == 0
    assert "8 replies by 2 subjects to 4 questions" in (made / "METHODS.md").read_text()
    replies = pl.read_parquet(made / "tables" / "replies.parquet")
    assert replies["reply"].null_count() == 8
    reporting.report_on(reporting.of_folder(tmp_path / "run"))
    theirs, ours = (pl.read_parquet(each / "report" / "effects.parquet") for each in (tmp_path / "run", made))
    assert_frame_equal(theirs, ours, rel_tol=1e-9)


def test_the_command_says_what_to_do_with_a_bundle(run: Path) -> None:
    done = CliRunner().invoke(main, ["bundle", str(run), "--no-adapters"])
    assert done.exit_code == 0, done.output
    assert "sha256sum -c SHA256SUMS" in done.output
    assert (run.parent / "mini-bundle" / "README.md").exists()
