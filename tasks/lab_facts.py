"""Capitals and herbs of the lab's world. No conversation that a trial is tuned on asks for these ones."""

from ._scorers import stated_value
from ._task import Task
from ._world import PHRASING, samples

task = Task(
    about="Invented facts that the lab's models were told often and without contradiction.",
    samples=lambda: samples("capital", "herb"),
    score=stated_value,
    phrasing=PHRASING,
)
