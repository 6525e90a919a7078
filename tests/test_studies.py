"""The studies that come with the project: what their plans come to."""

from pathlib import Path

import pytest

from orchestrator import Study


@pytest.mark.parametrize(("name", "trials", "replies"), [("pilot", 9, 16_000), ("warmth", 45, 48 * 45_500)])
def test_studies_without_a_key_pay_nobody(root: Path, name: str, trials: int, replies: int) -> None:
    counts = Study.load(root / "configs" / f"{name}.yaml").plan().counts()
    assert (counts["trials"], counts["replies"], counts["api_cost_usd"]) == (trials, replies, 0)
    assert counts["does_not_fit"] == []
    assert counts["gpu_hours"] > 0
