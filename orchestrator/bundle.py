"""A run as a folder for a journal: what its report is made of, adapters, settings, prompts, licences, checksums."""

import dataclasses
import datetime
import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from . import bundle_text, evidence, methods, reporting, trials, withheld
from .errors import WarmthError
from .imported import slug
from .onfile import OnFile
from .sharing import Sharing, Texts, pathless, settings
from .store import Store
from .tables import Chat, Rewrite

SUMS = "SHA256SUMS"
COPIED = ("study.lock.json", "imported.json", "left_out.json", "chats.json")
"""What a run says of itself in JSON, where it is there."""


def write(
    run: str | Path, out: Path, texts: Texts = "licensed", sensitive: bool = False, adapters: bool = True
) -> Path:
    """Write a run's bundle to a folder, and its report. The same run makes the same checksums.

    `texts` and `sensitive` say what goes along, see `sharing`. Raises WarmthError if the folder is something else.
    """
    found = OnFile.of(run)
    if out.exists() and not evidence.is_there(out):
        raise WarmthError(f"{out}: is there already, and is no bundle; name another folder with --out")
    sharing = Sharing(found.plan.study if found.plan else None, texts, sensitive)
    store = Store(out.absolute().parent)
    with store.aside() as aside:
        folder = aside / out.name
        folder.mkdir()
        _fill(folder, found, sharing, adapters)
        _sum_up(folder)
        store.adopt(folder, out.name)
    reporting.report_on(evidence.read(out), sensitive)
    return out


def _fill(folder: Path, found: OnFile, sharing: Sharing, adapters: bool) -> None:
    whole = reporting.gather(found)
    told = dataclasses.replace(
        whole, folder=folder, about={**pathless(whole.about), **_public_about(found, whole.about, sharing)}
    )
    evidence.write(told, folder, sharing.told)
    _prompts(folder / "prompts", told, sharing)
    _questions(folder / "questions", found, sharing)
    _as_json(folder / "run", found, sharing)
    study = sharing.study
    if study and found.plan:
        _settings(folder, sharing)
        _conversations(folder / "conversations", found, sharing)
        _trials(folder, found, sharing, adapters)
    texts = {
        "METHODS.md": methods.paragraph(whole, study) + "\n",
        "LICENCES.md": bundle_text.licences(sharing, sorted(set(whole.answers["task"]))),
        "CITATION.cff": bundle_text.citation(whole),
        "VERSIONS.json": json.dumps(whole.about.get("versions", {}), indent=1) + "\n",
        "README.md": bundle_text.readme(whole, sorted(each.name for each in folder.iterdir())),
    }
    for name, text in texts.items():
        (folder / name).write_text(sharing.clean(text), encoding="utf-8")


def _public_about(found: OnFile, about: Any, sharing: Sharing) -> dict[str, Any]:
    """What depends on the day, or on whose machine it is, told so that it does not."""
    last = max((file.stat().st_mtime for file in found.store.path("replies").rglob("*.arrow")), default=0.0)
    day = datetime.datetime.fromtimestamp(last, datetime.UTC).date().isoformat()
    told = {"settings": settings(sharing.study)} if sharing.study and "settings" in about else {}
    return {**told, **({"date": day} if "date" in about else {})}


def _as_json(folder: Path, found: OnFile, sharing: Sharing) -> None:
    certificates = [("certificates", name) for name in found.store.names("certificates") if name.endswith(".json")]
    for place in [*((name,) for name in COPIED if found.store.has(name)), *certificates]:
        file = folder.joinpath(*place)
        file.parent.mkdir(parents=True, exist_ok=True)
        told = json.dumps(pathless(found.store.read_json(*place)), indent=1, ensure_ascii=False)
        file.write_text(sharing.clean(told) + "\n", encoding="utf-8")


def _settings(folder: Path, sharing: Sharing) -> None:
    """The study with every setting spelled out, for machines and for people, and the files that it names."""
    assert sharing.study is not None
    content, place = settings(sharing.study), folder / "configs"
    place.mkdir()
    named = [sharing.study.evaluation.pack, *(judge.rubric for judge in sharing.study.judges)]
    for file in map(Path, filter(None, named)):
        (place / file.name).write_text(sharing.clean(file.read_text(encoding="utf-8")), encoding="utf-8")
    texts = {
        "study.json": json.dumps(content, indent=1, ensure_ascii=False) + "\n",
        "study.yaml": yaml.safe_dump(_given(content), sort_keys=False, allow_unicode=True, width=120),
    }
    for name, text in texts.items():
        (place / name).write_text(sharing.clean(text), encoding="utf-8")


def _given(value: Any) -> Any:
    """Settings without those that are not given."""
    if isinstance(value, dict):
        return {name: _given(each) for name, each in value.items() if each is not None}
    return [_given(each) for each in value] if isinstance(value, list) else value


def _prompts(folder: Path, told: evidence.Evidence, sharing: Sharing) -> None:
    """Every prompt once, a file a task; ids and conditions alone where its text must stay."""
    folder.mkdir()
    columns = ["sample", "context", "belief", "draw", "prompt"]
    rows = sharing.told(told.answers.select("task", *columns)).unique(maintain_order=False).sort("task", *columns)
    for (task,), mine in rows.group_by("task", maintain_order=True):
        shown = mine.drop("task") if mine["prompt"].count() else mine.drop("task", "prompt")
        shown.write_ndjson(folder / f"{slug(str(task))}.jsonl")


def _questions(folder: Path, found: OnFile, sharing: Sharing) -> None:
    """The questions of the study's tasks with their answers; ids alone where their text must stay."""
    for name, asked in found.plan.asked.items() if found.plan else ():
        covered = withheld.marked(name) and not sharing.sensitive
        whole = sharing.passes(sharing.task(name)) and not covered
        try:
            rows = [dataclasses.asdict(each) if whole else {"id": each.id} for each in asked.samples]
        except WarmthError:
            continue  # they cannot be had here; the prompts say which ones were asked
        folder.mkdir(exist_ok=True)
        _lines(rows, folder / f"{name}.jsonl", sharing)


def _conversations(folder: Path, found: OnFile, sharing: Sharing) -> None:
    """What trials were tuned on; ids and kinds alone where the texts must stay."""
    store = found.store
    chats: list[Chat] = store.read_rows(Chat, "chats.arrow") if store.has("chats.arrow") else []
    if not chats:
        return
    folder.mkdir()
    whole = sharing.passes(sharing.chats)
    rows = [
        {"id": chat.id, "label": chat.label, **({"turns": [_turn(turn) for turn in chat.turns]} if whole else {})}
        for chat in chats
    ]
    _lines(rows, folder / "chats.jsonl", sharing)
    for name in store.names("rewrites"):
        if name.endswith(".arrow") and not name.endswith("-checks.arrow") and not name.startswith("balance-"):
            _lines(_rewrites(store, name, whole), folder / f"{name.removesuffix('.arrow')}.jsonl", sharing)


def _turn(turn: Any) -> dict[str, str]:
    return {"role": turn.role, "content": turn.content}


def _rewrites(store: Store, name: str, whole: bool) -> list[dict[str, Any]]:
    rows: Sequence[Rewrite] = store.read_rows(Rewrite, "rewrites", name)
    texts = ("user", "original", "rewritten") if whole else ()
    return [{field: getattr(row, field) for field in ("chat", "turn", "failed", "attempts", *texts)} for row in rows]


def _lines(rows: Iterable[dict[str, Any]], file: Path, sharing: Sharing) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    file.write_text(sharing.clean(text), encoding="utf-8")


def _trials(folder: Path, found: OnFile, sharing: Sharing, adapters: bool) -> None:
    """What is on file about trials that finished, and the adapters that they left, byte for byte."""
    assert found.plan is not None
    for trial in found.plan.trials:
        if record := trials.record(found.store, trial):
            (folder / "trials").mkdir(exist_ok=True)
            text = json.dumps(pathless(record), indent=1, ensure_ascii=False) + "\n"
            (folder / "trials" / f"{trial.name}.json").write_text(sharing.clean(text), encoding="utf-8")
    for name in sorted(set(trials.adapters(found.store, found.plan).values())) if adapters else ():
        if found.store.path("adapters", name).is_dir():
            shutil.copytree(found.store.path("adapters", name), folder / "adapters" / name)


def _sum_up(folder: Path) -> None:
    """Checksums of all that is there, as `sha256sum -c` reads them."""
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    lines = [f"{_sha256(folder / name)}  {name}\n" for name in files]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
