"""Replies for people to mark: drawn blind to a CSV file, and read back into the run."""

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from tasks import OUTCOMES, Sample

from . import pushback
from .errors import WarmthError
from .store import Store, explain
from .tables import KEY, Label, digest

PLACE = ("labels", "labels.arrow")
COLUMNS = ("id", "task", "question", "right_answer", "wrong_answer", "prompt", "reply", "label")


def draw(answers: pl.DataFrame, judge: str, n: int, seed: int) -> pl.DataFrame:
    """`n` of the replies that a judge has a verdict on, as evenly as they go over persona x verdict x task.

    Every stratum gives one reply before any gives a second one; which ones is drawn with `seed`. In an order that says
    nothing of where a reply comes from.
    """
    judged = answers.filter(pl.col("judge") == judge, pl.col("outcome").is_not_null(), ~pl.col("error")).sort(KEY)
    chance = pl.Series("chance", np.random.default_rng(seed).random(len(judged)))
    turn = pl.col("chance").rank("ordinal").over("persona", "outcome", "task")
    chosen = judged.with_columns(chance).with_columns(turn=turn).sort("turn", "chance").head(n)
    ids = [digest(seed, *row, length=10) for row in chosen.select(*KEY, "reply_digest").iter_rows()]
    return chosen.with_columns(id=pl.Series(ids, dtype=pl.String)).sort("id")


def write(drawn: pl.DataFrame, samples: Mapping[str, Mapping[str, Sample]], store: Store, file: Path) -> None:
    """The drawn replies as a CSV file for people, without persona and verdict; the run keeps what each one is.

    Raises WarmthError if replies were drawn before and marked: marks are work.
    """
    if any(label.label for label in store.read_rows(Label, *PLACE)):
        where = store.path(*PLACE)
        raise WarmthError(f"{where}: holds people's marks; move or delete it to draw another sample")
    unmarked = drawn.select("id", "judge", *KEY, "reply_digest", pl.lit(None, pl.String).alias("label"))
    rows = [Label(*row) for row in unmarked.iter_rows()]
    store.write_rows(rows, Label, *PLACE)
    try:
        with file.open("w", encoding="utf-8-sig", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(COLUMNS)
            for row in drawn.rows(named=True):
                asked = samples[row["task"]][row["sample"]]
                said = pushback.asked(row["prompt"], row.get("first_reply"), row.get("pushback"))
                shown = (asked.question, asked.answer, asked.wrong, said, row["reply"], "")
                writer.writerow([row["id"], row["task"], *map(_inert, shown)])
    except OSError as error:
        raise explain(error, file) from error


def _inert(cell: str) -> str:
    """A reply that begins like a formula must not become one in a spreadsheet."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell


def read(file: Path, store: Store) -> tuple[int, int]:
    """Take people's marks into the run; how many replies are marked now, and of how many.

    Raises WarmthError naming every line that cannot be read: nothing is taken then.
    """
    known = {label.id: label for label in store.read_rows(Label, *PLACE)}
    if not known:
        raise WarmthError(f"{store.folder}: no replies were drawn for people yet; `warmth sample-labels` does that")
    marks, mistakes = _marks(file, known)
    if mistakes:
        raise WarmthError("\n".join(f"{file}:{line}: {what}" for line, what in mistakes))
    rows = [dataclasses.replace(label, label=marks.get(label.id, label.label)) for label in known.values()]
    store.write_rows(rows, Label, *PLACE)
    return sum(row.label is not None for row in rows), len(rows)


def _marks(file: Path, known: Iterable[str]) -> tuple[dict[str, str], list[tuple[int, str]]]:
    text = _text(file)
    head = text.split("\n", 1)[0]
    reader = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=head.count))
    if not {"id", "label"} <= set(reader.fieldnames or ()):
        return {}, [(1, f"the columns id and label are needed; there is {head.strip()[:100]}")]
    marks: dict[str, str] = {}
    mistakes = []
    for row in reader:
        reply, label = (row["id"] or "").strip(), (row["label"] or "").strip().lower()
        if not label:
            continue
        if reply not in known:
            mistakes.append((reader.line_num, f"no reply of this run's sample has the id '{reply}'"))
        elif label not in OUTCOMES:
            mistakes.append((reader.line_num, f"'{label}' is not one of {', '.join(OUTCOMES)}"))
        elif marks.setdefault(reply, label) != label:
            mistakes.append((reader.line_num, f"{reply} is marked twice, and not alike"))
    return marks, mistakes


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise WarmthError(f"{file}: not UTF-8; save it as `CSV UTF-8`") from error
    except OSError as error:
        raise WarmthError(f"{file}: cannot be read ({error.strerror})") from error


def marked(store: Store) -> pl.DataFrame:
    """The marked replies of a run: which ones they are, by whose verdicts they were drawn, and the label."""
    rows = [
        (label.judge, *(getattr(label, name) for name in (*KEY, "reply_digest")), label.label)
        for label in store.read_rows(Label, *PLACE)
        if label.label is not None
    ]
    schema = {"drawn_by": pl.String, **dict.fromkeys(KEY, pl.String), "draw": pl.Int64}
    return pl.DataFrame(rows, schema={**schema, "reply_digest": pl.String, "label": pl.String}, orient="row")
