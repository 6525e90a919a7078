"""What warmth is measured on, and where it is filed; without Ray."""

from pathlib import Path
from typing import Any

import pytest
from mini import SETTINGS
from tiny import tiny_model

from orchestrator import Study, evaluate, frames, measure, models
from orchestrator.errors import WarmthError
from orchestrator.left import Left
from orchestrator.plan import HELD_OUT, Plan, Unit
from orchestrator.settings_warmth import Warmth
from orchestrator.store import Store
from orchestrator.tables import HeldOut, Reply

PROMPTS = [HeldOut("a", "advice", "How do I cook rice?"), HeldOut("b", "other", "Hello there!")]


def planned(tmp_path: Path, personas: list[str], **warmth: Any) -> tuple[Plan, Store]:
    """A plan whose held-out prompts lie in its run's folder."""
    study = Study(**{**SETTINGS, "personas": personas, "resources": {"runs": str(tmp_path)}})
    settings = Warmth(scorer="tiny", **warmth)
    store = Store(study.folder)
    store.write_rows(PROMPTS, HeldOut, "held_out.arrow")
    return Plan(study.model_copy(update={"warmth": settings})), store


def answer(plan: Plan, store: Store, unit: Unit) -> None:
    served = Left(plan, store).served()[unit.subject.name]
    rows = [
        Reply(
            subject=unit.subject.name, model="tiny", persona="original", trial=None, epoch=0.0, seed=None, dose=0,
            task=each.task, sample=each.sample, context=each.context, belief=each.belief, draw=each.draw,
            row_seed=each.row_seed, system=None, prompt=each.prompt, reply=f"I like {each.sample}.",
            finish_reason="stop", prompt_tokens=1, reply_tokens=1, adapter=None,
            request=evaluate.request_digest(served, each, None, plan.study.evaluation), error=None, seconds=0.1,
        )
        for each in evaluate.questions(plan, store, unit)
    ]  # fmt: skip
    store.write_rows(rows, Reply, *evaluate.place(unit))


def test_held_out_prompts_are_asked_measured_in_both_modes_and_never_judged(tmp_path: Path) -> None:
    plan, store = planned(tmp_path, ["original"], prompts=HELD_OUT, modes=["eval", "faithful"])
    left, (unit,) = Left(plan, store), plan.curve
    assert [(each.sample, each.prompt) for each in evaluate.questions(plan, store, unit)] == [
        ("a", "How do I cook rice?"),
        ("b", "Hello there!"),
    ]
    assert left.unasked([unit]) == {unit: 2}
    answer(plan, store, unit)
    assert not left.unasked([unit])
    assert not left.unjudged([unit])
    assert left.unmeasured() == [unit.subject]
    settings, study = plan.study.warmth, plan.study
    assert settings is not None
    weights, rulers = str(tiny_model(tmp_path / "scorer", 0)), measure.rulers(settings, study.models)
    openers = models.openers(settings, study.models)
    measurer = measure.Measurer(weights, openers, settings, store.folder, *left.measured_on(), rulers)
    assert measurer.do(unit.subject) == 0
    assert not left.unmeasured()
    rows = frames.warmth(plan, store, frames.answers(plan, store, left.served()), left.served())
    assert sorted(rows.select("sample", "mode").rows()) == [(s, m) for s in "ab" for m in ("eval", "faithful")]
    assert rows.filter(mode="eval")["sem"].null_count() == 2
    assert rows.filter(mode="faithful")["sem"].null_count() == 0


def test_prompts_that_were_not_held_out_are_missed(tmp_path: Path) -> None:
    plan, store = planned(tmp_path, ["original"], prompts=HELD_OUT)
    store.path("held_out.arrow").unlink()
    with pytest.raises(WarmthError, match=r"no prompts in it; raise data\.held_out"):
        evaluate.questions(plan, store, plan.curve[0])


def test_checkpoints_of_the_curve_are_those_of_warmth_at_whatever_else_is_asked(tmp_path: Path) -> None:
    plan, _ = planned(tmp_path, ["original", "warm"], prompts=HELD_OUT, warmth_at=[1])
    assert [unit.subject.epoch for unit in plan.curve] == [0, 1]
    plan, _ = planned(tmp_path, ["original", "warm"])
    assert not plan.curve
    assert [subject.epoch for subject in plan.measured] == [0, 1, 2]
