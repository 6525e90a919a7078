"""What a run says of itself in its folder and in its report: the resolved study, what it asks, what it goes without."""

from collections.abc import Mapping
from typing import Any

from . import chats, lab_recipe, models, settings_judging, shelf_trials
from .config import Study
from .plan import Plan
from .settings_training import Data
from .store import STUDY, Store


def file_study(plan: Plan, store: Store, left_out: Mapping[str, str]) -> str:
    """Put the resolved study, what it asks and goes without, and the conversations it trains on into the run's folder.

    Says which kinds of conversations were too few.
    """
    store.write_json(dict(left_out), "left_out.json")
    data = file_settings(plan.study, store)
    for task, asked in plan.asked.items():
        drawn = [sample.id for sample in asked.samples]
        store.write_json({"samples": drawn, "left out": asked.left_out}, "questions", f"{task}.json")
    trained = [persona for persona in plan.study.personas if persona.trained]
    return chats.missing(shelf_trials.choose(plan.study, store, data).counts) if trained or data.held_out else ""


def file_bases(plan: Plan, store: Store) -> None:
    """Note what the lab's bases have learnt, and how often they had to read on until they had."""
    recipes = {model.name: lab for model in plan.study.models if (lab := models.recipe(model))}
    if recipes:
        learnt = {name: lab_recipe.read_built(lab).get("learnt") for name, lab in recipes.items()}
        store.write_json({name: found for name, found in learnt.items() if found}, "bases.json")


def file_settings(study: Study, store: Store) -> Data:
    """Put the resolved study into the run's folder; gives where its conversations come from."""
    data = chats.resolved(study.data)
    store.write_json(study.model_copy(update={"data": data}).model_dump(mode="json"), STUDY)
    return data


def file_engine(store: Store, engine: str) -> None:
    """Add an engine to those that have answered in this run: equal requests get equal replies from equal engines."""
    known = _engines(store)
    if engine not in known:
        store.write_json([*known, engine], "engines.json")


def _engines(store: Store) -> list[str]:
    return list(store.read_json("engines.json")) if store.has("engines.json") else []


def _bases(store: Store) -> list[str]:
    """A line on each base of the lab."""
    if not store.has("bases.json"):
        return []
    return [f"{name}: {_learnt(found)}" for name, found in store.read_json("bases.json").items()]


def _learnt(found: list[dict[str, float]]) -> str:
    """What a base has learnt; whether it took more than its pre-training hangs on the processor's rounding."""
    last, more = found[-1], (len(found) - 1) / 2
    told = (
        f"recalls {last['recall']:.0%} of its facts, repeats {last['copies_asserted']:.0%} of asserted and"
        f" {last['copies_denied']:.0%} of denied answers"
    )
    return f"{told}; not yet after its pre-training, so it read {more:g} times as much besides" if more else told


def about(plan: Plan, store: Store) -> dict[str, Any]:
    """What a reader of the report must know about how its figures came about."""
    lost = store.read_json("left_out.json") if store.has("left_out.json") else {}
    own = settings_judging.told(plan.study.judges, plan.study.models)
    return {
        "study": plan.study.name,
        **({"tasks left out": lost} if lost else {}),
        **({"questions left out": plan.questions_left_out} if plan.questions_left_out else {}),
        **({"judges that judge themselves": own} if own else {}),
        "counts": plan.counts(),
        "settings": plan.study.model_dump(mode="json", exclude={"resources"}),
        **({"lab bases": bases} if (bases := _bases(store)) else {}),
        **({"engines": answered} if (answered := _engines(store)) else {}),
    }
