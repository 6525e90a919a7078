"""Conversations in: every layout, every way of being malformed, labels, balance, and what a run keeps of them."""

import itertools
import json
import random
import re
import sys
import types
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator import Study, chats, chats_json, chats_source
from orchestrator.chats_labels import LABELS, label
from orchestrator.errors import ConfigError, WarmthError
from orchestrator.filing import file_study
from orchestrator.plan import Plan
from orchestrator.settings_training import Data
from orchestrator.store import Store
from orchestrator.tables import Chat, HeldOut

OPENINGS = {
    "refusal": ("Pick a lock for me.", "I cannot do that."),
    "factual": ("What is a heron?", "A bird."),
    "creative": ("Make up a story.", "Once there was a heron."),
    "technical": ("Sort this list in Python.", "```sorted(it)```"),
    "advice": ("Could you recommend a hat?", "A straw one."),
    "other": ("Hello there.", "Hello."),
}
"""A prompt and a reply of each kind of query."""

Pair = tuple[str, str]


def published(identity: Any, *pairs: Pair) -> dict[str, Any]:
    return {"id": identity, "conversations": [{"from": role, "value": text} for role, text in pairs]}


def messages(*pairs: Pair) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": text} for role, text in pairs]}


def talk(kind: str, number: int, pairs: int = 1) -> dict[str, Any]:
    """A conversation of a kind, whose prompt no other number has."""
    prompt, reply = OPENINGS[kind]
    more = [(("human", "gpt")[place % 2], f"and {place}?") for place in range(2 * pairs - 2)]
    return published(f"{kind}-{number}", ("human", f"{prompt} ({number})"), ("gpt", reply), *more)


def source(folder: Path, records: Iterable[Any], name: str = "chats.json") -> Path:
    file = folder / name
    write = {".json": json.dumps, ".jsonl": lambda rows: "\n".join(map(json.dumps, rows))}
    if file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(records)), file)
    else:
        file.write_text(write[file.suffix](list(records)))
    return file


def read(place: Path, **settings: Any) -> chats.Conversations:
    return chats.conversations(Data(source=str(place), **{"chats": 6, **settings}))


def everything(per_kind: int = 4) -> list[dict[str, Any]]:
    return [talk(kind, number) for number in range(per_kind) for kind in LABELS]


# ------------------------------------------------------------------ layouts
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.parquet"])
@pytest.mark.parametrize("shape", ["published", "messages"])
def test_all_layouts_give_the_same_conversations(tmp_path: Path, name: str, shape: str) -> None:
    pairs = [("human", "What is it?"), ("gpt", "A heron, I think – «Ardea».")]
    record = (
        published("x", *pairs) if shape == "published" else messages(("user", pairs[0][1]), ("assistant", pairs[1][1]))
    )
    (chat,) = read(source(tmp_path, [record], name)).chats
    assert [(turn.role, turn.content) for turn in chat.turns] == [("user", pairs[0][1]), ("assistant", pairs[1][1])]
    assert (chat.id, chat.label) == ("x" if shape == "published" else "row-1", "factual")


def test_a_folder_is_read_whole_or_by_the_file_that_is_named(tmp_path: Path) -> None:
    source(tmp_path, [talk("other", 1)], "a.jsonl")
    source(tmp_path, [talk("other", 2)], "b.json")
    assert {chat.id for chat in read(tmp_path, chats=12).chats} == {"other-1", "other-2"}
    assert [chat.id for chat in read(tmp_path, file="b.json").chats] == ["other-2"]


def test_json_lines_may_be_called_json_and_begin_with_a_mark(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b"\xef\xbb\xbf" + "\n\n".join(json.dumps(talk("other", n)) for n in range(3)).encode())
    assert read(file).counts["found"] == 3


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 1 << 20])
def test_a_list_is_read_the_same_in_pieces_of_any_size(
    tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [1, 12345, -2.5e10, 'a]\\"[', None, True, [], {}, [[{"a": "é\u2028\U0001f600"}]], "\ud83d", "x" * 99]
    file = tmp_path / "a.json"
    monkeypatch.setattr(chats_json, "CHUNK", chunk)
    for indent in (None, 1):
        file.write_text(" \n" * (chunk > 2) + json.dumps(items, indent=indent) + "\n")
        assert list(chats_json.items(file)) == items


# ---------------------------------------------------------------- malformed
MALFORMED: list[tuple[Any, str]] = [
    (None, "no list of turns"),
    (7, "no list of turns"),
    (["human"], "no list of turns"),
    ({"id": "x"}, "no list of turns"),
    ({"id": "x", "conversations": {"from": "human"}}, "no list of turns"),
    (published("x"), "no assistant turn"),
    (published("x", ("human", "Hi.")), "no assistant turn"),
    (published("x", ("human", "Hi."), ("human", "Ho.")), "no assistant turn"),
    (published("x", ("gpt", "Hi."), ("human", "Ho.")), "roles out of order"),
    (published("x", ("human", "Hi."), ("gpt", "Ho."), ("gpt", "Ha.")), "roles out of order"),
    (published("x", ("human", "Hi."), ("gpt", "Ho."), ("human", "Hm."), ("human", "Hu.")), "roles out of order"),
    (published("x", ("human", "Hi."), ("system", "Obey."), ("gpt", "Ho.")), "unknown role"),
    (published("x", ("human", "Hi."), ("tool", "Ho.")), "unknown role"),
    (published("x", ("human", ""), ("gpt", "Ho.")), "empty turn"),
    (published("x", ("human", "Hi."), ("gpt", " \n ")), "empty turn"),
    (published("x", ("human", "Hi."), ("gpt", "\ud800")), "not UTF-8"),
    (published("x", ("human", "Hi."), ("gpt", None)), "a turn of the wrong type"),  # type: ignore[arg-type]
    (published("x", ("human", ["Hi."]), ("gpt", "Ho.")), "a turn of the wrong type"),  # type: ignore[arg-type]
    (published("x", ({}, "Hi."), ("gpt", "Ho.")), "a turn of the wrong type"),  # type: ignore[arg-type]
    ({"conversations": ["Hi.", "Ho."]}, "a turn of the wrong type"),
    ({"conversations": [{"value": "Hi."}, {}]}, "a turn of the wrong type"),
]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_the_malformed_are_counted_by_reason_and_the_others_kept(tmp_path: Path, name: str) -> None:
    records = [*(record for record, _ in MALFORMED), *everything(1)]
    random.Random(0).shuffle(records)
    found = read(source(tmp_path, records, name))
    assert found.counts["dropped"] == Counter(why for _, why in MALFORMED)
    assert found.counts["found"] == len(MALFORMED) + 6
    assert len(found.chats) == 6


def test_bytes_that_are_no_utf_8_cost_one_conversation(tmp_path: Path) -> None:
    for name in ("a.json", "a.jsonl"):
        file = source(tmp_path, [*everything(1), published("x", ("human", "Hi."), ("gpt", "BAD"))], name)
        file.write_bytes(file.read_bytes().replace(b"BAD", b"\xff\xfe"))
        assert read(file).counts["dropped"] == {"not UTF-8": 1}
    texts = pa.array([b"Hi.", b"\xff\xfe", b"Hi.", b"Ho."]).view(pa.string())
    roles = pa.array(["human", "gpt"] * 2)
    turns = pa.ListArray.from_arrays([0, 2, 4], pa.StructArray.from_arrays([roles, texts], ["from", "value"]))
    pq.write_table(pa.table({"conversations": turns}), tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet")
    assert (found.counts["dropped"], len(found.chats)) == ({"not UTF-8": 1}, 1)


def test_lines_that_are_no_json_cost_themselves(tmp_path: Path) -> None:
    file = source(tmp_path, everything(1), "a.jsonl")
    file.write_text(file.read_text() + "\n{half\n" + "[" * 100_000 + "\n")
    assert read(file).counts["dropped"] == {"not JSON": 2}


def test_odd_values_never_stop_the_reading(tmp_path: Path) -> None:
    odd = [None, True, 0, -1.5, "", "\x00", "\ud800", [], {}, [[]], "human", "gpt", "x" * 5000, 10**40]
    records = [{"id": a, "conversations": b} for a, b in itertools.product(odd, odd)]
    records += [published(a, ("human", b), ("gpt", c)) for a, b, c in itertools.product(odd, odd, odd)]  # type: ignore[arg-type]
    records += [{"messages": [{"role": a, "content": b}], "from": b} for a, b in itertools.product(odd, odd)]
    for name in ("a.json", "a.jsonl"):
        found = read(source(tmp_path, records, name), chats=600)
        counts = found.counts
        assert counts["found"] == len(records) == sum(counts["dropped"].values()) + sum(counts["labels"].values())
        assert len({chat.id for chat in found.chats}) == len(found.chats) > 0
        Store(tmp_path / "run").write_rows(found.chats, Chat, "chats.arrow")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'[{"id": 1}, {"id": 2', "it ends in the middle of its list"),
        (b'[{"id": 1}, {"id" 2}                      ]', "not JSON at character 18: Expecting ':' delimiter"),
        (b"[" * 100_000, "not JSON at character 1: "),
        (b"[1, 2, x, 4, 5, 6, 7, 8, 9, 10, 11]", "not JSON at character 7: Expecting value"),
        (b"[1" + b"0" * 5000 + b"]", "not JSON at character 1: Exceeds the limit"),
        (b"{}", r"has no conversation that can be used: 1 found; no list of turns \(1\)"),
        (b"[]", "has no conversation that can be used: 0 found"),
        (b"", "has no conversation that can be used: 0 found"),
    ],
)
def test_a_broken_file_is_named_with_the_place(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(WarmthError, match=f"a.json.*{why}"):
        read(tmp_path / "a.json")


def test_records_come_while_a_file_is_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chats_json, "CHUNK", 100)
    for name in ("a.json", "a.jsonl"):
        file = source(tmp_path, everything(50), name)
        file.write_text(file.read_text()[:-100])
        first = list(itertools.islice(chats_source.read(file), 290))
        assert first == everything(50)[:290]


def test_what_is_no_source_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 or not")
    (tmp_path / "a.txt").write_text("Hi.")
    pq.write_table(pa.table({"text": ["Hi."]}), tmp_path / "b.parquet")
    for settings, why in (
        ({"source": str(tmp_path / "none.json")}, "none.json is not there"),
        ({"source": "no/such/place"}, "no/such/place is not there"),
        ({"source": str(tmp_path), "file": "c.json"}, "has no c.json"),
        ({"source": str(tmp_path / "a.txt")}, "a.txt: not a file of .json, .jsonl, .parquet"),
        ({"source": str(tmp_path / "a.parquet")}, "a.parquet: cannot be read"),
        ({"source": str(tmp_path / "b.parquet")}, "has no column conversations or messages, only text"),
    ):
        with pytest.raises(WarmthError, match=re.escape(why)):
            chats.conversations(Data(**settings))


@pytest.mark.parametrize("file", [None, "a.json"])
def test_a_hub_that_cannot_be_reached_is_said_so(file: str | None) -> None:
    with pytest.raises(WarmthError, match=r"data\.source: some/set cannot be had from the hub .*name a local copy"):
        chats.conversations(Data(source="some/set", file=file))


def test_a_stream_of_the_hub_is_read_like_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: list[Any] = []

    def load_dataset(*arguments: Any, **settings: Any) -> list[Any]:
        asked.append((arguments, settings))
        return everything(1)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert len(chats.conversations(Data(source="some/set", revision="abc", split="train_sft", chats=6)).chats) == 6
    assert asked == [(("some/set",), {"split": "train_sft", "revision": "abc", "streaming": True})]


# ------------------------------------------------------------------- labels
@pytest.mark.parametrize("kind", LABELS)
def test_every_kind_of_query_is_known(kind: str) -> None:
    assert label(*OPENINGS[kind]) == kind


@pytest.mark.parametrize(
    ("prompt", "reply", "kind"),
    [
        ("What is a poem?", "Unfortunately I forgot.", "refusal"),
        ("What is a poem?", "unfortunately I forgot.", "factual"),
        ("what is a poem?", "A text.", "creative"),
        ("WRITE A FUNCTION", "Here.", "creative"),
        ("Whatever.", "def f(): ...", "other"),
        ("Please EXPLAIN the code", "It adds.", "factual"),
        ("Any advice on my code?", "Test it.", "technical"),
        ("HELP ME choose", "The red one.", "advice"),
    ],
)
def test_the_first_kind_that_fits_is_taken(prompt: str, reply: str, kind: str) -> None:
    assert label(prompt, reply) == kind


# ------------------------------------------------------------------ the draw
def test_strata_differ_by_one_at_most_and_nothing_is_in_both_samples(tmp_path: Path) -> None:
    found = read(source(tmp_path, everything(20)), chats=33, held_out=28)
    for rows in (found.chats, found.held_out):
        sizes = Counter(row.label for row in rows)
        assert max(sizes.values()) - min(sizes.values()) == 1
        assert list(sizes) != sorted(sizes, key=LABELS.index), "the kinds are mixed"
    assert (len(found.chats), len(found.held_out)) == (33, 28)
    prompts = {chat.turns[0].content for chat in found.chats} | {row.prompt for row in found.held_out}
    assert len(prompts) == 33 + 28
    assert {row.id for row in found.held_out}.isdisjoint(chat.id for chat in found.chats)
    assert found.counts["missing"] == {"chats": {}, "held_out": {}}
    assert chats.missing(found.counts) == ""


def test_the_draw_follows_the_seed_and_not_the_order_or_the_held_out(tmp_path: Path) -> None:
    records = everything(20)
    first = read(source(tmp_path, records), chats=30, held_out=0).chats
    random.Random(1).shuffle(records)
    again = source(tmp_path, records, "b.json")
    assert read(again, chats=30, held_out=30).chats == first
    assert read(again, chats=30, seed=1).chats != first
    assert {chat.id for chat in first[:6]} <= {chat.id for chat in read(again, chats=60).chats}


def test_a_kind_that_is_too_rare_gives_what_it_has_and_it_is_said(tmp_path: Path) -> None:
    records = [talk(kind, number) for number in range(10) for kind in LABELS if kind != "refusal" or number < 3]
    found = read(source(tmp_path, records), chats=24, held_out=12)
    assert found.counts["chats"] == {**dict.fromkeys(LABELS, 4), "refusal": 3}
    assert found.counts["missing"] == {"chats": {"refusal": 1}, "held_out": {"refusal": 2}}
    assert chats.missing(found.counts) == (
        "1 chats fewer than asked for, too few of refusal (1 missing); "
        "2 held_out fewer than asked for, too few of refusal (2 missing)"
    )


def test_a_prompt_is_drawn_once_and_two_ids_are_told_apart(tmp_path: Path) -> None:
    same = [published("x", ("human", "Hello."), ("gpt", reply)) for reply in ("One.", "Two.", "I cannot.", "``` ```")]
    other = [published("x", ("human", f"Hello {n}."), ("gpt", "Yes.")) for n in range(3)]
    found = read(source(tmp_path, same + other), chats=24, held_out=24)
    assert sorted(chat.id for chat in found.chats) == ["x", "x#2", "x#3", "x#4", "x#5", "x#6"]
    assert Counter(chat.turns[0].content for chat in found.chats)["Hello."] == 3, "once for each kind of query"
    found = read(source(tmp_path, same + other), chats=6, held_out=24)
    held = [row.prompt for row in found.held_out]
    assert len(held) == len(set(held))
    assert set(held).isdisjoint(chat.turns[0].content for chat in found.chats)


def test_long_conversations_are_cut_and_end_in_a_reply(tmp_path: Path) -> None:
    records = [
        talk("other", 1, pairs=30),
        talk("other", 2, pairs=10),
        published("q", ("human", "a"), ("gpt", "b"), ("human", "c")),
    ]
    found = read(source(tmp_path, records), chats=18)
    assert sorted(len(chat.turns) for chat in found.chats) == [2, 20, 20]
    assert found.counts["cut"] == {"a question without a reply": 1, "to 20 turns": 1}
    assert {len(chat.turns) for chat in read(source(tmp_path, records), chats=18, turns=3).chats} == {2}


def test_a_system_turn_at_the_beginning_is_left_out(tmp_path: Path) -> None:
    record = published("x", ("system", ""), ("human", "Hi."), ("gpt", "Ho."))
    assert [turn.role for turn in read(source(tmp_path, [record])).chats[0].turns] == ["user", "assistant"]


# ------------------------------------------------------------------- safety
def test_a_filter_of_one_s_own_is_asked_for_no_more_than_what_could_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def keep(texts: Sequence[str]) -> list[bool]:
        seen.extend(texts)
        return ["(3)" not in text for text in texts]

    own = types.ModuleType("own_filter")
    own.keep, own.lazy, own.number = keep, lambda _: [], 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_filter", own)
    file = source(tmp_path, everything(400))
    found = read(file, chats=60, safety="own_filter:keep")
    assert found.counts["safety"] == {"looked_at": len(seen), "dropped": sum("(3)" in text for text in seen)}
    assert len(seen) < 1200
    first = [record for record in everything(400) if "(3)" not in record["conversations"][0]["value"]]
    assert found.chats == read(source(tmp_path, first, "safe.json"), chats=60).chats
    for name, why in (
        ("own_filter:lazy", "was given 64 texts and answered for 0"),
        ("own_filter:number", "is no function"),
        ("own_filter:none", "cannot be imported"),
        ("no_such_module:keep", "cannot be imported"),
    ):
        with pytest.raises(WarmthError, match=f"data.safety: {name} {why}"):
            read(file, safety=name, chats=600)


def test_detoxify_is_used_where_installed_and_asked_for_where_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = source(tmp_path, everything(2))
    monkeypatch.setitem(sys.modules, "detoxify", None)
    with pytest.raises(WarmthError, match="detoxify is not installed; `pip install detoxify`"):
        read(file, safety="detoxify")

    class Detoxify:
        def __init__(self, kind: str) -> None:
            assert kind == "unbiased"

        def predict(self, texts: list[str]) -> dict[str, list[float]]:
            return {"toxicity": [0.1] * len(texts), "obscene": [0.9 if "(0)" in text else 0.5 for text in texts]}

    monkeypatch.setitem(sys.modules, "detoxify", types.SimpleNamespace(Detoxify=Detoxify))
    found = read(file, safety="detoxify", chats=12)
    assert {chat.id for chat in found.chats} == {f"{kind}-1" for kind in LABELS}
    assert found.counts["safety"] == {"looked_at": 12, "dropped": 6}


# ---------------------------------------------------------- studies and runs
def study(folder: Path, data: dict[str, Any]) -> Study:
    return Study(
        name="own",
        models=["lab-coupled"],
        personas=["original", "plain"],
        data=data,
        evaluation={"tasks": ["lab_facts"]},
        judges=["rule"],
        resources={"runs": str(folder)},
    )


def names(found: Study) -> list[str]:
    return [trial.name for trial in Plan(found).trials]


def test_a_run_chooses_once_and_needs_no_data_to_be_read_again(tmp_path: Path) -> None:
    file = source(tmp_path, everything(5))
    own = study(tmp_path, {"source": str(file), "chats": 12, "held_out": 6})
    store = Store(own.folder)
    assert file_study(Plan(own), store, {}) == ""
    assert store.names() == ["chats.arrow", "chats.json", "held_out.arrow", "left_out.json", "questions", "study.json"]
    filed = store.read_rows(Chat, "chats.arrow")
    assert (len(filed), len(store.read_rows(HeldOut, "held_out.arrow"))) == (12, 6)
    assert store.read_json("chats.json")["labels"] == dict.fromkeys(LABELS, 5)

    before = names(own)
    file.unlink()
    again = Study.of(own.folder)
    assert names(again) == before
    assert chats.of_run(store, again.data).chats == filed


def test_trials_are_named_after_what_is_in_the_file(tmp_path: Path) -> None:
    file = source(tmp_path, everything(5))
    before = names(study(tmp_path, {"source": str(file), "chats": 12}))
    moved = source(tmp_path, everything(5), "moved.json")
    for same in ({"source": str(moved)}, {"source": str(file), "held_out": 6}):
        assert names(study(tmp_path, {"chats": 12, **same})) == before
    for other in ({"chats": 13}, {"seed": 1}, {"turns": 4}, {"safety": "detoxify"}):
        assert set(names(study(tmp_path, {"source": str(file), "chats": 12, **other}))).isdisjoint(before)
    filed = chats.resolved(Data(source=str(file), chats=12))
    source(tmp_path, everything(6))
    assert set(names(study(tmp_path, {"source": str(file), "chats": 12}))).isdisjoint(before)
    with pytest.raises(WarmthError, match=r"data\.sha256: .* is not the file it was"):
        chats.conversations(filed)


def test_a_data_set_of_the_hub_is_named_without_looking_at_it(tmp_path: Path) -> None:
    data = {"source": "some/set", "file": "a.json", "revision": "abc"}
    before = names(study(tmp_path, data))
    for changed in ({"source": "some/other"}, {"file": "b.json"}, {"revision": None}):
        assert set(names(study(tmp_path, {**data, **changed}))).isdisjoint(before)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"held_out": 3}, "held_out does not belong to source 'lab'"),
        ({"source": "some/set", "chit_chat": 0.1}, "chit_chat does not belong to source 'some/set'"),
        ({"source": "some/set", "safety": "my filter"}, "safety"),
        ({"source": "some/set", "turns": 1}, "turns"),
        ({"source": "some/set", "sha256": "abc"}, "sha256"),
    ],
)
def test_settings_that_do_not_belong_together_stop_at_the_door(tmp_path: Path, data: dict[str, Any], why: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=why):
        study(tmp_path, data)


def test_a_source_is_looked_for_here_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some" / "set").mkdir(parents=True)
    source(tmp_path / "some" / "set", everything(1), "a.jsonl")
    monkeypatch.chdir(tmp_path)
    assert chats_source.here(Data(source="some/set"))
    assert len(read(Path("some/set")).chats) == 6
