"""Stages that hand cores and GPUs to one another: what can never be had is refused, and nothing waits for ever."""

from pathlib import Path

import pytest
from mini import SETTINGS
from ray.util.placement_group import placement_group, remove_placement_group

from orchestrator import Study, handover
from orchestrator.errors import WarmthError
from orchestrator.progress import Display
from orchestrator.run import Run


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
