"""A run's folder: whole files or none, clear words about damage."""

import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import tables
from orchestrator.errors import WarmthError
from orchestrator.store import ASIDE, SCRATCH, Store, explain
from orchestrator.tables import Chat, Score, Turn


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "run")


def score(sample: str, outcome: str | None = "correct") -> Score:
    return Score("s", "rule", "t", sample, "neutral", "none", 0, "d", "j", outcome, None)


def test_rows_come_back_as_they_were(store: Store) -> None:
    rows = [score("a"), score("b", None)]
    store.write_rows(rows, Score, "scores", "rule", "t.arrow")
    assert store.read_rows(Score, "scores", "rule", "t.arrow") == rows
    assert store.read_rows(Score, "scores", "rule", "none.arrow") == []


def test_a_null_where_none_may_be_is_refused_and_leaves_nothing_behind(store: Store) -> None:
    chat = Chat("1", (Turn("user", "hello"), Turn("assistant", "hi")), "other")
    store.write_rows([chat, Chat("2", ())], Chat, "chats.arrow")
    with pytest.raises(AttributeError):
        store.write_rows(["not a chat"], Chat, "chats.arrow")
    assert store.read_rows(Chat, "chats.arrow") == [chat, Chat("2", ())]
    assert store.names() == ["chats.arrow"]


@pytest.mark.parametrize("damage", [b"", b"ARROW1", b"nothing like it" * 50])
def test_a_damaged_table_names_the_file_and_the_cure(store: Store, damage: bytes) -> None:
    store.write_rows([score("a")], Score, "scores.arrow")
    store.path("scores.arrow").write_bytes(damage)
    with pytest.raises(WarmthError, match=r"scores\.arrow.*delete it and run again"):
        store.read_rows(Score, "scores.arrow")


def test_a_truncated_table_is_an_error(store: Store) -> None:
    store.write_rows([score(str(i)) for i in range(500)], Score, "scores.arrow")
    whole = store.path("scores.arrow").read_bytes()
    store.path("scores.arrow").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WarmthError, match="delete it"):
        store.read_rows(Score, "scores.arrow")


def test_a_table_of_another_kind_is_an_error(store: Store) -> None:
    store.write_rows([Chat("1", ())], Chat, "x.arrow")
    with pytest.raises(WarmthError, match="not those of a Score table"):
        store.read_rows(Score, "x.arrow")


def test_a_missing_or_broken_json_file_is_named(store: Store) -> None:
    with pytest.raises(WarmthError, match=r"study\.json: not there"):
        store.read_json("study.json")
    store.write_json({"a": 1}, "study.json")
    store.path("study.json").write_text('{"a": ')
    with pytest.raises(WarmthError, match=r"study\.json: cannot be read"):
        store.read_json("study.json")


def test_one_process_at_a_time(store: Store) -> None:
    other = f"from orchestrator.store import Store\nwith Store({str(store.folder)!r}).locked(): print('in')"
    with store.locked():
        done = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=False)
    assert "another `warmth` process is working on this run" in done.stderr
    assert "in" not in done.stdout


def test_what_a_killed_process_left_is_swept_away(store: Store) -> None:
    left = store.path(f"{ASIDE}123", "half.arrow")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    with store.locked():
        assert store.names() == [".holder", ".lock", ".sweeping"]
    assert not left.parent.exists()


def test_scratch_is_no_part_of_the_run_and_goes_with_the_block_or_with_the_next_lock(store: Store) -> None:
    beside = store.folder.with_name(f"{SCRATCH}{store.folder.name}")
    with store.scratch() as one, store.scratch() as other:
        assert one != other
        assert one.parent == other.parent == beside
    assert not beside.exists()
    killed = "import os\nfrom orchestrator.store import Store\nwith Store({!r}).scratch(): os._exit(1)"
    subprocess.run([sys.executable, "-c", killed.format(str(store.folder))], check=False)
    assert beside.exists()
    with store.locked():
        assert not beside.exists()


def test_who_asks_on_demand_keeps_what_is_half_written_while_a_run_begins(store: Store) -> None:
    with store.beside() as another, store.aside() as half:
        assert not another
        with Store(store.folder).locked(), store.beside() as other:
            assert other
        assert half.exists()


def test_who_asked_on_demand_and_was_killed_keeps_nothing(store: Store) -> None:
    killed = f"import os\nfrom orchestrator.store import Store\nwith Store({str(store.folder)!r}).beside(): os._exit(1)"
    subprocess.run([sys.executable, "-c", killed], check=False)
    left = store.path(f"{ASIDE}123")
    left.mkdir()
    with store.locked():
        assert not left.exists()


def test_a_failure_while_writing_keeps_the_old_file(store: Store) -> None:
    store.write_json({"a": 1}, "x.json")
    with contextlib.suppress(RuntimeError), store.writing("x.json") as aside:
        aside.write_text("half")
        raise RuntimeError
    assert store.read_json("x.json") == {"a": 1}


def test_a_full_disk_is_said_so(store: Store) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(WarmthError, match="no space is left on this disk"), store.writing("x.json"):
        raise full
    assert "what is finished is kept" in str(explain(full, Path("x")))


def test_merging_replaces_by_key_and_never_doubles() -> None:
    old, new = [score("a"), score("b")], [score("b", "agrees"), score("c")]
    assert tables.merge(old, new) == [score("a"), score("b", "agrees"), score("c")]


def test_digests_of_many_are_those_of_each() -> None:
    each = [("a", (0.7, 32, 5)), ("b'\"", None)]
    assert tables.digests(("m", None), each) == [tables.digest("m", None, *parts) for parts in each]
