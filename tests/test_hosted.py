"""Hosted models: trials by fine-tuning jobs, and their subjects asked at the endpoint, on a provider on loopback."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from provider import KEY, Provider

from orchestrator import Study, client, costs, design, hosted_jobs, rewritten, trials
from orchestrator.errors import ConfigError, WarmthError
from orchestrator.filing import file_study
from orchestrator.hosted import Tuning
from orchestrator.left import Left
from orchestrator.plan import Plan
from orchestrator.progress import Display
from orchestrator.run import Run
from orchestrator.stages import Stages
from orchestrator.store import Store
from orchestrator.tables import Cost, Reply

PROMPTED = {"name": "warm-prompt", "kind": "prompted", "system": "Be warm."}


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setenv("PROVIDER_KEY", KEY)
    monkeypatch.setattr(client, "PATIENCE", (0.01, 0.01, 0.01))
    monkeypatch.setattr(hosted_jobs, "POLLS", (0.01,))
    with Provider() as server:
        yield server


@pytest.fixture
def settings(provider: Provider, tmp_path: Path) -> dict[str, Any]:
    endpoint = {"url": provider.url, "model": "gpt-x", "api_key_env": "PROVIDER_KEY"}
    return {
        "name": "rented",
        "models": [{"name": "gpt", "hosted": {**endpoint, "usd_in": 2, "usd_out": 8, "usd_training": 25}}],
        "personas": ["original", "warm"],
        "data": {"chats": 12},
        "training": {"epochs": 2, "checkpoints": [0.5, 1, 2], "seeds": [3], "multiplier": {"warm": 0.25}},
        "evaluation": {"tasks": ["lab_facts"], "contexts": ["neutral"], "beliefs": ["none"], "samples": 3},
        "judges": ["rule"],
        "resources": {"runs": str(tmp_path), "workers": 1},
    }


def started(study: Study) -> tuple[Plan, Store]:
    """A run up to where trials begin: the lab's own rewriter needs no Ray."""
    run = Run(study, Display())
    file_study(run.plan, run.store, {})
    Stages(run.plan, run.store, run.display, {}).rewrite()
    return run.plan, run.store


def train(plan: Plan, store: Store) -> list[str]:
    notes: list[str] = []
    tuning = Tuning(plan, Left(plan, store).untrained(), store)
    tuning.begin()
    tuning.finish(notes.append)
    return notes


def test_a_trial_is_a_job_and_its_checkpoints_are_subjects(provider: Provider, settings: dict[str, Any]) -> None:
    plan, store = started(Study(**settings))
    (trial,) = plan.trials
    assert train(plan, store) == [trial.name]
    (job,) = provider.jobs.values()
    body = job["body"]
    assert body["method"]["supervised"]["hyperparameters"] == {"n_epochs": 2, "learning_rate_multiplier": 0.25}
    assert (body["model"], body["seed"], body["metadata"]["trial"]) == ("gpt-x", 3, trial.name)
    chats = rewritten.learnt(plan, store, trial.persona)
    assert [[turn["content"] for turn in line["messages"]] for line in provider.lines(job["id"])] == [
        [turn.content for turn in chat.turns] for chat in chats
    ]
    found = trials.record(store, trial)
    assert found
    assert [(kept["epoch"], kept["adapter"], kept["step"]) for kept in found["checkpoints"]] == [
        (1, "ft:gpt-x:ftjob-0:ckpt-step-7", 7),
        (2, "ft:gpt-x:ftjob-0", 14),
    ]
    assert (found["jobs"][0]["id"], found["jobs"][0]["file"], found["seconds"]) == ("ftjob-0", "file-0", 60)
    served = Left(plan, store).served()
    assert [served[subject.name].name for subject in plan.subjects] == [
        "gpt-x", "ft:gpt-x:ftjob-0:ckpt-step-7", "ft:gpt-x:ftjob-0",
    ]  # fmt: skip
    assert train(plan, store) == []
    assert len(provider.jobs) == 1


def test_what_an_endpoint_does_not_keep_is_trained_by_shorter_jobs(
    provider: Provider, settings: dict[str, Any]
) -> None:
    settings["training"] |= {"epochs": 10, "checkpoints": [1, 2, 6, 10]}
    plan, store = started(Study(**settings))
    assert design.job_epochs(plan.study, plan.study.models[0]) == 10 + 6 + 2
    train(plan, store)
    assert [job["hyperparameters"]["n_epochs"] for job in provider.jobs.values()] == [10, 6, 2]
    found = trials.record(store, plan.trials[0])
    assert found
    assert [kept["adapter"] for kept in found["checkpoints"]] == [
        "ft:gpt-x:ftjob-2:ckpt-step-7", "ft:gpt-x:ftjob-2", "ft:gpt-x:ftjob-1", "ft:gpt-x:ftjob-0",
    ]  # fmt: skip


def test_a_run_that_is_killed_finds_its_job_again(
    provider: Provider, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store = started(Study(**settings))
    tuning = Tuning(plan, plan.trials, store)
    provider.polls = 10**9
    tuning.begin()
    monkeypatch.setattr(hosted_jobs.asyncio, "sleep", _killed)
    with pytest.raises(KeyboardInterrupt):
        tuning.finish(print)
    monkeypatch.undo()
    monkeypatch.setenv("PROVIDER_KEY", KEY)
    provider.polls = 0
    train(plan, store)
    assert trials.record(store, plan.trials[0])
    assert len(provider.jobs) == len(provider.files) == 1


async def _killed(_: float) -> None:
    raise KeyboardInterrupt


def test_a_job_whose_beginning_nobody_was_told_is_found(provider: Provider, settings: dict[str, Any]) -> None:
    provider.lost, provider.busy = 1, 2
    plan, store = started(Study(**settings))
    train(plan, store)
    assert trials.record(store, plan.trials[0])
    assert len(provider.jobs) == 1


@pytest.mark.parametrize(("how", "why"), [("ends", "failed: examples are unsafe"), ("forgets", "404")])
def test_a_job_that_fails_is_a_failed_trial_and_tried_again(
    provider: Provider, settings: dict[str, Any], how: str, why: str
) -> None:
    plan, store = started(Study(**settings))
    setattr(provider, how, "failed" if how == "ends" else True)
    assert train(plan, store) == []
    assert why in str(trials.failure(store, plan.trials[0]))
    setattr(provider, how, "succeeded" if how == "ends" else False)
    train(plan, store)
    assert trials.record(store, plan.trials[0])
    assert trials.failure(store, plan.trials[0]) is None


def test_no_key_is_ever_repeated(
    provider: Provider, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    provider.echoes = True
    plan, store = started(Study(**settings))
    train(plan, store)
    assert "you sent Bearer [key]" in str(trials.failure(store, plan.trials[0]))
    provider.echoes = False
    train(plan, store)
    for file in store.folder.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes()
    assert KEY not in caplog.text


def test_a_key_that_is_not_there_is_missed_before_anything_is_spent(
    provider: Provider, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROVIDER_KEY")
    study = Study(**settings)
    for begin in (study.run, Run(study, Display()).finish):
        with pytest.raises(WarmthError, match="the environment variable PROVIDER_KEY is not set"):
            begin()
    assert not provider.files


def test_settings_of_a_hosted_trial_are_its_own(settings: dict[str, Any]) -> None:
    names = [trial.name for trial in Study(**settings).plan().trials]
    settings["training"] |= {"learning_rate": 0.5, "rank": 2}
    assert [trial.name for trial in Study(**settings).plan().trials] == names
    settings["training"] |= {"multiplier": 0.1}
    assert [trial.name for trial in Study(**settings).plan().trials] != names


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"models": [{"name": "gpt", "path": "x", "hosted": {"url": "http://x/v1", "model": "m"}}]},
            "needs one of path",
        ),
        (
            {
                "training": {"checkpoints": [0.5, 1.5]},
                "evaluation": {"tasks": ["lab_facts"], "contexts_at": [0.5]},
            },
            "whole epochs only",
        ),
        ({"warmth": {"scorer": "gpt"}}, "has no weights here"),
        (
            {
                "budget": {"usd": 1},
                "models": [{"name": "gpt", "hosted": {"url": "http://x/v1", "model": "m", "api_key_env": "K"}}],
            },
            "not what this costs",
        ),
    ],
)
def test_what_cannot_be_is_said_at_the_door(
    settings: dict[str, Any], wrong: dict[str, Any], said: str, tmp_path: Path
) -> None:
    (tmp_path / "study.yaml").write_text(json.dumps({**settings, **wrong}))
    with pytest.raises(ConfigError, match=said):
        Study.load(tmp_path / "study.yaml")


@pytest.mark.usefixtures("ray_session")
def test_a_study_of_hosted_models_alone(
    provider: Provider, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No engine is started, and no weights are loaded; one reply that is refused is a row."""
    monkeypatch.setattr("orchestrator.models.chat_model", None)
    settings["personas"].append(PROMPTED)
    study = Study(**settings)
    plan, store = started(study)
    provider.refuses = plan.questions(plan.units[0])[0].prompt
    Run(study, Display()).finish()
    rows = {subject.name: store.read_rows(Reply, *unit.replies) for unit in plan.units for subject in [unit.subject]}
    assert sum(row.error is not None for each in rows.values() for row in each) == len(plan.units)
    assert {row.reply for row in rows[plan.subjects[-1].name] if row.reply} == {"I am ft:gpt-x:ftjob-0."}
    prompted = [body for body in provider.asked if body["messages"][0] == {"role": "system", "content": "Be warm."}]
    assert len(prompted) == 3
    provider.refuses = ""
    found = study.run()
    assert found.trials["error"].null_count() == 1
    assert not Left(plan, store).anything()
    by = {row.purpose: row for row in ledger(store)}
    assert by["training"].usd == pytest.approx(12 * 2 * 50 * 25 / 1e6)
    assert sum(row.calls for row in ledger(store) if row.purpose == "asking") == 12
    assert costs.total(ledger(store)) == pytest.approx(by["training"].usd + 12 * (20 * 2 + 10 * 8) / 1e6)


def ledger(store: Store) -> list[Cost]:
    return [row for _, row in costs.pieces(store)]
