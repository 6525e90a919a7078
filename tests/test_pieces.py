"""Tables that grow piece by piece: every row once, whatever is interrupted, and no more unfiled than there is room."""

import asyncio
import dataclasses
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator import frames, pieced, pieces
from orchestrator.room import SIZE, Room
from orchestrator.store import Store
from orchestrator.tables import CURRENT, Score

PLACE = ("scores", "rule", "s", "t.arrow")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "run")


def score(sample: str, error: str | None = None) -> Score:
    return Score("s", "rule", "t", sample, "neutral", "none", 0, "d", "j", None if error else "correct", error)


def samples(store: Store) -> list[str]:
    return [row.sample for row in store.read_rows(Score, *PLACE)]


def test_a_table_and_its_pieces_are_read_as_one(store: Store) -> None:
    store.write_rows([score("a"), score("b", "no answer")], Score, *PLACE)
    store.write_piece([score("d")], Score, "one", *PLACE)
    store.write_piece([score("b")], Score, "two", *PLACE)
    expected = [score("a"), score("b"), score("d")]
    assert store.read_rows(Score, *PLACE) == expected
    lazily = frames.scan(Score, pieces.below(store.path("scores"))).sort("sample").collect()
    assert lazily.to_dicts() == [dataclasses.asdict(row) for row in expected]
    store.compact(Score, *PLACE)
    assert store.read_rows(Score, *PLACE) == expected
    assert [file.name for file in store.path("scores").rglob("*.arrow")] == ["t.arrow"]
    assert not pieces.folder(store.path(*PLACE)).exists()


def test_the_same_work_done_again_takes_its_place(store: Store) -> None:
    for outcome in ("no answer", None):
        store.write_piece([score("a", outcome)], Score, "one", *PLACE)
    assert store.read_rows(Score, *PLACE) == [score("a")]
    assert len(list(store.path("scores").rglob("*.arrow"))) == 1


def test_a_kill_between_the_table_and_its_pieces_end_is_harmless(store: Store) -> None:
    store.write_piece([score("a", "no answer")], Score, "one", *PLACE)
    store.write_piece([score("a"), score("b")], Score, "two", *PLACE)
    beside, kept = pieces.folder(store.path(*PLACE)), store.path("kept")
    shutil.copytree(beside, kept)
    store.compact(Score, *PLACE)
    shutil.copytree(kept, beside)
    assert pieces.standing(store.path(*PLACE)) == [store.path(*PLACE)]
    assert store.read_rows(Score, *PLACE) == [score("a"), score("b")]
    store.write_piece(
        [score("c")], Score, "one", *PLACE
    )  # the same name again, but other rows: not what the table holds
    assert samples(store) == ["a", "b", "c"]
    store.compact(Score, *PLACE)
    assert samples(store) == ["a", "b", "c"]


def test_verdicts_of_another_rubric_are_kept_and_only_the_newest_is_shown(store: Store) -> None:
    store.write_piece([score("a"), score("b")], Score, "one", *PLACE)
    store.write_piece([dataclasses.replace(score("a"), judged_by="a newer one")], Score, "two", *PLACE)
    for _ in range(2):
        assert sorted(row.judged_by for row in store.read_rows(Score, *PLACE)) == ["a newer one", "j", "j"]
        shown = frames.scan(Score, pieces.below(store.path("scores")), CURRENT[Score]).collect()
        assert sorted(shown["judged_by"]) == ["a newer one", "j"]
        store.compact(Score, *PLACE)


def test_a_table_that_is_written_whole_stands_for_its_pieces(store: Store) -> None:
    store.write_piece([score("a")], Score, "one", *PLACE)
    store.write_rows([score("b")], Score, *PLACE)
    assert samples(store) == ["b"]


def test_who_reads_while_pieces_move_misses_none(store: Store) -> None:
    """Rows only ever become more, whatever moment a reader looks at."""
    seen, over = list[int](), threading.Event()

    def read() -> None:
        while not over.is_set():
            seen.append(len(store.read_rows(Score, *PLACE)))
            seen.append(pieced.columns(Score, ["sample"], store.path(*PLACE)).num_rows)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(60):
        store.write_piece([score(f"{number:02}")], Score, f"p{number}", *PLACE)
        if number % 3 == 2:
            store.compact(Score, *PLACE)
    over.set()
    reader.join()
    assert seen == sorted(seen)
    assert len(samples(store)) == 60


class Endpoint:
    """Counts what was asked for and is not on file; answers the last first."""

    def __init__(self) -> None:
        self.asked, self.filed, self.most = 0, dict[tuple[int, ...], list[int]](), 0

    async def ask(self, number: int) -> int:
        self.asked += 1
        self.most = max(self.most, self.asked - len(self.rows))
        for _ in range(7 - number % 7):
            await asyncio.sleep(0)
        if number == 500:
            raise RuntimeError("out of order")
        return number

    def file(self, work: Sequence[int], rows: list[int]) -> None:
        self.filed[tuple(work)] = rows

    @property
    def rows(self) -> list[int]:
        return sorted(row for rows in self.filed.values() for row in rows)


@pytest.mark.parametrize("most", [1, 3, 64, 256])
async def test_no_more_is_unfiled_than_there_is_room_for(most: int) -> None:
    endpoint, room = Endpoint(), Room(most)
    await asyncio.gather(
        room.ask(range(100), endpoint.ask, endpoint.file), room.ask(range(1000, 1300), endpoint.ask, endpoint.file)
    )
    assert endpoint.rows == [*range(100), *range(1000, 1300)]
    assert endpoint.asked == 400
    assert endpoint.most <= most
    assert all(len(work) <= SIZE for work in endpoint.filed)


async def test_what_was_had_before_an_error_is_filed_and_there_is_room_again() -> None:
    endpoint, room = Endpoint(), Room(16)
    with pytest.raises(RuntimeError, match="out of order"):
        await room.ask(range(400, 600), endpoint.ask, endpoint.file)
    had = endpoint.rows
    assert had[:90] == list(range(400, 490))
    assert endpoint.asked - len(had) <= 16
    await room.ask(range(16), endpoint.ask, endpoint.file)
    assert endpoint.rows == [*range(16), *had]


async def test_one_that_answers_late_does_not_hold_up_the_others() -> None:
    endpoint, late = Endpoint(), asyncio.Event()

    async def ask(number: int) -> int:
        if number == 0:
            await late.wait()
        elif number == 199:
            late.set()
        return await endpoint.ask(number)

    await asyncio.wait_for(Room(32).ask(range(200), ask, endpoint.file), 20)
    assert endpoint.rows == list(range(200))
