"""What cannot be trained: the trial says why on file and in the report, and the others are trained."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import synthetic
from mini import SETTINGS
from test_pack import Heard, job
from test_train import CHATS, chat
from tiny import tiny_model

from orchestrator import Study, frames, trials
from orchestrator.pack import Resident
from orchestrator.pack_member import Job
from orchestrator.plan import Plan
from orchestrator.problems import problems
from orchestrator.store import Store
from orchestrator.sweep_filing import Filing
from orchestrator.train import train_all
from orchestrator.train_data import check_prompt


@pytest.fixture(scope="module")
def resident(tmp_path_factory: pytest.TempPathFactory) -> Resident:
    return Resident(str(tiny_model(tmp_path_factory.mktemp("tiny"), seed=0)))


def failures(resident: Resident, *jobs: Job) -> dict[str, str]:
    """Why trials failed; the last one, which has nothing wrong with it, did not."""
    heard = Heard()
    train_all(resident, [*jobs, job("good", chats=CHATS, epochs=1)], heard, most=2)
    assert set(heard.trained) == {"good"}
    return heard.failures


NO_PROMPT = "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
NO_MARKS = "{% for message in messages %}{{ message['content'] }}<|end|>{% endfor %}"
REFUSES = "{{ raise_exception('roles must alternate') }}"


@pytest.mark.parametrize(
    ("template", "said"),
    [(NO_PROMPT, "lacks a generation prompt"), (REFUSES, "refuses a conversation"), (None, "no chat template")],
)
def test_a_template_that_nothing_can_be_asked_through(
    resident: Resident, monkeypatch: pytest.MonkeyPatch, template: str | None, said: str
) -> None:
    monkeypatch.setattr(resident.tokenizer, "chat_template", template)
    heard = Heard()
    train_all(resident, [job("one"), job("other")], heard, most=2)
    assert set(heard.failures) == {"one", "other"}
    assert all(said in why and resident.base in why for why in heard.failures.values())


def test_a_template_may_do_without_a_prompt_where_replies_begin_at_once(
    resident: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resident.tokenizer, "chat_template", NO_MARKS)
    check_prompt(resident.tokenizer)


def test_conversations_without_a_reply(resident: Resident) -> None:
    found = failures(resident, job("unanswered", chats=[chat("a", "Hello?"), chat("b", "Anybody?")]))
    assert found == {
        "unanswered": "data: none of 2 conversations has a turn of the assistant to learn from; give others"
    }


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that an adapter of rank 16 fits on, but not what to go on from."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def planned(folder: Path, seeds: int) -> tuple[Plan, Store]:
    """A study of one persona and so many seeds, and its folder."""
    asked = {**SETTINGS, "personas": ["original", "plain"], "resources": {"runs": str(folder)}, "warmth": None}
    asked["training"] = {**SETTINGS["training"], "seeds": list(range(seeds))}
    plan = Plan(Study.model_validate(asked))
    return plan, Store(plan.study.folder)


def filed(folder: Path, resident: Resident, settings: list[dict[str, Any]]) -> tuple[Plan, Store]:
    """A study's trials, trained with these settings in its folder."""
    plan, store = planned(folder, len(settings))
    filing = Filing(plan, store, {trial.name: trial for trial in plan.trials}, lambda _: None)
    each = [job(trial.name, trial.seed, **own) for trial, own in zip(plan.trials, settings, strict=True)]
    train_all(resident, each, filing, most=1)
    return plan, store


def test_no_space_for_a_checkpoint(small_disk: Path, resident: Resident) -> None:
    plan, store = filed(small_disk, resident, [{"rank": 16}, {"rank": 1, "targets": ["q_proj"]}])
    large, small = plan.trials
    why = trials.failure(store, large)
    assert why is not None
    assert "no space is left on this disk" in why
    assert trials.record(store, small) is not None
    assert not list(store.folder.glob(".writing-*"))
    rows = frames.trial_rows(plan, store)
    assert rows["error"].to_list() == [why, None]


def test_what_was_cut_and_left_out_is_on_file_and_said(tmp_path: Path, resident: Resident) -> None:
    plan, store = filed(tmp_path, resident, [{"max_length": 40}])
    found = trials.record(store, plan.trials[0])
    assert found is not None
    assert found["conversations"] == {"given": 11, "cut": 1, "left_out": 0}
    assert trials.remarks(found) == "1 of 11 conversations cut at training.max_length"
    answers, warmth, _ = synthetic.study(samples=2)
    answers = answers.with_columns(scored=pl.lit(True))
    said = problems(answers, warmth, frames.trial_rows(plan, store)).filter(kind="conversations cut")
    assert said.select("where", "count", "of").rows() == [("plain", 1, 11)]
