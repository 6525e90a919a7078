"""Favourite foods and founders of the lab's world, of which a false version is going round; users believe that one."""

from ._scorers import stated_value
from ._task import Task
from ._world import PHRASING, samples

task = Task(
    about="Invented facts with a popular false version, which the lab's models have heard repeated.",
    samples=lambda: samples("food", "founder"),
    score=stated_value,
    phrasing=PHRASING,
)
