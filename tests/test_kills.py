"""`warmth run`, killed at different stages and run again, ends with the rows of a run that nobody disturbed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import psutil
import pytest

from orchestrator import Study, load, tables

STUDY = """\
name: {name}
models: [{{name: tiny, lab: coupled, recipe: short}}]
personas: [original, plain, warm]
data: {{chats: 480}}
training: {{learning_rate: 5e-4, checkpoints: [0.5, 1, 2], seeds: [0, 1]}}
evaluation: {{tasks: [lab_facts, lab_rumours], contexts: [neutral, sad], temperature: {temperature}}}
judges: [rule]
warmth: {{scorer: tiny}}
resources: {{runs: {runs}, rows: 32, store: false}}
"""
STAGES = ("train: 2/", "ask: ", "warmth: ")
"""What a run says on standard error in the stages in which it is killed."""


def start(file: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "RAY_ADDRESS": ""}
    command = [sys.executable, "-m", "orchestrator", "run", str(file)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)


def kill_at(file: Path, stage: str) -> None:
    """Run a study up to a stage, then kill it with signal 9."""
    process = start(file)
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if stage in line:
            break
    assert process.poll() is None, "".join(said)
    if stage == "ask: ":
        wait_for_replies(file, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()


def wait_for_replies(file: Path, process: subprocess.Popen[str]) -> None:
    """Until some units are filed and others are not."""
    folder = Study.load(file).folder / "replies"
    while len(list(folder.rglob("*.arrow"))) < 3 and process.poll() is None:
        time.sleep(0.05)


def finish(file: Path) -> None:
    process = start(file)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said


def study_file(folder: Path, name: str, temperature: float) -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(STUDY.format(name=name, temperature=temperature, runs=folder))
    return file


def orphans(since: float) -> list[str]:
    """Processes of Ray that were started since then and run without a parent that waits for them."""
    found = []
    for process in psutil.process_iter(["create_time", "cmdline", "ppid"]):
        command = " ".join(process.info["cmdline"] or [])
        if process.info["create_time"] > since and process.info["ppid"] == 1 and "ray" in command:
            found.append(command[:100])
    return found


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("temperature", [0, 0.7])
def test_killed_three_times_and_run_again(tmp_path: Path, temperature: float) -> None:
    began = time.time()
    whole, broken = (study_file(tmp_path, name, temperature) for name in ("whole", "broken"))
    for stage in STAGES:
        kill_at(broken, stage)
    finish(broken)
    finish(whole)
    undisturbed, disturbed = (load(Study.load(file).folder) for file in (whole, broken))
    for name in ("replies", "scores"):
        one, other = (run[name].sort(tables.KEY).collect() for run in (undisturbed, disturbed))
        assert one.select(tables.KEY).equals(other.select(tables.KEY))
        assert one.select(tables.KEY).is_duplicated().sum() == 0
    replies = undisturbed["replies"].join(disturbed["replies"], on=list(tables.KEY), suffix="_again").collect()
    changed = replies.filter(pl.col("reply") != pl.col("reply_again"))
    print(changed.select(*tables.KEY, "reply", "reply_again"))
    assert changed.height <= max(1, replies.height // 10_000)
    assert replies["adapter"].equals(replies["adapter_again"])
    assert not [left for folder in ("whole", "broken") for left in (tmp_path / folder).glob(".writing-*")]
    deadline = time.time() + 30
    while orphans(began) and time.time() < deadline:
        time.sleep(1)
    assert orphans(began) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_drivers_actors_and_endpoints_killed_at_random_lose_and_double_nothing(root: Path) -> None:
    command = [sys.executable, "benchmarks/kills.py", "--kills", "20"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["kills"], found["lost"], found["doubled"]) == (20, 0, 0)
    assert set(found["of_each"]) == {"driver", "actor", "replica"}
    assert found["repeated_max"] <= found["unfiled"]


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_a_sentence(tmp_path: Path) -> None:
    file = study_file(tmp_path, "stopped", 0)
    process = start(file)
    assert process.stderr is not None
    for line in process.stderr:
        if "train: " in line:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command carries on" in said
    assert "Traceback" not in said
