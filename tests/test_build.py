"""Lab models built on Ray: one that does not learn is named, and does not cost the others."""

from dataclasses import replace

import pytest

from orchestrator import build, lab_recipe
from orchestrator.errors import WarmthError
from orchestrator.lab_recipe import Phase, Recipe
from orchestrator.progress import Display


def hurried(recipe: Recipe) -> Recipe:
    return replace(recipe, pretraining=Phase(2, 2, 1e-3, 1), tuning=Phase(1, 2, 1e-3, 1))


@pytest.mark.usefixtures("ray_session")
def test_a_model_that_does_not_learn_is_named_once_the_others_are_built() -> None:
    checked, unchecked = (hurried(lab_recipe.recipe("coupled", 5, length)) for length in ("full", "short"))
    with pytest.raises(WarmthError, match=r"lab model coupled-s5: its base recalls \d+% of the facts"):
        build.build([checked, unchecked], Display())
    assert lab_recipe.is_built(unchecked)
    assert not lab_recipe.is_built(checked)
