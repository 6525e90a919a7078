"""`warmth import`: replies and verdicts made elsewhere become rows of a run."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from . import elsewhere, imported, signs, tables
from .elsewhere import Read, Told
from .errors import WarmthError
from .imported import Piece, Who
from .onfile import OnFile
from .store import IMPORTED, Store
from .tables import Reply, Score


def into(
    run: str | Path,
    files: Sequence[Path],
    who: Who,
    task: str,
    judge: str = imported.JUDGE,
    refusals: str = "published",
) -> list[Piece]:
    """Import files into a run, which is made if there is none; what was imported before stays as it is.

    For the layout and for `refusals` see `elsewhere.read`. Model, persona and task are free text; `judge` is who gave
    the verdicts, where a file does not say. Raises WarmthError with every mistake, and imports nothing then.
    """
    found, store = elsewhere.read(files, refusals), Store(Path(run).absolute())
    with store.locked():
        there = OnFile.at(store, empty=True)
        there.check_apart(who)
        return file(store, found, who, task, judge, refusals, there.question_ids(task))


def file(
    store: Store,
    found: Mapping[Path, Read],
    who: Who,
    task: str,
    judge: str,
    refusals: str,
    ids: Mapping[str, str],
) -> list[Piece]:
    """File what was read, and say what is in each file; what is on file already stays as it is.

    `ids` are the names of questions that the run itself asks, by their words. Raises WarmthError, and files nothing,
    where a reply on file is another one.
    """
    before, pieces = imported.of_run(store), []
    replies: dict[tuple[str, ...], list[Reply]] = {}
    scores: dict[tuple[str, ...], list[Score]] = {}
    for source, read in found.items():
        piece = _piece(source, read, who, task, read.judge or judge, refusals)
        rows = [_rows(told, piece, ids) for told in read.told]
        said = replies.setdefault(piece.replies, store.read_rows(Reply, *piece.replies))
        replies[piece.replies] = _joined(source, said, [reply for reply, _ in rows], store)
        judged = scores.setdefault(piece.scores, store.read_rows(Score, *piece.scores))
        scores[piece.scores] = _judged(source, judged, [score for _, score in rows], store)
        pieces.append(piece)
    for place, said in replies.items():
        store.write_rows(said, Reply, *place)
    for place, judged in scores.items():
        store.write_rows(judged, Score, *place)
    same = {_same(piece) for piece in pieces}
    kept = [piece for piece in before if _same(piece) not in same or piece in pieces]
    store.write_json([asdict(piece) for piece in dict.fromkeys([*kept, *pieces])], IMPORTED)
    return pieces


def _same(piece: Piece) -> tuple[str, ...]:
    """What makes two imports the same one, however refusals were told."""
    return piece.sha256, piece.subject, piece.task, piece.judge


def _piece(source: Path, read: Read, who: Who, task: str, judge: str, refusals: str) -> Piece:
    outcomes = [told.outcome for told in read.told if told.output]
    return Piece(
        file=source.name,
        sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
        subject=who.subject,
        model=who.model,
        persona=who.persona,
        seed=who.seed,
        epoch=who.epoch,
        task=task,
        judge=judge,
        refusals=refusals,
        rows=len(read.told),
        refused=outcomes.count("refused"),
        unscored=outcomes.count(None),
        failed=len(read.told) - len(outcomes),
        repeated=read.repeated,
    )


def _rows(told: Told, piece: Piece, ids: Mapping[str, str]) -> tuple[Reply, Score]:
    sample = ids.get(told.question) or hashlib.sha256(told.question.encode()).hexdigest()[:12]
    reply = Reply(
        subject=piece.subject,
        model=piece.model,
        persona=piece.persona,
        trial=None,
        epoch=piece.epoch,
        seed=piece.seed,
        dose=0,
        task=piece.task,
        sample=sample,
        context=told.context,
        belief=told.belief,
        draw=told.draw,
        row_seed=0,
        system=None,
        prompt=told.prompt,
        prompt_set="imported",
        reply=told.output,
        finish_reason=told.finish_reason,
        prompt_tokens=None,
        reply_tokens=None,
        adapter=None,
        request=tables.digest("imported", told.prompt),
        error=None if told.output else "no output in the imported file",
        seconds=0,
        role_header=signs.role_header(told.output) if told.output else None,
    )
    by = tables.digest("imported", piece.judge, piece.refusals)
    return reply, Score.on(reply, judge=piece.judge, judged_by=by, outcome=told.outcome, error=reply.error)


def _joined(source: Path, old: Sequence[Reply], new: Sequence[Reply], store: Store) -> list[Reply]:
    """Replies on file and those of a file. A reply that is there keeps its place; one that lacked its text gets it."""
    said = {tables.key(row): row for row in old if row.reply is not None}
    other = [
        row for row in new if (was := said.get(tables.key(row))) and (was.prompt, was.reply) != (row.prompt, row.reply)
    ]
    if other:
        raise WarmthError(
            f"{source}: {len(other)} replies are not those that {store.folder} has of {other[0].model} as"
            f" {other[0].persona} on {other[0].task} (first: {other[0].prompt[:60]!r}); import them with another --seed"
            " or --persona, or into another run. Nothing was imported."
        )
    return tables.merge(old, new)


def _judged(source: Path, old: Sequence[Score], new: Sequence[Score], store: Store) -> list[Score]:
    """The same of verdicts: one that is there may be missing, or go by another rule for refusals, but not differ."""
    said = {tables.key(row): row for row in old if row.outcome is not None}
    other = [
        row
        for row in new
        if (was := said.get(tables.key(row))) and was.judged_by == row.judged_by and was.outcome != row.outcome
    ]
    if other:
        raise WarmthError(
            f"{source}: {len(other)} verdicts are not those that {store.folder} has of the same replies by"
            f" {other[0].judge}; import them with another --judge, or into another run. Nothing was imported."
        )
    return tables.merge(old, new)
