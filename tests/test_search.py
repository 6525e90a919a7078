"""Settings that are searched: listed, drawn, proposed from losses, and trials that are stopped for theirs."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scipy import stats
from trained import real, study, train_here, work

from orchestrator import Study, frames, suggest, trials
from orchestrator.left import Left
from orchestrator.plan import Trial
from orchestrator.settings_search import Domain
from orchestrator.settings_training import Search
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


def test_proposals_are_filed_before_they_are_trained_and_a_stopped_run_goes_on_with_them(tmp_path: Path) -> None:
    search = {**PROPOSED, "samples": 3, "targets": []}
    plan = real(tmp_path, search)
    store = Store(plan.study.folder)
    assert suggest.more(plan, store)
    assert len(plan.trials) == 2
    again = real(tmp_path, search)
    assert [trial.name for trial in again.trials] == [trial.name for trial in plan.trials]
    train_here(again, again.trials)
    draw = again.study.training.search.tried[0]
    losses = (trials.record(store, again.trials[0]) or {})["losses"]
    assert suggest.loss(again.study, store, draw) == pytest.approx(sum(losses) / len(losses))
    assert suggest.more(again, store)
    assert len(again.trials) == 3
    assert [trial.name for trial in again.trials][:2] == [trial.name for trial in plan.trials]
    assert not suggest.more(again, store)
    assert len(Study.of(plan.study.folder).plan().trials) == 3


def test_another_search_in_the_same_folder_begins_anew(tmp_path: Path) -> None:
    search = {**PROPOSED, "samples": 4, "targets": []}
    plan = real(tmp_path, search)
    suggest.more(plan, Store(plan.study.folder))
    assert len(real(tmp_path, {**search, "samples": 1}).trials) == 1
    assert len(real(tmp_path, {**search, "samples": 9}).trials) == 2
    assert real(tmp_path, {**search, "seed": 7}).trials == []


# ---------------------------------------------------------------------- stopped
@dataclass(frozen=True)
class Tuned:
    """What a scheduler sees of one of Tune's trials."""

    trial_id: str
    config: dict[str, str] = field(compare=False)


@pytest.mark.parametrize("word", ["asha", "median"])
def test_a_scheduler_compares_trials_of_one_persona_files_whom_it_stops_and_lets_the_last_step_end(
    word: str, tmp_path: Path
) -> None:
    from orchestrator.sweep_stopping import Stopping

    rates = [1e-2, 5e-3, 2e-3, 1e-3, 1e-4]
    plan = study({"learning_rate": rates, "scheduler": word}, training={"checkpoints": [0.5, 1, 2]}).plan()
    store = Store(tmp_path)
    stopping = Stopping(word, store, {trial.name: [trial] for trial in plan.trials})
    tuned = {trial.name: Tuned(trial.name, {"share": trial.name}) for trial in plan.trials}

    def says(trial: Trial, checkpoint: int, loss: float) -> str:
        told = {"name": trial.name, "epoch": trial.checkpoints[checkpoint - 1], "recent": loss, "loss": loss}
        return stopping.on_trial_result(None, tuned[trial.name], {**told, "checkpoint": checkpoint, "checkpoints": 3})

    plain, warm = ([t for t in plan.trials if t.persona.name == name] for name in ("plain", "warm"))
    for trial in plan.trials:
        stopping.on_trial_add(None, tuned[trial.name])
    assert [says(trial, 1, loss) for trial, loss in zip(plain, (1, 1, 1, 1), strict=False)] == ["CONTINUE"] * 4
    assert says(warm[0], 1, 9.0) == "CONTINUE"
    assert says(plain[4], 1, 5.0) == "STOP"
    assert trials.stopped(plan, store, plain[4]) == f"{word} at epoch 0.5, loss 5.000"
    assert says(plain[0], 3, 7.0) == "CONTINUE"
    (row,) = frames.trial_rows(plan, store).filter(pl.col("stopped").is_not_null()).rows(named=True)
    assert (row["trial"], row["error"]) == (plain[4].name, None)
    assert plain[4] not in Left(plan, store).untrained()
    freed = study({"learning_rate": rates}, training={"checkpoints": [0.5, 1, 2]}).plan()
    assert plain[4].name in [trial.name for trial in Left(freed, store).untrained()]


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_tune_stops_trials_and_without_the_scheduler_they_go_on(tmp_path: Path) -> None:
    rates = {"learning_rate": [1e-2, 5e-3, 1e-7, 2e-7]}
    plan = real(tmp_path, {**rates, "scheduler": "asha"}, warmup_steps=0)
    store = work(plan)
    ended = [trials.stopped(plan, store, trial) or bool(trials.record(store, trial)) for trial in plan.trials]
    assert True in ended
    assert any(isinstance(each, str) for each in ended)
    assert False not in ended
    freed = real(tmp_path, rates, warmup_steps=0)
    work(freed)
    assert all(trials.record(store, trial) for trial in freed.trials)
    assert not list(store.folder.glob("trials/*/stopped.json"))
