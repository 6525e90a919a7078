"""What a study set out to find, written down before its first reply (`study.lock.json`), and what changed later."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from . import chats, config
from .config import Study
from .errors import WarmthError
from .plan import Plan
from .settings_analysis import Analysis, Contrast
from .store import STUDY, Store
from .tables import digest

PLACE = "study.lock.json"
APART = {"name", "resources", "budget", "analysis"}
"""Settings that have no part in what is asked of whom."""

LONGEST = 60


def freeze(plan: Plan, store: Store) -> dict[str, Any]:
    """Write the lock if there is none, and give what it says. One that is there stays as it is."""
    if not store.has(PLACE):
        study = _filed(store)
        store.write_json(content(Plan(study) if study else plan, store), PLACE)
    found: dict[str, Any] = store.read_json(PLACE)
    return found


def preregister(plan: Plan, store: Store) -> dict[str, Any]:
    """The same before a run. Raises WarmthError if another plan or analysis is frozen there."""
    with store.locked():
        found = freeze(plan, store)
    lines = [*_apart(_known(found["settings"]), _settings(plan.study), ""), *_analysis(found, plan.study.analysis)]
    if lines:
        raise WarmthError(
            f"{store.path(PLACE)}: frozen on {found['frozen'][:10]} already, and not this: {'; '.join(lines)}. Give the"
            " study another name; what deviates from a lock is run all the same, and reported as exploratory"
        )
    return found


def content(plan: Plan, store: Store) -> dict[str, Any]:
    """What the lock of a plan says: its settings, and how findings will be judged."""
    analysis = plan.study.analysis
    return {
        "study": plan.study.name,
        "frozen": datetime.now(UTC).isoformat(timespec="seconds"),
        "replies_before": any(store.has("replies", subject.name) for subject in plan.subjects),
        "plan_digest": plan_digest(plan),
        "subjects": len(plan.subjects),
        **analysis.model_dump(mode="json"),
        "primary": primary(plan.study).model_dump(mode="json"),
        "settings": _settings(plan.study),
        "version": version("warmth"),
        "commit": commit(),
    }


def primary(study: Study) -> Contrast:
    """The primary contrast; of a study without these personas, the last one against the first."""
    wanted, there = study.analysis.primary, [persona.name for persona in study.personas]
    if {wanted.persona, wanted.baseline} <= set(there):
        return wanted
    return wanted.model_copy(update={"persona": there[-1], "baseline": there[0]})


def plan_digest(plan: Plan) -> str:
    """Identifies what is asked of whom: every setting that has a part in it, and every subject by its name."""
    settings = json.dumps(_settings(plan.study), sort_keys=True)
    return digest(settings, sorted(subject.name for subject in plan.subjects), length=64)


def deviations(plan: Plan | None, analysis: Analysis, store: Store) -> list[str]:
    """What of plan and analysis is not as it was written down before the first reply, a line each; none without a lock.

    Findings that rest on any of it are exploratory. Raises WarmthError if the lock cannot be read.
    """
    if plan is None or not store.has(PLACE):
        return []
    found: dict[str, Any] = store.read_json(PLACE)
    study = _filed(store) or plan.study
    late = ["replies were on file before the lock was written"] if found["replies_before"] else []
    return [*late, *_apart(_known(found["settings"]), _settings(study), ""), *_analysis(found, analysis)]


def _filed(store: Store) -> Study | None:
    """The study as it was run, whatever of it is asked now."""
    return config.of_run(store.folder) if store.has(STUDY) else None


def _analysis(found: Mapping[str, Any], analysis: Analysis) -> Iterator[str]:
    """The same of margins, families and exclusions; settings that the lock does not know are younger than it."""
    now = analysis.model_dump(mode="json")
    if now["primary"] == Contrast().model_dump(mode="json"):
        now["primary"] = found["primary"]
    known = {name: value for name, value in now.items() if name in found}
    return _apart({name: found[name] for name in known}, known, "analysis.")


def _settings(study: Study) -> dict[str, Any]:
    """Everything that is set, but for what has no part in the plan."""
    resolved = study.model_copy(update={"data": chats.resolved(study.data)})
    return resolved.model_dump(mode="json", exclude={**dict.fromkeys(APART, True), "training": {"search": {"tried"}}})


def _known(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a lock with what a later version added by default; as they are where it cannot read them."""
    try:
        return _settings(Study.model_validate({"name": "locked", **settings}))
    except ValidationError:
        return settings


def _apart(before: Any, now: Any, path: str) -> Iterator[str]:
    """Where two settings differ, by their paths; lists of named things by their names."""
    old, new = _by_name(before), _by_name(now)
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if old != new:
            yield f"{path.rstrip('.')}: {_short(old)} in the lock, now {_short(new)}"
        return
    for name in dict.fromkeys([*old, *new]):
        if name not in new:
            yield f"{path}{name}: {_short(old[name])} in the lock, not set now"
        elif name not in old:
            yield f"{path}{name}: not set in the lock, now {_short(new[name])}"
        else:
            yield from _apart(old[name], new[name], f"{path}{name}.")


def _by_name(value: Any) -> Any:
    named = isinstance(value, list) and value and all(isinstance(each, dict) and "name" in each for each in value)
    return {each["name"]: each for each in value} if named else value


def _short(value: Any) -> str:
    said = json.dumps(value, ensure_ascii=False)
    return said if len(said) <= LONGEST else f"{said[:LONGEST]}..."


def commit() -> str | None:
    """The commit that the program's files are of, with `+` where they were changed; None if they are not under git."""
    here = Path(__file__).resolve().parent
    try:
        head, changed = (
            subprocess.run(
                ["git", "-C", str(here), *words], capture_output=True, text=True, check=True, timeout=10
            ).stdout
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", "."])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.strip() + ("+" if changed.strip() else "")
