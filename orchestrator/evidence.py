"""All that a report is made of, as frames and a few words; it can be put into a folder and taken out of it again. Pure.

Replies and verdicts lie apart (`replies.parquet`, `scores.parquet`), so that nothing that was said lies there twice.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from .errors import WarmthError
from .likeness import Likeness
from .settings_analysis import Analysis
from .tables import KEY

PLACE = "evidence.json"
"""Says what the frames beside it do not; what has it is a bundle."""

FRAMES = ("warmth", "trials", "labels", "restyled", "balance", "attested")
VERDICT = ("judge", "outcome", "first_outcome", "error", "judge_error", "sampled_from", "chance")
Told = Callable[[pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True)
class Evidence:
    """What findings are built from, and what a reader must know about it; see `findings.build`."""

    folder: Path
    "The run's, or the bundle's: its `report/` is where the report goes."
    name: str
    answers: pl.DataFrame
    "What the analysis excludes included."
    warmth: pl.DataFrame
    trials: pl.DataFrame
    labels: pl.DataFrame
    restyled: pl.DataFrame
    balance: pl.DataFrame
    attested: pl.DataFrame
    personas: Sequence[str]
    refusing_is_right: Sequence[str]
    plateau: float
    analysis: Analysis
    likeness: Likeness
    about: Mapping[str, Any]


def is_there(folder: Path) -> bool:
    """Whether a folder holds evidence: whether it is a bundle."""
    return (folder / PLACE).is_file()


def write(evidence: Evidence, folder: Path, told: Told = lambda rows: rows) -> None:
    """Put it into a folder, every frame as `told` lets it be seen. The same evidence makes the same bytes."""
    rows = evidence.answers.sort(*KEY, "judge")
    scores = rows.select(*KEY, "reply_digest", *VERDICT)
    replies = rows.drop(VERDICT).unique(KEY, keep="first", maintain_order=True)
    frames = {"replies": replies, "scores": scores, **{name: getattr(evidence, name) for name in FRAMES}}
    about = {name: value for name, value in evidence.about.items() if not isinstance(value, pl.DataFrame)}
    frames |= {f"about-{name}": value for name, value in evidence.about.items() if name not in about}
    (folder / "tables").mkdir()
    for name, frame in frames.items():
        told(frame).write_parquet(folder / "tables" / f"{name}.parquet", compression="zstd")
    content = {
        "name": evidence.name,
        "columns": rows.columns,
        "personas": list(evidence.personas),
        "refusing_is_right": list(evidence.refusing_is_right),
        "plateau": evidence.plateau,
        "analysis": evidence.analysis.model_dump(mode="json"),
        "likeness": asdict(evidence.likeness),
        "about": about,
        "order": list(evidence.about),
    }
    (folder / PLACE).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(folder: Path) -> dict[str, pl.LazyFrame]:
    """The tables of a bundle, lazily, by name."""
    return {file.stem: pl.scan_parquet(file) for file in sorted((folder / "tables").glob("*.parquet"))}


def read(folder: Path) -> Evidence:
    """Take it out of a folder. Raises WarmthError if a file is missing or damaged."""
    try:
        content = json.loads((folder / PLACE).read_text(encoding="utf-8"))
        frames = {file.stem: pl.read_parquet(file) for file in sorted((folder / "tables").glob("*.parquet"))}
        replies = frames["replies"].drop("reply_digest")
        answers = frames["scores"].join(replies, on=KEY, how="left", maintain_order="left").select(content["columns"])
        about = {name: content["about"].get(name, frames.get(f"about-{name}")) for name in content["order"]}
        return Evidence(
            folder=folder,
            name=content["name"],
            answers=answers,
            warmth=frames["warmth"],
            trials=frames["trials"],
            labels=frames["labels"],
            restyled=frames["restyled"],
            balance=frames["balance"],
            attested=frames["attested"],
            personas=content["personas"],
            refusing_is_right=content["refusing_is_right"],
            plateau=content["plateau"],
            analysis=Analysis.model_validate(content["analysis"]),
            likeness=Likeness(**content["likeness"]),
            about=about,
        )
    except (OSError, ValueError, KeyError, pl.exceptions.PolarsError) as error:
        raise WarmthError(
            f"{folder}: this bundle lacks something ({error}): `sha256sum -c SHA256SUMS` in it says whether a file was"
            " changed; if none was, another version of this program made it, and that one reads it"
        ) from error
