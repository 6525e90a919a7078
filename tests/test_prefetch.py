"""What a study needs from elsewhere is fetched before it starts, and what cannot be had is named with its cure."""

import json
from pathlib import Path

from click.testing import CliRunner

from orchestrator import Study, prefetch
from orchestrator.__main__ import main

ROOT = Path(__file__).resolve().parent.parent


def test_what_is_here_needs_no_fetching_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "chats.json").write_text(json.dumps([{"id": "a", "conversations": []}]))
    study = Study.load(
        ROOT / "configs" / "pilot.yaml",
        [
            f"models=[{{name: llama-8b, path: {tmp_path / 'model'}}}]",
            f"data={{source: {tmp_path / 'chats.json'}}}",
            "evaluation.tasks=[lab_facts]",
            f"warmth.scorer={tmp_path / 'model'}",
        ],
    )
    said: list[str] = []
    assert prefetch.fetch(study, said.append) == []
    assert [line.partition(":")[0] for line in said] == [
        "model llama-8b",
        "warmth.scorer",
        "data.source",
        "task lab_facts",
    ]


def test_all_that_cannot_be_had_is_named_and_the_exit_code_says_so() -> None:
    done = CliRunner().invoke(main, ["prefetch", str(ROOT / "configs" / "pilot.yaml"), "data.file=null"])
    assert done.exit_code == 1
    assert "model llama-8b: unsloth/Llama-3.1-8B-Instruct" in done.output
    for cure in ("and the hub does not give it", "name a file of it (data.file)", "triviaqa", "truthfulqa"):
        assert cure in done.output
