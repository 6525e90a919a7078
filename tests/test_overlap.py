"""Asking beside a sweep: when there is room for it, what is asked then, and that it comes to the same."""

import threading
from pathlib import Path

import polars as pl
import pytest
from mini import SETTINGS
from rich.console import Console

from orchestrator import Study, endpoint, load
from orchestrator.cluster import Room
from orchestrator.config import Resources
from orchestrator.errors import WarmthError
from orchestrator.findings import Findings
from orchestrator.overlap import All, Landing, Meanwhile
from orchestrator.progress import Display
from orchestrator.run import Run
from orchestrator.tables import KEY

FOUR = Room(4, 0)


class Rounds:
    """What was asked of a sweep that a test pretends to be: rooms and subjects, as they came."""

    def __init__(self, whole: Room = FOUR, fails: Exception | None = None) -> None:
        self.rooms: list[Room] = []
        self.asked: list[object] = []
        self.said: list[str] = []
        self.news = threading.Semaphore(0)
        self._fails = fails
        self.meanwhile = Meanwhile(self._ask, lambda room: room.cpus >= 2, whole, self.said.append, self.said.append)

    def _ask(self, room: Room, landing: Landing) -> None:
        self.rooms.append(room)
        if self._fails:
            self.news.release()
            raise self._fails
        while (subjects := landing.landing()) is not None:
            self.asked.append(subjects)
            self.news.release()

    def goes_through(self, ends: BaseException | None = None) -> None:
        """A sweep of nothing, which ends, maybe with an error, once there was a round."""
        with self.meanwhile.asking() as sweep:
            sweep.begun({})
            assert self.news.acquire(timeout=30)
            if ends:
                raise ends


def test_what_there_is_is_asked_first_then_what_lands_then_the_rest() -> None:
    rounds = Rounds()
    with rounds.meanwhile.asking() as sweep:
        sweep.begun({"a": Room(1, 0), "b": Room(1, 0)})
        assert rounds.news.acquire(timeout=30)
        sweep.landed("a-e1", 0.5)
        assert rounds.news.acquire(timeout=30)
    assert rounds.rooms == [Room(2, 0)]
    first, second, last = rounds.asked
    assert isinstance(first, All)
    assert second == {"a-e1"}
    assert isinstance(last, All)
    assert rounds.said == ["a-e1 loss 0.500"]


def test_nothing_is_asked_while_the_sweep_may_want_everything() -> None:
    rounds = Rounds()
    with rounds.meanwhile.asking() as sweep:
        sweep.begun({name: Room(1, 0) for name in "abcde"})
        sweep.landed("a-e1", 0.5)
        for name in "ab":
            sweep.ended(name)
        assert rounds.rooms == []
        sweep.ended("c")
        assert rounds.news.acquire(timeout=30)
        assert rounds.rooms == [Room(2, 0)]


def test_what_cannot_be_asked_beside_a_sweep_is_left_for_afterwards() -> None:
    rounds = Rounds(fails=WarmthError("no room"))
    rounds.goes_through()
    assert [line for line in rounds.said if "is asked after it: no room" in line]


def test_another_error_is_raised_when_the_sweep_is_over() -> None:
    with pytest.raises(ValueError, match="odd"):
        Rounds(fails=ValueError("odd")).goes_through()


def test_a_sweep_that_fails_is_not_followed_by_asking() -> None:
    rounds = Rounds()
    with pytest.raises(KeyboardInterrupt):
        rounds.goes_through(KeyboardInterrupt())
    assert len(rounds.asked) == 1


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(("cpus", "bases", "has"), [(2, 1, True), (1, 1, False), (2, 2, False), (3, 2, True)])
def test_an_engine_needs_a_core_and_all_around_it_another(cpus: float, bases: int, has: bool) -> None:
    assert endpoint.has_place(Resources(), Room(cpus, 0), bases) is has


def rows(study: Study) -> pl.DataFrame:
    """What was said and how it was judged, but for when, and by which process."""
    run = load(study.folder)
    scores = run["scores"].select(*KEY, "judge", "outcome")
    replies = run["replies"].select(*KEY, "reply", "adapter", "request", "error")
    return replies.join(scores, on=KEY).sort(KEY).collect()


def test_both_orders_come_to_the_same_and_one_asks_while_the_other_waits(
    finished: tuple[Study, Findings], tmp_path: Path
) -> None:
    beside, _ = finished
    after = Study(**SETTINGS, resources={"runs": str(tmp_path), "rows": 16, "overlap": False})
    with (tmp_path / "said").open("w") as out, Display(Console(file=out)) as display:
        Run(after, display).finish()
    lines = (tmp_path / "said").read_text().splitlines()
    stages = [line.partition(":")[0] for line in lines]
    assert stages.index("serve") > max(place for place, stage in enumerate(stages) if stage == "train")
    assert rows(after).equals(rows(beside))
