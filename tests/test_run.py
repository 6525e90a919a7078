"""The whole pipeline on short models: build, train, serve, ask, judge, measure, report; then again, and on demand."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from mini import SETTINGS
from openai import OpenAI

from orchestrator import Study, engine_folders, load, rewritten, tables, trials
from orchestrator.arrow_files import read_arrow
from orchestrator.errors import WarmthError
from orchestrator.findings import Findings
from orchestrator.progress import Display
from orchestrator.run import Run
from orchestrator.store import Store


def changed(runs: Path, **evaluation: object) -> Study:
    """The same study, asked in another way, in another folder."""
    asked = {**SETTINGS["evaluation"], **evaluation}
    return Study(**{**SETTINGS, "evaluation": asked, "resources": {"runs": str(runs)}})


def all_rows(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in sorted(folder.rglob("*.arrow"))}


def test_every_planned_reply_is_there_once_and_scored_once(finished: tuple[Study, Findings]) -> None:
    mini, _ = finished
    wanted = {tables.key(question) for unit in mini.plan().units for question in mini.plan().questions(unit)}
    found = {name: frame.collect() for name, frame in load(mini.folder).items()}
    for name in ("replies", "scores"):
        keys = found[name].select(tables.KEY).rows()
        assert len(keys) == len(set(keys)) == mini.plan().counts()["replies"]
        assert set(keys) == wanted
    assert found["replies"]["error"].null_count() == found["replies"].height
    assert found["replies"]["reply"].null_count() == 0
    plain = found["replies"].filter((pl.col("context") == "neutral") & (pl.col("belief") == "none"))
    assert found["warmth"].height == plain.height
    assert found["warmth"]["warmth"].is_finite().all()


def test_the_tables_are_arrow_files_of_their_declared_schemas(finished: tuple[Study, Findings]) -> None:
    mini, _ = finished
    for folder, kind in (("replies", tables.Reply), ("scores", tables.Score), ("warmth", tables.WarmthScore)):
        files = list((mini.folder / folder).rglob("*.arrow"))
        assert files
        assert all(read_arrow(file).schema == tables.schema(kind) for file in files)


def test_adapters_are_what_their_names_and_trials_say(finished: tuple[Study, Findings]) -> None:
    mini, _ = finished
    store = Store(mini.folder)
    adapters = trials.adapters(store, mini.plan())
    assert len(adapters) == 4
    for subject, adapter in adapters.items():
        assert adapter == engine_folders.named(subject, engine_folders.digest(store.path("adapters", adapter)))
    assert store.names("adapters") == sorted(adapters.values())


def test_what_was_learnt_is_on_file_and_told(finished: tuple[Study, Findings]) -> None:
    mini, findings = finished
    plan, store = mini.plan(), Store(mini.folder)
    for trial in plan.trials:
        learnt = rewritten.learnt(plan, store, trial.persona, trial.settings.dose)
        assert store.read_json("trials", trial.name, "trial.json")["data_sha256"] == rewritten.sha256(learnt)
    assert findings.balance["persona"].to_list() == ["original", "warm"]
    assert pl.read_parquet(mini.folder / "report" / "balance.parquet").equals(findings.balance)
    assert "0 of 48" in (mini.folder / "report" / "index.html").read_text()


def test_the_report_has_effects_of_every_persona_against_those_before_it(finished: tuple[Study, Findings]) -> None:
    mini, findings = finished
    pairs = set(findings.effects.select("persona", "baseline").unique().rows())
    assert pairs == {("plain", "original"), ("warm", "original"), ("warm", "plain")}
    on_disk = pl.read_parquet(mini.folder / "report" / "effects.parquet")
    assert on_disk.equals(findings.effects)
    page = (mini.folder / "report" / "index.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page.replace("https://arxiv.org/", "")


def test_again_changes_nothing(finished: tuple[Study, Findings]) -> None:
    mini, _ = finished
    before = all_rows(mini.folder)
    assert not Run(mini, Display()).left.anything()
    mini.run()
    assert all_rows(mini.folder) == before


def test_a_lost_file_is_made_anew_and_the_others_are_left(finished: tuple[Study, Findings]) -> None:
    mini, _ = finished
    lost = sorted((mini.folder / "replies").rglob("lab_facts.arrow"))[0]
    before = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in (mini.folder / "replies").rglob("*.arrow")}
    texts = pl.DataFrame(pl.from_arrow(read_arrow(lost))).select(*tables.KEY, "reply", "request")
    lost.unlink()
    mini.run()
    assert pl.DataFrame(pl.from_arrow(read_arrow(lost))).select(*tables.KEY, "reply", "request").equals(texts)
    for file, (stamp, content) in before.items():
        if file != lost:
            assert (file.stat().st_mtime_ns, file.read_bytes()) == (stamp, content)


def test_a_damaged_table_stops_the_run_and_says_what_to_do(finished: tuple[Study, Findings]) -> None:
    mini, _ = finished
    file = sorted((mini.folder / "replies").rglob("lab_facts.arrow"))[0]
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    with pytest.raises(WarmthError, match=r"lab_facts\.arrow.*delete it and run again"):
        mini.run()
    file.write_bytes(whole)
    assert not Run(mini, Display()).left.anything()


def test_other_sampling_is_asked_anew_and_old_conditions_are_kept_but_not_reported(
    finished: tuple[Study, Findings], tmp_path: Path
) -> None:
    mini, _ = finished
    shutil.copytree(mini.folder, tmp_path / "mini")
    narrow = changed(tmp_path, contexts=["neutral"], samples=2)
    findings = narrow.report()
    assert set(findings.rates["context"].unique()) <= {"neutral", "all"}
    assert load(narrow.folder)["replies"].collect().height == mini.plan().counts()["replies"]
    warmer = changed(tmp_path, temperature=0.5)
    assert Run(warmer, Display()).left.anything()


def test_evaluation_on_demand(finished: tuple[Study, Findings]) -> None:
    mini, _ = finished
    answers = mini.evaluate(subjects=["*-warm-*-e2"], tasks=["lab_rumours"], workers=1)
    assert set(answers["task"]) == {"lab_rumours"}
    assert answers["subject"].n_unique() == 1
    assert answers.height == 4 * 2 * 3
    with pytest.raises(WarmthError, match="no subject is named"):
        mini.evaluate(subjects=["nobody"])


def test_evaluation_on_demand_while_another_process_works_on_the_run(finished: tuple[Study, Findings]) -> None:
    mini, _ = finished
    (lost,) = (mini.folder / "replies").glob("*-warm-*-e2/lab_facts.arrow")
    before = pl.DataFrame(pl.from_arrow(read_arrow(lost))).select(*tables.KEY, "reply").sort(tables.KEY)
    lost.unlink()
    with Store(mini.folder).locked():
        answers = mini.evaluate(subjects=["*-warm-*-e2"], tasks=["lab_facts"], workers=1)
        with pytest.raises(WarmthError, match="another `warmth` process"):
            mini.run()
    assert answers.select(*tables.KEY, "reply").sort(tables.KEY).equals(before)
    assert not Run(mini, Display()).left.anything()


@pytest.mark.usefixtures("ray_session")
def test_a_trial_that_fails_is_a_line_and_the_rest_goes_on(tmp_path: Path) -> None:
    training = {**SETTINGS["training"], "targets": ["no_such_layer"]}
    asked = {**SETTINGS["evaluation"], "contexts": ["neutral"], "samples": 2}
    failing = {"personas": ["original", "warm"], "training": training, "evaluation": asked}
    study = Study(**{**SETTINGS, **failing, "resources": {"runs": str(tmp_path)}})
    findings = study.run()
    (error,) = findings.trials["error"]
    assert "no_such_layer" in error
    assert findings.problems.filter(kind="failed trial").height == 1
    assert set(load(study.folder)["replies"].collect()["persona"]) == {"original"}
    assert not list(study.folder.glob(".writing-*"))
    assert Run(study, Display()).left.untrained()


@pytest.fixture
def endpoint(finished: tuple[Study, Findings]) -> Iterator[tuple[Study, str]]:
    mini, _ = finished
    with Run(mini, Display()).endpoint(mini.plan().units) as url:
        yield mini, url


def test_the_openai_client_chats_with_a_trained_adapter(endpoint: tuple[Study, str]) -> None:
    mini, url = endpoint
    client = OpenAI(base_url=url, api_key="none")
    adapters = trials.adapters(Store(mini.folder), mini.plan())
    assert {"tiny", *adapters.values()} <= {model.id for model in client.models.list()}
    warm = next(subject for subject in mini.plan().subjects if subject.persona.name == "warm" and subject.epoch == 2)
    replies = load(mini.folder)["replies"].filter(pl.col("subject") == warm.name).collect()
    row = replies.row(0, named=True)
    asked = {"model": adapters[warm.name], "messages": [{"role": "user", "content": row["prompt"]}], "max_tokens": 32}
    assert client.chat.completions.create(**asked, temperature=0).choices[0].message.content == row["reply"]
    pieces = client.chat.completions.create(**asked, temperature=0, stream=True)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == row["reply"]


def test_a_half_written_run_s_folder_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "study.json").write_text(json.dumps({"name": "run"}))
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "report", str(tmp_path / "run")],
        capture_output=True, text=True, check=False, env={**os.environ},
    )  # fmt: skip
    assert done.returncode == 1
    assert "not a study of this version" in done.stderr
    assert "Traceback" not in done.stderr
