"""Stages that hand cores and GPUs to one another: what can never be had is refused, and nothing waits for ever."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mini import SETTINGS
from ray.util.placement_group import placement_group, remove_placement_group

from orchestrator import Study, handover, load
from orchestrator.errors import WarmthError
from orchestrator.progress import Display
from orchestrator.run import Run
from orchestrator.tables import KEY


@pytest.mark.usefixtures("ray_session")
def test_an_engine_that_no_machine_can_ever_hold_is_refused_by_its_bundle(tmp_path: Path) -> None:
    resources = {"runs": str(tmp_path), "gpus_per_replica": 1}
    run = Run(Study(**{**SETTINGS, "resources": resources}), Display())
    refused = r"serving takes 1 x \{CPU: 1, GPU: 1\} .* largest here has 1 x \{CPU: 4, GPU: 0\}"
    with pytest.raises(WarmthError, match=refused), run.endpoint(run.plan.units):
        pass


@pytest.mark.usefixtures("ray_session")
def test_room_that_others_have_is_not_waited_for_for_ever() -> None:
    taken = placement_group([{"CPU": 4}])
    assert taken.wait(60)
    try:
        with pytest.raises(
            WarmthError, match=r"a trial takes 1 x \{CPU: 1, GPU: 0\}, which was not free .*0 of 4 CPU free"
        ):
            handover.make_sure([{"CPU": 1.0}], "a trial", print, patience=0.5)
    finally:
        remove_placement_group(taken)
    handover.make_sure([{"CPU": 1.0}] * 4, "a trial", print)


TWO_GPUS = """
import json, os, sys
from mini import SETTINGS
from orchestrator import Study, cluster

def study(name, trial, replica):
    settings = {**SETTINGS, "name": name, "personas": ["original", "warm"]}
    gpus = {"gpus_per_trial": trial, "gpus_per_replica": replica}
    return Study(**settings, resources={"runs": sys.argv[1], "rows": 16, "store": False, **gpus})

if __name__ == "__main__":
    os.environ.update(cluster.ENVIRONMENT)
    import ray
    machine = {"num_cpus": 4, "num_gpus": 2, "object_store_memory": 200 * 2**20, "include_dashboard": False}
    ray.init("local", log_to_driver=False, **machine)
    study("handed", 2, 1).run()
    print("never", file=sys.stderr, flush=True)
    try:
        study("never", 3, 1).run()
    except Exception as error:
        print(json.dumps([str(error), ray.available_resources()["GPU"]]))
"""
"""Two GPUs that are declared, on a machine without any: engines and trainers run on its processor."""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_whole_gpus_are_handed_over_from_trials_to_engines(tmp_path: Path) -> None:
    """A trial has both, in two processes; then engines have one each."""
    command = [sys.executable, "-c", TWO_GPUS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=580, env={**os.environ})
    said = done.stderr.partition("never\n")[0].splitlines()
    assert first(said, "serve:") > last(said, "train:")
    error, free = json.loads(done.stdout.splitlines()[-1])
    assert "takes 3 GPUs, and the cluster has 2" in error
    assert free == 2
    replies = load(tmp_path / "handed")["replies"].select(KEY).collect()
    study = Study(**{**SETTINGS, "personas": ["original", "warm"]})
    assert replies.height == study.plan().counts()["replies"]


def first(lines: list[str], stage: str) -> int:
    return next(place for place, line in enumerate(lines) if line.startswith(stage))


def last(lines: list[str], stage: str) -> int:
    return max(place for place, line in enumerate(lines) if line.startswith(stage))
