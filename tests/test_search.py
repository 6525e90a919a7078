"""Settings that are searched: listed, drawn, proposed from losses, and trials that are stopped for theirs."""

import json
from pathlib import Path
from typing import Any

import pytest
from scipy import stats
from trained import real, study, work

from orchestrator import Study, suggest, trials
from orchestrator.plan import Plan, Trial
from orchestrator.progress import Display
from orchestrator.settings_search import Domain
from orchestrator.settings_training import Search
from orchestrator.stages import Stages
from orchestrator.store import Store

RATES = {"learning_rate": {"loguniform": [1e-5, 1e-2]}, "samples": 3}


def names(search: dict[str, Any], **changes: Any) -> list[str]:
    return [trial.name for trial in study(search, **changes).plan().trials]


# ------------------------------------------------------------------------ drawn
def test_every_persona_model_and_seed_gets_the_same_draws() -> None:
    found = study(RATES, training={"seeds": [0, 1]}).plan().trials
    by_persona = {
        (each, seed): [t.settings.learning_rate for t in found if (t.persona.name, t.seed) == (each, seed)]
        for each in ("plain", "warm")
        for seed in (0, 1)
    }
    assert len(set(map(tuple, by_persona.values()))) == 1
    assert len(set(by_persona["plain", 0])) == 3
    assert all(trial.searched == ("learning_rate",) for trial in found)


def test_more_samples_and_more_settings_leave_the_draws_that_there_are() -> None:
    few, more = names(RATES), names({**RATES, "samples": 5})
    assert set(few) < set(more)
    rates = [trial.settings.learning_rate for trial in study({**RATES, "rank": {"uniform": [2, 8]}}).plan().trials]
    assert set(rates) == {trial.settings.learning_rate for trial in study(RATES).plan().trials}
    assert not set(names({**RATES, "seed": 1})) & set(few)


def test_a_grid_goes_with_every_draw() -> None:
    assert len(names({**RATES, "rank": [2, 4], "targets": [["q_proj"], ["q_proj", "v_proj"]]})) == 2 * 3 * 2 * 2
    subject = study({**RATES, "targets": [["q_proj", "v_proj"], ["q_proj"]]}).plan().subjects[-1]
    assert str(subject.settings).endswith("targets=q_proj")


def test_a_search_survives_json() -> None:
    search = {**RATES, "rank": [2, 4], "targets": {"choice": [["q_proj"], ["v_proj"]]}, "dose": {"uniform": [1, 100]}}
    before = study(search)
    assert Study.model_validate(json.loads(before.model_dump_json())) == before


@pytest.mark.parametrize(
    ("domain", "bounds"),
    [
        (Domain("uniform", (0.0, 0.2), False), stats.uniform(0, 0.2)),
        (Domain("loguniform", (1e-5, 1e-2), False), stats.loguniform(1e-5, 1e-2)),
        (Domain("uniform", (4, 64), True), stats.randint(4, 65)),
    ],
)
def test_draws_are_distributed_as_tunes_own(domain: Domain, bounds: Any) -> None:
    shares = [(n + 0.5) / 997 for n in range(997)]
    drawn = [domain.at(share) for share in shares]
    assert all(domain.values[0] <= value <= domain.values[1] for value in drawn)
    assert max(abs(float(bounds.cdf(value)) - share) for value, share in zip(drawn, shares, strict=True)) < 0.02


def test_whole_numbers_of_a_wide_range_are_drawn_up_to_both_bounds() -> None:
    ranks = Domain("loguniform", (1, 64), True)
    assert (ranks.at(0), ranks.at(1 - 1e-12)) == (1, 64)
    assert [Domain("choice", ("a", "b"), False).at(share) for share in (0, 0.49, 0.5, 0.99)] == ["a", "a", "b", "b"]


# --------------------------------------------------------------------- proposed
PROPOSED = {**RATES, "targets": {"choice": [["q_proj"], ["v_proj"]]}, "method": "optuna", "samples": 40, "at_once": 2}


def tried(count: int) -> list[tuple[dict[str, Any], float | None]]:
    """So many draws with a loss that is least at a rate of 1e-4, one of them without."""
    seen: list[tuple[dict[str, Any], float | None]] = []
    while len(seen) < count:
        (draw,) = suggest.propose(Search(**PROPOSED), seen, 1)
        off = abs(round(stats.loguniform(1e-5, 1e-2).cdf(draw["learning_rate"]), 4) - 1 / 3)
        seen.append((json.loads(json.dumps(draw)), None if len(seen) == 3 else off + (draw["targets"] == ("q_proj",))))
    return seen


def test_what_is_proposed_follows_from_seed_and_losses_and_goes_where_losses_are_low() -> None:
    seen = tried(30)
    assert seen == tried(30)
    late = [draw for draw, _ in seen[20:]]
    assert sum(draw["targets"] == ["v_proj"] for draw in late) >= 8
    assert sum(1e-5 < draw["learning_rate"] < 1e-3 for draw in late) >= 8
    assert suggest.propose(Search(**{**PROPOSED, "seed": 1}), [], 2) != suggest.propose(Search(**PROPOSED), [], 2)


def test_the_plan_counts_trials_that_are_still_to_be_proposed() -> None:
    counts = study({**PROPOSED, "samples": 5}).plan().counts()
    assert (counts["trials"], counts["subjects"]) == (5 * 2, 1 + 5 * 2 * 2)


@pytest.mark.usefixtures("ray_session")
def test_proposals_are_filed_before_they_are_trained_and_a_stopped_run_goes_on_with_them(tmp_path: Path) -> None:
    search = {**PROPOSED, "samples": 3, "targets": []}
    plan = real(tmp_path, search)
    store = Store(plan.study.folder)
    assert suggest.more(plan, store)
    assert len(plan.trials) == 2
    again = real(tmp_path, search)
    assert [trial.name for trial in again.trials] == [trial.name for trial in plan.trials]
    store = work(again)
    assert len(again.trials) == 3
    assert all(trials.record(store, trial) for trial in again.trials)
    draw = again.study.training.search.tried[0]
    losses = (trials.record(store, again.trials[0]) or {})["losses"]
    assert suggest.loss(again.study, store, draw) == pytest.approx(sum(losses) / len(losses))
    assert not suggest.more(again, store)
    assert len(Study.of(plan.study.folder).plan().trials) == 3


# ---------------------------------------------------------------------- stopped
@pytest.mark.usefixtures("ray_session")
def test_a_scheduler_stops_trials_and_says_so_and_without_it_they_go_on(tmp_path: Path) -> None:
    rates = {"learning_rate": [1e-2, 5e-3, 1e-7, 2e-7]}
    plan = real(tmp_path, {**rates, "scheduler": "asha"}, warmup_steps=0)
    store = work(plan)
    ended = {trial.settings.learning_rate: of(plan, store, trial) for trial in plan.trials}
    assert set(ended.values()) == {"finished", "stopped"}
    assert not Stages(plan, store, Display(), {})._left.untrained()
    freed = Study.model_validate(
        {**plan.study.model_dump(), "training": {**plan.study.training.model_dump(), "search": rates}}
    )
    waiting = [trial.name for trial in freed.plan().trials if not trials.record(store, trial)]
    assert waiting
    work(freed.plan())
    assert all(trials.record(store, trial) for trial in freed.plan().trials)
    assert not list(store.folder.glob("trials/*/stopped.json"))


def of(plan: Plan, store: Store, trial: Trial) -> str:
    if trials.record(store, trial):
        return "finished"
    return "stopped" if trials.stopped(plan, store, trial) else "lost"
