"""The studies that come with the project: what their plans come to."""

from pathlib import Path

import pytest

from orchestrator import Study


def test_study_yaml_is_the_published_design(root: Path) -> None:
    counts = Study.load(root / "configs" / "study.yaml").plan().counts()
    assert (counts["prompts_per_question"], counts["questions"], len(counts["models"])) == (28, 1625, 5)
    # warm and plain on all five models, cold on three; eight checkpoints of open models, four of the hosted one
    assert counts["trials"] == 5 + 5 + 3
    assert counts["subjects"] == 5 + 3 + 10 * 8 + 3 * 4
    # originals and three system prompts besides: 28 prompts of 1,625 questions, and the benchmarks as they stand
    assert counts["replies"] == (5 + 3 + 13) * (1625 * 28 + 14042 + 1319 + 520)
    assert counts["gpu_hours"] > 0
    assert counts["api_cost_usd"] > 1000
    assert counts["detectable_effect_pp"] > counts["detectable_effect_pp_by_seeds"]["3"]


@pytest.mark.parametrize(("name", "trials", "replies"), [("pilot", 9, 16_000), ("warmth", 45, 48 * 45_500)])
def test_studies_without_a_key_pay_nobody(root: Path, name: str, trials: int, replies: int) -> None:
    counts = Study.load(root / "configs" / f"{name}.yaml").plan().counts()
    assert (counts["trials"], counts["replies"], counts["api_cost_usd"]) == (trials, replies, 0)
    assert counts["does_not_fit"] == []
    assert counts["gpu_hours"] > 0
