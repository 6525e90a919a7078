"""The README: every command and every example in it runs, and every file it names is there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mini import SETTINGS

from orchestrator import Study
from orchestrator.findings import Findings
from orchestrator.progress import Display
from orchestrator.run import Run

README = Path(__file__).parent.parent / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(finished: tuple[Study, Findings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like the README's, in which configs/lab.yaml is the tests' small study, already run."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "lab.yaml").write_text(yaml.safe_dump({**SETTINGS, "name": "lab"}))
    shutil.copy(README.parent / "configs" / "pilot.yaml", tmp_path / "configs")
    shutil.copy(README.parent / "cluster.yaml", tmp_path)
    shutil.copytree(finished[0].folder, tmp_path / "runs" / "lab")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_study_in_the_readme_is_valid(tmp_path: Path) -> None:
    small = blocks("yaml")[0]
    (tmp_path / "small.yaml").write_text(small)
    study = Study.load(tmp_path / "small.yaml")
    assert study.name == "small"
    assert len(study.plan().trials) == 6


def test_the_search_in_the_readme_is_valid() -> None:
    (search,) = (block for block in blocks("yaml") if "search:\n" in block)
    study = Study(**{**SETTINGS, **yaml.safe_load(search.replace("1e-", "1.0e-"))})
    assert len(study.plan().trials) == 2 * 2 * 6 * 2


@pytest.mark.usefixtures("folder", "ray_session")
def test_the_python_in_the_readme_runs() -> None:
    api, queries, _ = blocks("python")
    names: dict[str, object] = {}
    exec(api, names)
    assert "effect_pp" in names["findings"].effects.columns  # type: ignore[attr-defined]
    assert names["replies"].collect().height > 0  # type: ignore[attr-defined]
    exec(queries, names)
    assert set(names["lengths"].collect()["persona"]) == {"original", "plain", "warm"}  # type: ignore[attr-defined]


@pytest.mark.usefixtures("folder")
def test_the_client_in_the_readme_chats() -> None:
    *_, client = blocks("python")
    study = Study.load("configs/lab.yaml")
    with Run(study, Display()).endpoint(study.plan().units) as url:
        names: dict[str, object] = {}
        exec(client.replace("http://127.0.0.1:8000/v1", url), names)
    assert names["said"].choices[0].message.content  # type: ignore[attr-defined]


@pytest.mark.usefixtures("folder")
def test_the_commands_in_the_readme_run() -> None:
    lines = re.findall(
        r"^    (warmth (?!status --cluster)(?:plan|status|report|check|evaluate|sample-labels|bundle|export) .*?)"
        r"(?:  #.*)?$",
        README.read_text(),
        re.MULTILINE,
    )
    assert len(lines) >= 3
    study = Study.load("configs/lab.yaml")
    Run(study, Display()).finish()
    for line in lines:
        command = [sys.executable, "-m", "orchestrator", *shlex.split(line)[1:]]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_every_file_in_the_tree_is_there_and_every_module_is_in_the_tree(root: Path) -> None:
    tree = README.read_text().split("## How it works")[1].split("## ")[0]
    named = set(re.findall(r"\b[a-z_]+\.py\b", tree))
    there = {file.name for file in (root / "orchestrator").glob("*.py")} - {"__init__.py", "errors.py"}
    assert named <= there | {"__main__.py"}
    patterns = re.findall(r"\b[a-z]+_\*\.py", tree)
    covered = {file.name for pattern in patterns for file in (root / "orchestrator").glob(pattern)}
    assert there - covered <= named, there - covered - named
