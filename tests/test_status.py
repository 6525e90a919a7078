"""How far a run is, told by its files alone."""

import io
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from orchestrator import Study, holder, importing, status, status_text, trials
from orchestrator.__main__ import main
from orchestrator.cluster_state import ClusterState, Node, Waiting
from orchestrator.findings import Findings
from orchestrator.imported import Who
from orchestrator.pack_member import Moment
from orchestrator.progress import Display
from orchestrator.store import Store
from orchestrator.tables import Reply


@pytest.fixture
def mini(finished: tuple[Study, Findings], tmp_path: Path) -> Study:
    """A finished run, to be taken apart."""
    return Study.of(shutil.copytree(finished[0].folder, tmp_path / "mini"))


def text(found: status.Status, width: int = 80, all_of_it: bool = True) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(status_text.shown(found, all_of_it))
    return out.getvalue()


def test_a_finished_run_is_done_in_every_part(mini: Study) -> None:
    found = status.look(mini.folder)
    assert [trial.state for trial in found.trials] == ["trained", "trained"]
    assert len(found.units) == len(mini.plan().units)
    assert all(unit.done and unit.asked == unit.size == unit.judged["rule"] for unit in found.units)
    assert found.holder is None
    assert found.warmth == (5, 5)
    said = text(found)
    assert "Everything is done" in said
    assert "2 trials: 2 trained" in said
    assert all(trial.trial in said for trial in found.trials)
    assert "…" not in said
    assert "tiny-plain" not in text(found, all_of_it=False)


def test_what_is_missing_failed_or_of_other_weights_is_told_by_subject_and_task(mini: Study) -> None:
    store, units = Store(mini.folder), mini.plan().units
    rows = store.read_rows(Reply, "replies", units[0].subject.name, "lab_facts.arrow")
    changed = [replace(rows[0], reply=None, error="no answer"), *rows[2:]]
    store.write_rows(changed, Reply, "replies", units[0].subject.name, "lab_facts.arrow")
    store.path("replies", units[1].subject.name, "lab_rumours.arrow").unlink()
    other = [
        replace(row, adapter="other")
        for row in store.read_rows(Reply, "replies", units[-1].subject.name, "lab_facts.arrow")
    ]
    store.write_rows(other, Reply, "replies", units[-1].subject.name, "lab_facts.arrow")
    found = {(unit.subject, unit.task): unit for unit in status.look(mini.folder).units}
    first = found[units[0].subject.name, "lab_facts"]
    assert (first.asked, first.failed, first.missing) == (len(rows) - 2, 1, 1)
    gone = found[units[1].subject.name, "lab_rumours"]
    assert (gone.asked, gone.failed, gone.missing) == (0, 0, gone.size)
    assert found[units[-1].subject.name, "lab_facts"].asked == 0
    assert "goes on with it" in text(status.look(mini.folder))


def test_every_state_of_a_trial_is_told(mini: Study) -> None:
    store, (first, second) = Store(mini.folder), mini.plan().trials
    for trial in (first, second):
        store.path("trials", trial.name, "trial.json").unlink()
    assert [trial.state for trial in status.look(mini.folder).trials] == ["not begun", "not begun"]
    trials.telling(store, first, time.time() - 10)(Moment(3, 6, 1.5))
    trials.file_failure(store, second.name, "out of memory")
    with store.locked():
        found = status.look(mini.folder)
    assert found.holder == holder.me()
    assert [trial.state for trial in found.trials] == ["training", "failed"]
    assert (found.trials[0].step, found.trials[0].epoch, found.trials[0].loss) == (3, 1, 1.5)
    said = text(found, width=200)
    for part in ("1 failed, 1 training", "3/6", "out of memory", f"process {os.getpid()} works on it"):
        assert part in said
    stopped = status.look(mini.folder)
    assert (stopped.holder, stopped.trials[0].state) == (None, "stopped")
    trials.forget_failure(store, second.name)
    assert status.look(mini.folder).trials[1].state == "not begun"


def test_notes_of_a_trial_go_when_it_is_over(mini: Study) -> None:
    store, trial = Store(mini.folder), mini.plan().trials[0]
    trials.telling(store, trial, time.time())(Moment(1, 6, 1.5))
    trials.file_failure(store, trial.name, "out of memory")
    assert trials.progress(store, trial) is None


def test_a_stage_is_told_with_its_pace_while_somebody_works_on_it(mini: Study) -> None:
    display, store = Display(Console(file=io.StringIO())), Store(mini.folder)
    with store.locked():
        display.follow(store)
        assert status.look(mini.folder).stage is None
        display.stage("ask", 200, "replies").reach(50)
        found = status.look(mini.folder)
    assert found.stage is not None
    assert (found.stage.stage, found.stage.total) == ("ask", 200)
    paced = replace(found, stage=replace(found.stage, done=50, at=found.stage.began + 10))
    assert paced.seconds_left == 30
    assert "ask: 50 of 200 replies, 5.0 replies/s, 30 s left" in text(paced)
    assert status.look(mini.folder).seconds_left is None


def test_what_is_left_of_training_is_told_by_steps(mini: Study) -> None:
    now, here = time.time(), status.look(mini.folder)
    trials = [
        status.TrialState("a", "training", 30, 120, 0.5, 1.0, seconds=10),
        status.TrialState("b", "training", 20, 120, 0.3, 1.0, seconds=10),
        status.TrialState("c", "not begun"),
        status.TrialState("d", "trained", 120, 120, 2, 1.0, seconds=40),
    ]
    stage = status.Stage("train", "checkpoints", 2, 8, now - 50, now)
    found = replace(here, holder=holder.me(), stage=stage, trials=trials)
    assert found.seconds_left == (90 + 100 + 120) / 5
    assert replace(found, trials=trials[2:]).seconds_left is None


def test_a_killed_process_works_on_nothing(tmp_path: Path) -> None:
    file = tmp_path / "holder"
    code = (
        "import os, pathlib, sys; from orchestrator import holder\n"
        "with holder.held(pathlib.Path(sys.argv[1])): os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(file)], check=False)
    assert file.exists()
    assert holder.of(file) is None
    elsewhere = holder.Holder(1, "elsewhere", 0.0)
    file.write_text(json.dumps(asdict(elsewhere)))
    assert holder.of(file) == elsewhere


def test_the_command_prints_tables_and_json_and_loads_neither_torch_nor_ray(mini: Study) -> None:
    for flags in ([], ["--watch"]):
        done = CliRunner().invoke(main, ["status", str(mini.folder), *flags])
        assert done.exit_code == 0, done.output
        assert "10 evaluations: 192 of 192 replies, 0 failed" in done.output
    code = (
        "import sys; from orchestrator.__main__ import main; main(sys.argv[1:], standalone_mode=False); "
        "assert not {'torch', 'ray', 'polars'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, "status", str(mini.folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {"trials", "units", "holder", "stage", "spent", "seconds_left"} <= set(told)
    assert told["units"][0]["missing"] == 0


def test_imported_replies_are_told_as_they_are(tmp_path: Path) -> None:
    put = {"prompt_template": "original", "amendment_type": "unmodified", "evaluation": "CORRECT"}
    rows = [{"content_key": f"q{said}", "output": said, **put} for said in ("yes", "no", "")]
    (tmp_path / "made.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    importing.into(tmp_path / "run", [tmp_path / "made.jsonl"], Who("a model", "warm"), task="triviaqa")
    found = status.look(tmp_path / "run")
    (unit,) = found.units
    assert (unit.task, unit.asked, unit.failed, unit.size, dict(unit.judged)) == (
        "triviaqa",
        2,
        1,
        None,
        {"imported": 2},
    )
    assert "1 evaluation: 2 of 3 replies, 1 failed" in text(found)


def test_a_cluster_is_told_beside_the_run() -> None:
    nodes = [
        Node("head", "10.0.0.1", "idle", {"CPU": 0}, {"CPU": 8}),
        Node("one_gpu", "10.0.0.2", "used", {"CPU": 1, "GPU": 0.5}, {"CPU": 16, "GPU": 1}),
        Node("one_gpu_spot", "", "cannot be had", {}, {}, 3, "InsufficientInstanceCapacity"),
    ]
    state = ClusterState(nodes, [Waiting(2, {"CPU": 1, "GPU": 4})])
    run = status.Status("runs/lab", None, None, (0, 0), [], [], (0, 0))
    said = text(replace(run, cluster=state))
    for part in (
        "Cluster: 1 of 24 CPUs, 0.5 of 1 GPUs in use",
        "3 x one_gpu_spot",
        "InsufficientInstanceCapacity",
        "Waiting for room: 2 x {CPU: 1, GPU: 4}",
    ):
        assert part in said
    assert "Cluster" not in text(run)
    assert "10.0.0.9: gone" in text(replace(run, cluster=ClusterState(error="10.0.0.9: gone")))
