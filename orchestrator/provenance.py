"""Where a run's figures come from: models and their revisions, adapters, versions, the commit of this program."""

import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from . import models
from .evaluate import Served
from .plan import Plan

MODELS = ("torch", "transformers", "peft")
"""What a model's numbers depend on."""
PACKAGES = (*MODELS, "ray", "polars", "matplotlib", "statsmodels")


def commit() -> str | None:
    """The commit of this program, `-dirty` if files differ from it; None where it is not a checkout."""
    here = Path(__file__).parent
    asked = ["git", "-C", str(here), "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip() or None
    except (OSError, subprocess.CalledProcessError):
        return None


def versions(packages: Iterable[str] = ("warmth", *PACKAGES)) -> dict[str, str]:
    """This program's version and those of what its figures depend on, or of these packages."""
    return {name: version(name) for name in packages}


def here() -> dict[str, Any]:
    """When, and with what, a report is made."""
    return {"date": datetime.now(UTC).date().isoformat(), "versions": versions(), "commit": commit()}


def of_models(plan: Plan) -> pl.DataFrame:
    """Each model: where its weights come from, at which revision, and the digest of what it is."""
    rows = [
        (
            model.name,
            f"lab: {model.lab}, seed {model.seed}" if model.lab else model.hosted.url if model.hosted else model.path,
            model.hosted.model if model.hosted else model.revision or "",
            models.identity(model),
        )
        for model in plan.study.models
    ]
    return pl.DataFrame(rows, schema=("model", "from", "revision", "identity"), orient="row")


def of_subjects(plan: Plan, served: Mapping[str, Served]) -> pl.DataFrame:
    """What answered under which name: for an adapter the name ends in its weights' SHA-256."""
    rows = [(subject.name, served[subject.name].name) for subject in plan.subjects if subject.name in served]
    return pl.DataFrame(rows, schema={"subject": pl.String, "served as": pl.String}, orient="row")
