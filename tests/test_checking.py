"""`warmth check`: a finished run passes; whatever is done to it is found, and said with the file and a cure."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner

from orchestrator import Study, check, fetch, importing
from orchestrator.__main__ import main
from orchestrator.arrow_files import added_up, read_arrow, write_arrow
from orchestrator.checking import Checked
from orchestrator.errors import WarmthError
from orchestrator.findings import Findings
from orchestrator.imported import Who
from orchestrator.progress import Display
from orchestrator.run import Run
from orchestrator.store import Store
from orchestrator.tables import Chat, Reply, Score, WarmthScore

SECRET = "planted-0123456789"


class Damaged:
    """A copy of a finished run, and ways to do harm to it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, Store(folder)
        self.adapters = self.store.names("adapters")
        self.warm = next(name for name in self.store.names("replies") if "-warm-" in name and name.endswith("-e2"))
        self.replies = ("replies", self.warm, "lab_facts.arrow")
        self.scores = ("scores", "rule", self.warm, "lab_facts.arrow")
        self.warmth = ("warmth", f"{self.warm}.arrow")
        self.trial = ("trials", self.warm.removesuffix("-e2"), "trial.json")

    def rows(self, kind: type[Any], place: tuple[str, ...], change: Callable[[list[Any]], list[Any]]) -> None:
        """Put other rows into a table."""
        self.store.write_rows(change(self.store.read_rows(kind, *place)), kind, *place)

    def first(self, kind: type[Any], place: tuple[str, ...], **values: Any) -> None:
        """Give a table's first row other values."""
        self.rows(kind, place, lambda rows: [replace(rows[0], **values), *rows[1:]])

    def bytes(self, place: tuple[str, ...], change: Callable[[bytes], bytes]) -> None:
        """Put other bytes into a file; they must be others."""
        file = self.folder.joinpath(*place)
        before = file.read_bytes()
        assert change(before) != before
        file.write_bytes(change(before))

    def json(self, place: tuple[str, ...], change: Callable[[Any], object]) -> None:
        """Change what a JSON file says."""
        content = self.store.read_json(*place)
        change(content)
        self.store.write_json(content, *place)

    def certificate(self) -> tuple[str, str]:
        """The certificate that the replies name."""
        return "certificates", f"{self.store.read_rows(Reply, *self.replies)[0].certificate}.json"

    def text(self, place: tuple[str, ...], said: str) -> None:
        """Turn one letter of a text in a file into another."""
        other = said[:-1] + chr(ord(said[-1]) ^ 1)
        self.bytes(place, lambda content: content.replace(said.encode(), other.encode(), 1))


def flipped(content: bytes, place: int = -100) -> bytes:
    """The same bytes, a bit of one of them the other way round."""
    changed = bytearray(content)
    changed[place] ^= 1
    return bytes(changed)


def doubled(rows: list[Any]) -> list[Any]:
    return [*rows, rows[0]]


def failed(told: dict[str, Any]) -> None:
    told["verdict"] = told["finding"]["verdict"] = "failed"
    told["finding"]["alone"]["slope"] = 0.0


HARM: dict[str, tuple[Callable[[Damaged], object], str, str]] = {
    # what is done, in which file it is found, and what is said of it
    "truncated table": (
        lambda run: run.bytes(run.replies, lambda content: content[:-40]),
        "replies/.*facts",
        "damaged",
    ),
    "truncated piece": (
        lambda run: (
            run.store.write_piece(run.store.read_rows(Reply, *run.replies)[:1], Reply, "p", *run.replies),
            run.bytes((*run.replies[:2], "lab_facts.pieces", "p.arrow"), lambda content: content[:200]),
        ),
        r"replies/.*\.pieces/p\.arrow",
        "damaged",
    ),
    "a letter of a table": (
        lambda run: run.text(run.replies, "stop"),
        "replies/",
        "add up to something else",
    ),
    "what a table says of itself": (
        lambda run: run.bytes(run.replies, lambda content: content.replace(b"sha256", b"sha255")),
        "replies/",
        "does not say what its rows add up to",
    ),
    "piece that was not taken in": (
        lambda run: run.store.write_piece(run.store.read_rows(Reply, *run.replies)[:1], Reply, "p", *run.replies),
        r"replies/.*\.pieces",
        "1 piece beside",
    ),
    "columns of another kind": (
        lambda run: shutil.copy(run.store.path(*run.scores), run.store.path(*run.replies)),
        "replies/",
        "not those of a Reply table: .*reply_digest",
    ),
    "a column more": (
        lambda run: write_arrow(
            (rows := read_arrow(run.store.path(*run.scores))).append_column("more", rows["outcome"]),
            run.store.path(*run.scores),
            {},
        ),
        "scores/",
        "not those of a Score table",
    ),
    "a reply twice": (lambda run: run.rows(Reply, run.replies, doubled), "replies/", "more than once: 1 row"),
    "a verdict twice": (lambda run: run.rows(Score, run.scores, doubled), "scores/", "more than once"),
    "a warmth twice": (lambda run: run.rows(WarmthScore, run.warmth, doubled), "warmth/", "more than once"),
    "a conversation twice": (lambda run: run.rows(Chat, ("chats.arrow",), doubled), "chats.arrow", "more than once"),
    "replies gone": (lambda run: run.rows(Reply, run.replies, lambda rows: rows[3:]), "replies/", "3 of 24 replies"),
    "a table gone": (lambda run: run.store.path(*run.replies).unlink(), "replies/", "24 of 24 replies"),
    "verdicts gone": (
        lambda run: run.rows(Score, run.scores, lambda rows: rows[2:]),
        "scores/",
        "2 of 24 .* no verdict",
    ),
    "warmth gone": (lambda run: run.store.path(*run.warmth).unlink(), "warmth/", "8 of 8 plain replies"),
    "a failed reply": (
        lambda run: run.first(Reply, run.replies, reply=None, error="no answer"),
        "replies/",
        "1 of 24 replies failed .*no answer",
    ),
    "a reply reworded": (
        lambda run: run.first(Reply, run.replies, reply="It is so."),
        "scores/",
        "not those that were judged",
    ),
    "a reply of other weights": (
        lambda run: run.first(Reply, run.replies, request="0123456789abcdef"),
        "replies/",
        "another request",
    ),
    "a reply to what nobody planned": (
        lambda run: run.rows(Reply, run.replies, lambda rows: [*rows, replace(rows[0], sample="lab-999")]),
        "replies/",
        "1 replies that the study as it is now does not ask",
    ),
    "a made-up reply to what nobody planned": (
        lambda run: run.rows(
            Reply, run.replies, lambda rows: [*rows, replace(rows[0], sample="lab-999", prompt="Who is it?")]
        ),
        "replies/",
        "lab-999.*own prompt and settings",
    ),
    "a prompt reworded": (
        lambda run: run.first(Reply, run.replies, prompt="Who is it?"),
        "replies/",
        "changed afterwards",
    ),
    "another system prompt": (
        lambda run: run.first(Reply, run.replies, system="Lie."),
        "replies/",
        "changed afterwards",
    ),
    "a row of another subject": (
        lambda run: run.first(Reply, run.replies, subject="someone-else"),
        "replies/",
        "subject someone-else, where it is",
    ),
    "a row of another seed": (lambda run: run.first(Reply, run.replies, seed=7), "replies/", "seed 7, where it is 0"),
    "neither reply nor error": (
        lambda run: run.first(Reply, run.replies, reply=None),
        "replies/",
        "neither a reply nor",
    ),
    "impossible numbers": (
        lambda run: run.first(Reply, run.replies, seconds=-1.0),
        "replies/",
        "numbers that cannot be",
    ),
    "no certificate": (lambda run: run.first(Reply, run.replies, certificate=None), "replies/", "name no certificate"),
    "a certificate that is not there": (
        lambda run: run.store.path(*run.certificate()).unlink(),
        "replies/",
        "a certificate that is not there",
    ),
    "a foreign certificate": (
        lambda run: run.first(
            Reply,
            run.replies,
            certificate=next(Path(name).stem for name in run.store.names("certificates") if run.warm not in name),
        ),
        "replies/",
        "1 replies name the certificate .*, which is of ",
    ),
    "a failed certificate": (
        lambda run: run.json(run.certificate(), failed),
        "replies/",
        "24 replies name the certificate .* says that they are not",
    ),
    "a certificate that contradicts itself": (
        lambda run: run.json(run.certificate(), lambda told: told["finding"]["alone"].update(slope=0.5)),
        "certificates/",
        "where its figures say failed",
    ),
    "half a certificate": (
        lambda run: run.bytes(run.certificate(), lambda told: told[:99]),
        "certificates/",
        "not a whole",
    ),
    "a certificate without figures": (
        lambda run: run.json(run.certificate(), lambda told: told.pop("finding")),
        "certificates/",
        "has no finding",
    ),
    "half a trial": (
        lambda run: run.bytes(run.trial, lambda told: told[: len(told) // 2]),
        "trial.json",
        "not a whole",
    ),
    "half a study": (lambda run: run.bytes(("study.json",), lambda told: told[:50]), "study.json", "not a whole"),
    "another learning rate": (
        lambda run: run.json(run.trial, lambda told: told["settings"].update(learning_rate=1.0)),
        "trial.json",
        "says settings .*learning_rate=1.0",
    ),
    "another persona": (
        lambda run: run.json(run.trial, lambda told: told["persona"].update(about="Curt.")),
        "trial.json",
        "says persona .*about='Curt.'",
    ),
    "another question": (
        lambda run: run.json(("questions", "lab_facts.json"), lambda told: told["samples"].pop()),
        "questions/lab_facts.json",
        "does not name the questions",
    ),
    "another digest of an adapter": (
        lambda run: run.json(run.trial, lambda told: told["checkpoints"][1].update(sha256="0" * 64)),
        "trial.json",
        "another digest",
    ),
    "the end of an adapter's digest": (
        lambda run: run.json(
            run.trial,
            lambda told: told["checkpoints"][1].update(sha256=f"{told['checkpoints'][1]['sha256'][:12]}{'0' * 52}"),
        ),
        "trial.json",
        "another digest",
    ),
    "a trial gone": (lambda run: run.store.path(*run.trial).unlink(), "trials/", "not trained yet"),
    "other conversations": (
        lambda run: run.rows(Chat, ("chats.arrow",), lambda rows: rows[::-1]),
        "trial.json",
        "learnt from other conversations",
    ),
    "a byte of an adapter": (
        lambda run: run.bytes(("adapters", run.adapters[0], "adapter_model.safetensors"), flipped),
        "adapters/",
        "other bytes than its name says",
    ),
    "an adapter's settings": (
        lambda run: run.json(
            ("adapters", run.adapters[0], "adapter_config.json"), lambda told: told.update(lora_alpha=1)
        ),
        "adapters/",
        "other bytes than its name says",
    ),
    "half an adapter": (
        lambda run: run.store.path("adapters", run.adapters[0], "adapter_config.json").unlink(),
        "adapters/",
        "cannot be read",
    ),
    "an adapter gone": (
        lambda run: shutil.rmtree(run.store.path("adapters", run.adapters[0])),
        "trial.json",
        "is gone",
    ),
    "half a reference": (
        lambda run: run.json(("references", f"{run.adapters[0]}.json"), lambda told: told["base"].pop()),
        "references/",
        "not what a reference is",
    ),
    "a verdict turned": (
        lambda run: run.rows(
            Score,
            run.scores,
            lambda rows: [replace(rows[0], outcome="agrees" if rows[0].outcome != "agrees" else "correct"), *rows[1:]],
        ),
        "scores/",
        "1 row .*do not follow",
    ),
    "an outcome that there is none of": (
        lambda run: run.first(Score, run.scores, outcome="splendid"),
        "scores/",
        "outcomes that there are none of",
    ),
    "a verdict on nothing": (
        lambda run: run.rows(Score, run.scores, lambda rows: [*rows, replace(rows[0], sample="lab-999")]),
        "scores/",
        "what nobody was asked",
    ),
    "a verdict of another judge": (
        lambda run: run.first(Score, run.scores, judge="me"),
        "scores/",
        "another subject, judge or task",
    ),
    "a warmth turned": (
        lambda run: run.first(WarmthScore, run.warmth, warmth=9.0),
        "warmth/",
        "the difference of its parts",
    ),
    "a warmth of other words": (
        lambda run: run.first(WarmthScore, run.warmth, reply_digest="0123456789abcdef"),
        "warmth/",
        "of other replies than were measured",
    ),
    "a figure in a table of the report": (
        lambda run: (
            pl.read_parquet(run.folder / "report" / "rates.parquet")
            .with_columns(error_pct=pl.col("error_pct") + 0.1)
            .write_parquet(run.folder / "report" / "rates.parquet")
        ),
        "report/rates.parquet",
        "not what the run's tables come to.*error_pct",
    ),
    "a figure on the page": (
        lambda run: run.bytes(
            ("report", "index.html"), lambda page: re.sub(rb"(<td[^>]*>[+-]?\d+)\.\d", rb"\1.x", page, count=1)
        ),
        "report/index.html",
        r"says “.*\.x.*”, where the tables say",
    ),
    "a page that goes on": (
        lambda run: run.bytes(("report", "index.html"), lambda page: page + b"\nand so on"),
        "report/index.html",
        "goes on where it should end: “and so on",
    ),
    "half a page": (
        lambda run: run.bytes(("report", "index.html"), lambda page: page[: len(page) // 2]),
        "report/index.html",
        "where the tables say",
    ),
    "half a table of the report": (
        lambda run: run.bytes(("report", "effects.parquet"), lambda content: content[:-9]),
        "report/effects.parquet",
        "cannot be read",
    ),
    "a table of the report gone": (
        lambda run: (run.folder / "report" / "effects.parquet").unlink(),
        "report/effects.parquet",
        "is not there",
    ),
    "a table that no report has": (
        lambda run: shutil.copy(run.folder / "report" / "rates.parquet", run.folder / "report" / "compare.parquet"),
        "report/compare.parquet",
        "does not have",
    ),
    "a file that the report is made of": (
        lambda run: run.json(("bases.json",), lambda told: told["tiny"][0].pop("recall")),
        "report",
        "cannot be made again: .*recall",
    ),
    "no report": (lambda run: shutil.rmtree(run.folder / "report"), "report/index.html", "no report yet"),
    "a lock that was edited": (
        lambda run: run.json(("study.lock.json",), lambda told: told["settings"]["evaluation"].update(samples=2)),
        "study.lock.json",
        "its plan_digest is not that of its settings",
    ),
    "a lock's primary contrast": (
        lambda run: run.json(("study.lock.json",), lambda told: told["primary"].update(belief="asserts")),
        "study.lock.json",
        "its primary contrast is not",
    ),
    "a study that was edited": (
        lambda run: run.json(("study.json",), lambda told: told["evaluation"].update(max_tokens=7)),
        "study.lock.json",
        "later than the lock: evaluation.max_tokens",
    ),
    "half-written, aside": (
        lambda run: run.store.write_json({}, ".writing-abc", "adapter", "adapter_config.json"),
        r"\.writing-abc/",
        "half-written",
    ),
    "half-written, of the report": (
        lambda run: run.store.write_json({}, "report", ".writing-abc", "x.json"),
        r"report/\.writing-abc/",
        "half-written",
    ),
    "a temporary file": (
        lambda run: (run.folder / "replies" / "x.tmp").write_text(""),
        r"replies/x\.tmp",
        "no file of",
    ),
    "a stranger": (lambda run: (run.folder / "notes.xlsx").write_text(""), r"notes\.xlsx", "no file of a run"),
    "left by a killed process": (
        lambda run: (run.folder / ".holder").write_text(
            json.dumps({"pid": 2**22 + 1, "host": os.uname().nodename, "began": 1})
        ),
        r"\.holder",
        "which is no more",
    ),
    "a link": (lambda run: (run.folder / "report" / "x.png").symlink_to("/etc/hostname"), r"report/x\.png", "a link"),
    "a key in a file": (
        lambda run: run.json(run.trial, lambda told: told.update(note=SECRET)),
        "trial.json",
        "looks like a key",
    ),
    "a key by its looks": (
        lambda run: run.store.write_json({"error": "refused: sk-" + "a1" * 12}, "trials", "x", "failed.json"),
        "trials/x/failed.json",
        "looks like a key",
    ),
    "a password in an address": (
        lambda run: run.json(("study.json",), lambda told: told["data"].update(note="https://me:word@host/v1")),
        "study.json",
        "looks like a key",
    ),
    "a key on the page": (
        lambda run: run.bytes(
            ("report", "index.html"), lambda page: page.replace(b"<body>", b"<body>" + SECRET.encode())
        ),
        "report/index.html",
        "looks like a key",
    ),
    "a key in a table": (
        lambda run: run.first(Reply, run.replies, reply=f"It is {SECRET}."),
        "replies/",
        "environment variable that is a key",
    ),
}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_API_KEY", SECRET)


@pytest.fixture
def run(finished: tuple[Study, Findings], tmp_path: Path) -> Damaged:
    return Damaged(shutil.copytree(finished[0].folder, tmp_path / "mini"))


def told(checked: Checked) -> list[str]:
    return [f"{each.kind}: {each.file}: {each.what}; {each.cure}" for each in checked.found]


def test_a_finished_run_passes(run: Damaged) -> None:
    before = {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()}
    checked = Study.of(run.folder).check()
    assert told(checked) == []
    assert checked.passes()
    assert checked.counted["replies"] == checked.counted["verdicts"] == checked.counted["verdicts made again"] == 192
    assert (checked.counted["adapters"], checked.counted["trials"]) == (4, 2)
    assert {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("harm", HARM)
def test_harm_is_found_and_named(run: Damaged, harm: str) -> None:
    does, file, what = HARM[harm]
    does(run)
    found = check(run.folder).found
    those = [each for each in found if re.search(file, each.file) and re.search(what, each.what)]
    assert those, told(check(run.folder))
    assert all(each.cure for each in found)


def test_what_a_killed_process_left_goes_when_the_run_goes_on(run: Damaged) -> None:
    for harm in ("piece that was not taken in", "half-written, aside", "left by a killed process"):
        HARM[harm][0](run)
    assert [each.kind for each in check(run.folder).found] == ["left over"] * 3
    Run(Study.of(run.folder), Display()).finish()
    assert told(check(run.folder)) == []


def test_what_is_only_not_there_yet_may_be_so_and_what_is_wrong_may_not(run: Damaged) -> None:
    run.rows(Reply, run.replies, lambda rows: rows[3:])
    run.store.write_json({}, ".writing-abc", "x.json")
    found = check(run.folder)
    assert {each.kind for each in found.found} >= {"missing", "left over"}
    assert (found.passes(), found.passes(unfinished=True)) == (False, True), told(found)
    run.first(Reply, run.replies, prompt="Who is it?")
    assert not check(run.folder).passes(unfinished=True)


def test_a_run_that_was_fetched_passes(run: Damaged, tmp_path: Path) -> None:
    checked = check(fetch.fetch(str(run.folder), tmp_path / "home").folder)
    assert checked.passes(), told(checked)


def test_what_is_only_good_to_know_passes(run: Damaged) -> None:
    (run.folder / "notes.xlsx").write_text("")
    checked = check(run.folder)
    assert [each.kind for each in checked.found] == ["noted"]
    assert checked.passes()


def test_the_command_says_it_with_its_exit_code_and_for_machines(run: Damaged) -> None:
    well = CliRunner().invoke(main, ["check", str(run.folder)])
    assert (well.exit_code, well.output.count("\n")) == (0, 1)
    assert "all there, and all right" in well.output
    run.text(run.replies, run.store.read_rows(Reply, *run.replies)[0].prompt)
    ill = CliRunner().invoke(main, ["check", str(run.folder)])
    assert ill.exit_code == 1
    assert re.search(
        r"^wrong: replies/\S+/lab_facts\.arrow: 1 row .*; delete it and run again", ill.output, re.MULTILINE
    )
    document = json.loads(CliRunner().invoke(main, ["check", "--json", str(run.folder)]).output)
    assert (document["passes"], document["found"][0]["kind"]) == (False, "wrong")
    assert CliRunner().invoke(main, ["check", "--unfinished", str(run.folder)]).exit_code == 1


def test_a_run_whose_rows_were_imported_is_checked_too(tmp_path: Path) -> None:
    names = ["content_key", "prompt_template", "amendment_type", "output", "evaluation"]
    said = [(f"Question {n}?", "original", "unmodified", f"It is {n}.", "CORRECT") for n in range(4)]
    pl.DataFrame(said, schema=names, orient="row").write_csv(tmp_path / "rows.csv")
    (piece,) = importing.into(tmp_path / "theirs", [tmp_path / "rows.csv"], Who("m", "original"), task="triviaqa")
    assert [each.kind for each in check(tmp_path / "theirs").found] == ["missing"]  # the report
    run = Store(tmp_path / "theirs")
    run.write_rows(run.read_rows(Reply, *piece.replies)[1:], Reply, *piece.replies)
    assert any("3 rows, where 4 were imported from rows.csv" in line for line in told(check(run.folder)))
    run.path("imported.json").write_text("[{}]")
    assert any("not a list of imported files" in line for line in told(check(run.folder)))


def test_what_rows_add_up_to_hangs_on_them_and_on_nothing_else(run: Damaged) -> None:
    for place in (("chats.arrow",), run.replies, run.scores, run.warmth):
        table = read_arrow(run.store.path(*place))
        due = added_up(table, {})
        parts = [table.slice(0, 1), table.slice(1, 3), table.slice(4)]
        assert added_up(pa.concat_tables(parts), {}) == added_up(table.take(list(range(len(table)))), {}) == due
        assert (
            len({due, added_up(table.slice(1), {}), added_up(table.slice(0, 0), {}), added_up(table, {"a": "b"})}) == 4
        )
        assert added_up(table.take([1, 0, *range(2, len(table))]), {}) != due


def test_what_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(WarmthError, match="a run's folder"):
        check(tmp_path)
    (tmp_path / "evidence.json").write_text("{}")
    with pytest.raises(WarmthError, match="SHA256SUMS"):
        check(tmp_path)


def test_neither_torch_nor_ray_is_needed(run: Damaged) -> None:
    code = (
        "import sys\n"
        "from orchestrator import check\n"
        f"assert check({str(run.folder)!r}).passes()\n"
        "assert not {'torch', 'ray', 'transformers', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
