"""Work shared among actors, one of which dies."""

import os
import time
from pathlib import Path

import pytest

from orchestrator import workers


class Squarer:
    """Squares numbers, and dies once in the middle of one."""

    def __init__(self, folder: Path, fatal: int | None) -> None:
        self._folder, self._fatal = folder, fatal

    def do(self, number: int) -> int:
        fallen = self._folder / "fallen"
        if number == self._fatal and not fallen.exists():
            fallen.touch()
            os._exit(1)
        if number < 0:
            raise ValueError(f"{number} is negative")
        time.sleep(0.01)
        return number**2


@pytest.mark.usefixtures("ray_session")
def test_every_unit_is_done_once_even_if_an_actor_dies(tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    workers.share(Squarer, (tmp_path, 7), range(20), 2, lambda unit, result: done.append((unit, result)))
    assert (tmp_path / "fallen").exists()
    assert sorted(done) == [(number, number**2) for number in range(20)]


@pytest.mark.usefixtures("ray_session")
def test_a_worker_s_error_is_raised(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="-1 is negative"):
        workers.share(Squarer, (tmp_path, None), [1, -1], 1, lambda *_: None)
