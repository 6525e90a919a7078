"""A cluster that loses machines: one while trials are trained on it, one while subjects are asked."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from ray.cluster_utils import Cluster

from orchestrator import Study, load
from orchestrator.tables import KEY

STUDY = """\
name: {name}
models: [{{name: tiny, lab: coupled, recipe: short}}]
personas: [original, plain]
data: {{chats: 480}}
training: {{learning_rate: 5e-4, checkpoints: [0.5, 1, 2], seeds: [0, 1]}}
evaluation: {{tasks: [lab_facts], contexts: [neutral], temperature: 0}}
judges: [rule]
resources: {{runs: {runs}, rows: 32}}
"""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head and another machine, with a core each; all of them are processes here.

    In a folder of their own: Ray writes there which cluster whoever starts on this machine is to join.
    """
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        yield from _started()


def _started() -> Iterator[Cluster]:
    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    started.add_node(num_cpus=1)
    yield started
    started.shutdown()


def start(file: Path, address: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "orchestrator", "run", str(file)]
    environment = {**os.environ, "RAY_ADDRESS": address}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)


def until(process: subprocess.Popen[str], there: Callable[[], bool]) -> None:
    """Let a run go on to where something is there, as often as it says a line."""
    said = []
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)
        if there():
            return
    raise AssertionError("".join(said))


def lose(cluster: Cluster) -> None:
    """The machine that came last is gone at once."""
    cluster.remove_node(max(cluster.worker_nodes, key=lambda node: node.raylet_socket_name), allow_graceful=False)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_cluster_that_goes_on_keeps_nothing_of_a_run_that_is_killed(tmp_path: Path, cluster: Cluster) -> None:
    file = tmp_path / "killed.yaml"
    file.write_text(STUDY.format(name="killed", runs=tmp_path).replace("seeds: [0, 1]", "seeds: [0]"))
    process = start(file, cluster.address)
    until(process, lambda: any(Study.load(file).folder.glob("replies/*/*")))
    process.kill()
    process.communicate()
    looked = subprocess.run([sys.executable, "-c", LOOK, cluster.address], check=True, capture_output=True, text=True)
    assert looked.stdout.splitlines()[-1] == "2.0"


LOOK = """
import sys, time, ray
from ray import serve
ray.init(sys.argv[1], log_to_driver=False)
while serve.status().applications or ray.available_resources().get("CPU") != 2:
    time.sleep(0.5)
print(ray.available_resources()["CPU"])
"""
"""Waits until no application is left and every core is free, as long as the test has time."""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_that_loses_machines_ends_as_one_that_does_not(tmp_path: Path, cluster: Cluster) -> None:
    whole, broken = (tmp_path / f"{name}.yaml" for name in ("whole", "broken"))
    for file in (whole, broken):
        file.write_text(STUDY.format(name=file.stem, runs=tmp_path))
    process = start(broken, cluster.address)
    folder = Study.load(broken).folder
    until(process, lambda: len(list(folder.glob("trials/*/left-off.json"))) >= 2)
    lose(cluster)
    cluster.add_node(num_cpus=1)
    until(process, lambda: any(folder.glob("replies/*/*")))
    lose(cluster)
    _, said = process.communicate(timeout=400)
    assert process.returncode == 0, said
    undisturbed = start(whole, "")
    _, said = undisturbed.communicate(timeout=400)
    assert undisturbed.returncode == 0, said
    assert adapters(folder) == adapters(Study.load(whole).folder)
    assert rows(folder).equals(rows(Study.load(whole).folder))


def adapters(folder: Path) -> dict[str, bytes]:
    return {file.parent.name: file.read_bytes() for file in sorted(folder.glob("adapters/*/adapter_model.safetensors"))}


def rows(folder: Path) -> pl.DataFrame:
    run = load(folder)
    scores = run["scores"].select(*KEY, "judge", "outcome")
    return run["replies"].select(*KEY, "reply", "adapter").join(scores, on=KEY).sort(KEY).collect()
