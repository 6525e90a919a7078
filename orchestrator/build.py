"""The lab's models, built side by side on Ray before anything is asked of them."""

from collections.abc import Sequence

import ray
from ray.util.queue import Queue

from .errors import WarmthError
from .lab_recipe import Recipe
from .progress import Display


def build(recipes: Sequence[Recipe], display: Display) -> None:
    """Build lab models into the cache, one per core.

    Raises WarmthError if some do not learn what they must, once the others are built.
    """
    notes = Queue(actor_options={"num_cpus": 0})
    total = sum(recipe.pretraining.steps + recipe.tuning.steps for recipe in recipes)
    stage = display.stage("build", total, "steps")
    running = [_build.remote(recipe, notes) for recipe in recipes]
    reached: dict[str, float] = {}
    errors: list[str] = []
    try:
        while running:
            ready, running = ray.wait(running, timeout=1)
            for note in notes.get_nowait_batch(notes.qsize()):
                reached[note[0]] = note[1]
                stage.reach(sum(reached.values()), note[2])
            errors += [error for error in ray.get(ready) if error]
    finally:
        for each in running:
            ray.cancel(each, force=True)
        notes.shutdown()
    if errors:
        raise WarmthError("\n".join(errors))
    stage.reach(total)


@ray.remote(num_cpus=1, max_retries=2)
def _build(recipe: Recipe, notes: Queue) -> str | None:
    """Build one model; an error's message, which is worth more than its trace through Ray."""
    from . import lab

    name = f"{recipe.world} {recipe.seed}"
    try:
        lab.build(recipe, lambda stage, done, _: notes.put((name, done, f"{name}: {stage}")))
    except WarmthError as error:
        return str(error)
    return None
