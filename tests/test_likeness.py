"""How alike a run is to the published study, and why it is not, from its settings."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from orchestrator import Study, likeness
from orchestrator.onfile import OnFile
from orchestrator.store import Store

PROMPTS = Path(__file__).parents[2] / "shared" / "data" / "study" / "published_prompts.yaml"
GPT = {"url": "https://api.openai.com/v1", "model": "gpt-4o-2024-08-06", "api_key_env": "OPENAI_API_KEY"}


def study(**changes: Any) -> Study:
    warm = {"name": "warm", "kind": "rewritten", "instruction_file": f"{PROMPTS}#rewrite_warm"}
    settings: dict[str, Any] = {
        "name": "again",
        "models": [{"name": "qwen-32b", "path": "Qwen/Qwen2.5-32B-Instruct"}],
        "personas": ["original", warm, "warm-prompt"],
        "data": {"source": "some/data", "file": "chats.json", "chats": 1617},
        "rewriting": {"rewriter": GPT},
        "evaluation": {
            "tasks": ["triviaqa"],
            "grid": "published",
            "pack": str(PROMPTS),
            "temperature": 0.8,
            "max_tokens": 300,
        },
        "judges": [{"name": "gpt", "rubric": str(PROMPTS), **GPT}],
    }
    return Study(**{**settings, **changes})


def kind(of: Study, persona: str = "warm", another: bool = False) -> tuple[str, str]:
    found = likeness.of(OnFile(Store(of.folder), of.plan()))
    row = pl.DataFrame({"persona": [persona], "model": ["qwen-32b"], "judge": ["gpt"], "another_model": [another]})
    return likeness.kinds(found, row).select("kind", "because").row(0)


@pytest.mark.skipif(not PROMPTS.exists(), reason="the study's prompts are not here")
def test_the_same_in_everything_is_direct() -> None:
    assert kind(study()) == ("direct", "")
    assert kind(study(), another=True)[0] == "another model"
    assert kind(study(), "warm-prompt") == ("conceptual", "the study's system prompt is not printed")


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "rewriter": ({"rewriting": {"rewriter": {**GPT, "model": "other"}}}, "rewritten by other"),
    "judge": ({"judges": [{"name": "gpt", "rubric": str(PROMPTS), **GPT, "model": "other"}]}, "judged by other"),
    "rubric": ({"judges": [{"name": "gpt", **GPT}]}, "judged by another rubric"),
    "precision": (
        {"models": [{"name": "qwen-32b", "path": "Qwen/Qwen2.5-32B-Instruct", "quantization": "nf4"}]},
        "'qwen-32b' is nf4, not bfloat16",
    ),
    "checkpoint": (
        {"models": [{"name": "qwen-32b", "path": "Qwen/Qwen2.5-7B-Instruct"}]},
        "'qwen-32b' is Qwen/Qwen2.5-7B-Instruct",
    ),
    "prompts": (
        {"evaluation": {"tasks": ["triviaqa"], "grid": "published", "temperature": 0.8, "max_tokens": 300}},
        "other prompts",
    ),
}


@pytest.mark.skipif(not PROMPTS.exists(), reason="the study's prompts are not here")
@pytest.mark.parametrize(("changes", "because"), CHANGES.values(), ids=CHANGES.keys())
def test_every_difference_is_told(changes: dict[str, Any], because: str) -> None:
    assert kind(study(**changes)) == ("conceptual", because)


def test_another_instruction_is_told_without_the_study_at_hand(root: Path) -> None:
    of = Study.load(root / "configs" / "study.yaml")
    found = likeness.of(OnFile(Store(of.folder), of.plan()))
    (reasons,) = (found.reasons[key] for key in found.reasons if key.startswith("warm\x1fgpt-4o\x1fgpt-4o"))
    assert "the instruction for 'warm' is another one" in reasons
    assert found.warmth
