"""A whole study on vLLM, and the same asked again of the other engine."""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest
from mini import SETTINGS

from orchestrator import Study, load, tables

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(900),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed; make setup-vllm"),
]


def study(runs: Path, engine: str) -> Study:
    resources: dict[str, Any] = {"runs": str(runs), "rows": 16, "engine": engine}
    return Study(**SETTINGS, resources=resources)


@pytest.mark.usefixtures("ray_session")
def test_a_study_on_vllm_says_what_it_says_on_transformers(tmp_path: Path) -> None:
    first, again = study(tmp_path / "vllm", "vllm"), study(tmp_path / "transformers", "transformers")
    findings = first.run()
    assert findings.effects.height > 0
    shutil.copytree(first.folder, again.folder)
    for asked in ("replies", "scores", "warmth"):
        shutil.rmtree(again.folder / asked)
    again.run()
    by_vllm, by_transformers = (load(each.folder)["replies"].sort(tables.KEY).collect() for each in (first, again))
    assert by_vllm["error"].is_null().all()
    assert by_vllm["adapter"].drop_nulls().n_unique() == 4
    both = ["reply", "finish_reason", "prompt_tokens", "reply_tokens", "request"]
    assert by_vllm.select(both).equals(by_transformers.select(both))
