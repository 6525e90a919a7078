"""Personas: whose text counts, where a text is looked for, and who can rewrite."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator import Study
from orchestrator.config import SHIPPED
from orchestrator.errors import ConfigError
from orchestrator.settings_subjects import Persona

STUDY = """\
name: small
models: [lab-coupled]
personas: [original, {persona}]
evaluation: {{tasks: [lab_facts]}}
judges: [rule]
"""
PUBLISHED = Path(__file__).parents[2] / "shared" / "data" / "study" / "published_prompts.yaml"
ENDPOINT = {"rewriter": {"url": "http://127.0.0.1:1/v1", "model": "r"}}


def study(folder: Path, persona: str, more: str = "") -> Study:
    file = folder / "small.yaml"
    file.write_text(STUDY.format(persona=persona) + more)
    return Study.load(file)


def mistake(folder: Path, persona: str, more: str = "") -> str:
    with pytest.raises(ConfigError) as raised:
        study(folder, persona, more)
    return "\n".join(raised.value.mistakes)


def persona_file(folder: Path, name: str, content: dict[str, Any]) -> None:
    (folder / "personas").mkdir(exist_ok=True)
    (folder / "personas" / f"{name}.yaml").write_text(yaml.safe_dump(content))


def test_a_text_is_found_beside_the_persona_s_file_and_counts_itself(tmp_path: Path) -> None:
    (tmp_path / "texts.yaml").write_text("kind: |\n  Be kind.\n\nrest: 1\n")
    persona_file(tmp_path, "kind", {"kind": "prompted", "system_file": "../texts.yaml#kind"})
    by_path = study(tmp_path, "kind").personas[1]
    assert by_path.system == "Be kind."
    by_text = Persona(name="kind", kind="prompted", system="Be kind.")
    assert by_path.model_dump() == by_text.model_dump()
    named = [each.name for each in study(tmp_path, "kind").plan().subjects]
    assert named == [
        each.name for each in study(tmp_path, "{name: kind, kind: prompted, system: Be kind.}").plan().subjects
    ]


def test_a_text_is_looked_for_in_the_working_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "text.md").write_text("Be kind.\n")
    monkeypatch.chdir(tmp_path / "here")
    found = study(tmp_path, "{name: kind, kind: prompted, system_file: text.md}")
    assert found.personas[1].system == "Be kind."
    assert Study.model_validate_json(json.dumps(found.model_dump(mode="json"))).personas[1].system == "Be kind."


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("system_file: none.yaml", "small.yaml:3: personas.1.system_file: there is no file"),
        ("system_file: texts.yaml#warn", "there is no text under 'warn'; did you mean 'warm'?"),
        ("system_file: texts.yaml#number", "there is no text under 'number'"),
        ("system_file: latin.txt", "latin.txt: cannot be read"),
        ("system_file: texts.yaml#blank", "there is no text; a text is needed"),
        ("system_file: texts.yaml#warm, system: Be kind.", "system and system_file are both given; keep one"),
        ("system: Be kind., instruction: Be kind.", "does not belong to persona 'x'"),
        ("system: Be kind., length: [2, 1]", "length of persona 'x' is [shortest, longest]"),
    ],
)
def test_mistakes_about_texts_name_file_setting_and_cure(tmp_path: Path, settings: str, said: str) -> None:
    (tmp_path / "texts.yaml").write_text("warm: Be kind.\nnumber: 1\nblank: ' '\n")
    (tmp_path / "latin.txt").write_bytes(b"\xe9t\xe9")
    assert said in mistake(tmp_path, f"{{name: x, kind: prompted, {settings}}}")


def test_who_cannot_rewrite_is_said_at_the_door(tmp_path: Path) -> None:
    said = mistake(tmp_path, "assertive")
    assert said.endswith(
        "small.yaml:3: personas.1: persona 'assertive' has no lab_voice, and no endpoint rewrites; "
        "set lab_voice in its file, or rewriting.rewriter in the study"
    )
    rewriting = f"rewriting: {json.dumps(ENDPOINT)}\n"
    bare = "{name: bare, kind: rewritten, lab_voice: warm}"
    assert "persona 'bare' has no instruction for the rewriter; set instruction" in mistake(tmp_path, bare, rewriting)
    assert study(tmp_path, "assertive", rewriting).personas[1].instruction


def test_the_run_s_own_endpoint_serves_the_study_s_models_alone(tmp_path: Path) -> None:
    served = "rewriting: {rewriter: {url: served, model: lab-coupledd}}\n"
    said = mistake(tmp_path, "warm", served)
    assert "small.yaml:6: rewriting.rewriter.model: the study serves no model 'lab-coupledd'" in said
    assert "did you mean 'lab-coupled'?" in said


def test_texts_of_our_own_do_not_repeat_the_published_ones() -> None:
    if not PUBLISHED.exists():
        pytest.skip("no published texts here")
    published = {line.strip(" -") for line in PUBLISHED.read_text().splitlines() if len(line.split()) > 4}
    for file in SHIPPED.glob("personas/*.yaml"):
        assert not [line for line in published if line in file.read_text()], file


def test_published_texts_load_byte_for_byte(tmp_path: Path) -> None:
    if not PUBLISHED.exists():
        pytest.skip("no published texts here")
    persona_file(tmp_path, "as-published", {"kind": "rewritten", "instruction_file": f"{PUBLISHED}#rewrite_warm"})
    text = study(tmp_path, "as-published", f"rewriting: {json.dumps(ENDPOINT)}\n").personas[1].instruction
    assert hashlib.sha256(str(text).encode()).hexdigest().startswith("a8d9b72923478ebd")
