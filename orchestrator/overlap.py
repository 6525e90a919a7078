"""What has landed of a sweep is asked while the sweep goes on, where it leaves room.

Nothing is scheduled here. Whether there is room follows from the size of the cluster and from what Ray has yet to give
to the sweep, which only becomes less: room that is there once stays. So neither should ever wait for the other.
"""

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Protocol

from .cluster import Room
from .errors import WarmthError

IDLE_S = 600.0
"""Seconds without news after which a round ends. Its engine has what no share should want, but Ray may find no place
for one all the same, where what is left is in pieces; so an engine goes before anything waits for it for ever."""
INTERRUPTED_S = 5.0
"""Seconds that a round in progress gets to end when the sweep ends with an error, or by Ctrl-C."""


class All:
    """Every subject's name."""

    def __contains__(self, name: object) -> bool:
        return True


class Landing(Protocol):
    """What has landed, as it does."""

    def landing(self) -> Collection[str] | All | None:
        """The names of subjects that there is news of, waited for; None if none came in time, or none will."""

    def put_back(self, subjects: Collection[str] | All) -> None:
        """These were not asked."""


class Meanwhile:
    """Hears of a sweep, and has what lands asked in a thread of its own.

    `ask` is a round: it asks within so much room what is there, and may go on with what lands. `enough` says whether an
    engine has its place in some room; `note` hears of every checkpoint.
    """

    def __init__(
        self,
        ask: Callable[[Room, Landing], None],
        enough: Callable[[Room], bool],
        whole: Room,
        note: Callable[[str], None],
        say: Callable[[str], None],
    ) -> None:
        self._ask, self._enough, self._whole, self._note, self._say = ask, enough, whole, note, say
        self._news = threading.Condition()
        self._needs: dict[str, Room] | None = None
        self._landed: set[str] | All | None = All()  # what is not trained can be asked at once
        self._over = False
        self._trouble: BaseException | None = None

    def say(self, line: str) -> None:
        """Something worth a line."""
        self._say(line)

    def begun(self, needs: Mapping[str, Room]) -> None:
        """The shares of a sweep, by name, and what each has of the cluster while it lasts."""
        with self._news:
            self._needs = dict(needs)
            self._news.notify()

    def landed(self, subject: str, loss: float) -> None:
        """A checkpoint is there."""
        self._note(f"{subject} loss {loss:.3f}")
        with self._news:
            if not isinstance(self._landed, All):
                self._landed = {subject, *(self._landed or ())}
            self._news.notify()

    def ended(self, share: str) -> None:
        """A share needs nothing any more."""
        with self._news:
            if self._needs:
                self._needs.pop(share, None)
            self._news.notify()

    @contextlib.contextmanager
    def asking(self, rest: bool = True) -> Iterator["Meanwhile"]:
        """Ask for the length of a block; a round in progress is waited for, and its error raised.

        At its end it asks the `rest` too, if the engine that is up is as good for it as another.
        """
        thread = threading.Thread(target=self._work, name="ask meanwhile", daemon=True)
        thread.start()
        try:
            yield self
        except BaseException:
            self._end(None)
            thread.join(INTERRUPTED_S)
            raise
        self._end(All() if rest else None)
        thread.join()
        if self._trouble:
            raise self._trouble

    def _end(self, left: All | None) -> None:
        with self._news:
            self._over, self._landed = True, left
            self._news.notify()

    def landing(self) -> Collection[str] | All | None:
        """What there is news of; when the sweep is over that is everything, once."""
        with self._news:
            self._news.wait_for(lambda: self._landed or self._over, IDLE_S)
            found, self._landed = self._landed, None
            return found

    def put_back(self, subjects: Collection[str] | All) -> None:
        """These are news again."""
        with self._news:
            mine = self._landed or ()
            self._landed = All() if isinstance(subjects, All) or isinstance(mine, All) else {*mine, *subjects}

    def _work(self) -> None:
        try:
            while self._wait():
                self._ask(self._room(), self)
        except WarmthError as error:
            self._say(f"asking beside the sweep has ended; what is left is asked after it: {error}")
        except BaseException as error:
            self._trouble = error

    def _wait(self) -> bool:
        """Until there is something to ask, and room for it; false when the sweep is over."""
        with self._news:
            self._news.wait_for(lambda: self._over or (self._landed and self._enough(self._room())))
            return not self._over

    def _room(self) -> Room:
        """What the shares that are not through yet will never want; none before it is known which there are."""
        return self._whole.without(self._needs.values()) if self._needs is not None else Room(0, 0)
