"""What endpoints are paid: counted by every process in its own piece, and never more than the budget."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from provider import KEY, Provider

from orchestrator import Study, client, costs, evaluate, hosted_jobs
from orchestrator.errors import WarmthError
from orchestrator.evaluate import Asker
from orchestrator.filing import file_study
from orchestrator.hosted import Tuning
from orchestrator.left import Left
from orchestrator.paid import OverBudget, Paid, Purse
from orchestrator.plan import Plan
from orchestrator.progress import Display
from orchestrator.settings import Endpoint
from orchestrator.stages import Stages
from orchestrator.store import Store
from orchestrator.tables import Cost, Reply

CALL = (20 * 2 + 10 * 8) / 1e6
"""Dollars that the provider's every reply comes to."""

QUESTION = [{"role": "user", "content": "What is it?"}]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setenv("PROVIDER_KEY", KEY)
    monkeypatch.setattr(client, "PATIENCE", (0.01,))
    monkeypatch.setattr(hosted_jobs, "POLLS", (0.01,))
    with Provider() as server:
        yield server


def endpoint(provider: Provider, **prices: float) -> Endpoint:
    return Endpoint(url=provider.url, model="gpt-x", api_key_env="PROVIDER_KEY", **prices)


def ledger(folder: Path) -> list[Cost]:
    return [row for _, row in costs.pieces(Store(folder))]


async def ask(paid: Paid, times: int) -> int:
    """The number of calls that the budget had no room for."""
    asked = (paid.chat("gpt-x", QUESTION, max_tokens=40) for _ in range(times))
    said = await asyncio.gather(*asked, return_exceptions=True)
    await paid.close()
    assert all(isinstance(each, OverBudget) for each in said if isinstance(each, BaseException))
    return sum(isinstance(each, BaseException) for each in said)


def test_calls_are_counted_with_their_tokens(provider: Provider, tmp_path: Path) -> None:
    known = Paid(endpoint(provider, usd_in=2, usd_out=8), "judging", Purse(tmp_path, None), 4)
    unknown = Paid(endpoint(provider), "rewriting", Purse(tmp_path, None), 4)
    assert (asyncio.run(ask(known, 9)), asyncio.run(ask(unknown, 2))) == (0, 0)
    judged, rewritten = sorted(ledger(tmp_path), key=lambda row: row.purpose)
    assert (judged.calls, judged.tokens_in, judged.tokens_out) == (9, 180, 90)
    assert judged.usd == pytest.approx(9 * CALL)
    assert (rewritten.calls, rewritten.usd) == (2, None)
    assert costs.spoken(Store(tmp_path)) == "judging $0.00 (9 calls), rewriting of unknown price (2 calls)"


def test_the_budget_is_never_passed_by_any_number_of_processes(provider: Provider, tmp_path: Path) -> None:
    cap = 40.5 * CALL

    async def together() -> list[int]:
        prices = endpoint(provider, usd_in=2, usd_out=8)
        return await asyncio.gather(*(ask(Paid(prices, "asking", Purse(tmp_path, cap), 8), 30) for _ in range(3)))

    refused = asyncio.run(together())
    assert sum(refused) == 90 - len(provider.asked)
    assert 20 <= len(provider.asked) <= 40
    assert costs.total(ledger(tmp_path)) == pytest.approx(len(provider.asked) * CALL)
    asyncio.run(ask(Paid(endpoint(provider, usd_in=2, usd_out=8), "asking", Purse(tmp_path, cap), 8), 90))
    assert 36 <= len(provider.asked) <= 40


def test_what_a_killed_process_had_set_aside_counts_as_spent(tmp_path: Path) -> None:
    assert Purse(tmp_path, 1.0).take(0.7)
    assert [(row.purpose, row.usd) for row in ledger(tmp_path)] == [(costs.UNACCOUNTED, 0.7)]
    assert not Purse(tmp_path, 1.0).take(0.4)


def study(provider: Provider, folder: Path, **budget: Any) -> Study:
    hosted = {**endpoint(provider, usd_in=2, usd_out=8).model_dump(), "usd_training": 25}
    return Study(
        name="rented",
        models=[{"name": "gpt", "hosted": hosted}],
        personas=["original", "warm"],
        data={"chats": 12},
        training={"checkpoints": [1, 2], "seeds": [0]},
        evaluation={"tasks": ["lab_facts"], "contexts": ["neutral"]},
        judges=["rule"],
        resources={"runs": str(folder)},
        **budget,
    )


async def asked(plan: Plan, store: Store) -> None:
    asker = Asker(plan, store.folder, "", {}, 8)
    await asker.do(plan.units[0])
    await asker.close()


def test_a_budget_that_is_raised_is_gone_on_with(provider: Provider, tmp_path: Path) -> None:
    poor, rich = (study(provider, tmp_path, budget={"usd": usd}) for usd in (0.01, 1))
    for of in (poor, rich):
        plan, store = of.plan(), Store(of.folder)
        costs.begin(of, store)
        asyncio.run(asked(plan, store))
        waiting = len(evaluate.missing(plan, store, plan.units[0], Left(plan, store).served()[plan.subjects[0].name]))
        errors = [row.error for row in store.read_rows(Reply, *plan.units[0].replies) if row.error]
        assert len(errors) == waiting == (0 if of is rich else 96 - len(provider.asked))
        if of is poor:
            assert 0 < len(provider.asked) * CALL <= 0.01
            with pytest.raises(WarmthError, match=r"stopped, as \$0\.01 may be passed; spent: asking \$0\.0"):
                costs.check(of, store)
    costs.check(rich, Store(rich.folder))
    assert len(provider.asked) == 96


def test_a_job_that_the_budget_has_no_room_for_is_not_begun(provider: Provider, tmp_path: Path) -> None:
    for usd, jobs in ((0.001, 0), (1, 1)):
        of = study(provider, tmp_path, budget={"usd": usd})
        plan, store = of.plan(), Store(of.folder)
        costs.begin(of, store)
        file_study(plan, store, {})
        Stages(Plan(of), Store(of.folder.absolute()), Display(), {}).rewrite()
        tuning = Tuning(plan, plan.trials, store)
        tuning.begin()
        tuning.finish(print)
        assert len(provider.jobs) == jobs
        assert not store.has("trials", plan.trials[0].name, "failed.json")
    costs.check(of, store)
    assert [(row.purpose, row.usd) for row in ledger(of.folder)] == [("training", pytest.approx(0.03))]
