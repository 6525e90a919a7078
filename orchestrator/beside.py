"""A round of asking beside a sweep: what is there and, in the same endpoint, what lands of the sweep after it."""

from collections.abc import Collection, Sequence

from . import attest_reference, endpoint
from .cluster import Room
from .left import Left
from .overlap import All, Landing
from .plan import Plan, Unit
from .store import Store


class Round:
    """Units of work as they come, for as long as the endpoint that is up serves them as well as another would."""

    def __init__(self, plan: Plan, store: Store, units: Sequence[Unit], room: Room, landing: Landing) -> None:
        self._plan, self._store, self._units, self.room, self._landing = plan, store, units, room, landing
        self._left = Left(plan, store)

    def first(self) -> list[Unit]:
        """What there is news of as the round begins."""
        return self._of(self._landing.landing() or ())

    def more(self, served: Collection[str]) -> list[Unit] | None:
        """What the endpoint with the models of these names can be asked next, waited for; None if it has to end."""
        subjects = self._landing.landing()
        if subjects is None:
            return None
        found = self._of(subjects)
        if self._serves(served, found) and not (isinstance(subjects, All) and self._confined(len(served))):
            return found
        self._landing.put_back(subjects)
        return None

    def _of(self, subjects: Collection[str] | All) -> list[Unit]:
        return [unit for unit in self._units if unit.subject.name in subjects]

    def _serves(self, served: Collection[str], units: Sequence[Unit]) -> bool:
        """Whether no other model is needed, and nothing that has to be found out before an engine takes the GPUs."""
        waiting = list(self._left.unasked(units))
        hosted = {model.name for model in self._plan.study.models if model.hosted}
        needed = endpoint.needed(self._plan.study, waiting) - hosted
        unknown = attest_reference.missing(self._plan, self._store, {unit.subject for unit in waiting})
        return needed <= set(served) and not unknown

    def _confined(self, bases: int) -> bool:
        """Whether engines that have the whole cluster would be more, or larger, than those that a sweep leaves room."""
        wanted = self._plan.study.resources
        return endpoint.scale_of(wanted, bases) != endpoint.scale_of(wanted, bases, self.room)
