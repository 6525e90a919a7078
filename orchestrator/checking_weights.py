"""Adapters, trials and certificates of a run: are they what their names and one another say they are?"""

import dataclasses
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from . import attest_files, engine_folders, models, rewritten, trials
from .attest import VERDICTS, Finding, Match
from .checking_notes import Notes
from .errors import WarmthError
from .plan import Plan, Trial
from .store import Store

LEARNT = ("chats.", "rewrites/")
"""How the files begin that hold what trials learn from; where one is damaged, nothing is said of what was learnt."""

ANEW = "delete its folder in adapters/ and run again, which trains it anew"


def adapters(store: Store, notes: Notes) -> dict[str, str]:
    """Is every adapter the one that its name says, by the SHA-256 of its bytes? Gives that, by the name."""
    sums: dict[str, str] = {}
    for name in store.names("adapters"):
        folder, known = store.path("adapters", name), engine_folders.NAME.fullmatch(name)
        notes.counted["adapters"] += 1
        if not known or not folder.is_dir():
            notes.add("left over", folder, "no adapter's folder", "delete it")
            continue
        try:
            found = engine_folders.digest(folder)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            notes.wrong(folder, f"the adapter cannot be read ({error})", ANEW)
            continue
        if not found.startswith(known[1]):
            notes.wrong(folder, f"holds other bytes than its name says: their SHA-256 begins {found[:12]}", ANEW)
        sums[name] = found
    return sums


def all_trials(plan: Plan, store: Store, notes: Notes, sums: Mapping[str, str]) -> None:
    """Is every planned trial on file, as it is planned, with its adapters, and learnt from the conversations here?

    `sums` are the adapters' own digests.
    """

    @cache
    def learnt(persona: str, dose: int) -> str:
        (each,) = (each for each in plan.study.personas if each.name == persona)
        return rewritten.sha256(rewritten.learnt(plan, store, each, dose))

    sound = not any(each.kind == "wrong" and each.file.startswith(LEARNT) for each in notes.found)
    for trial in plan.trials:
        file = store.path("trials", trial.name, "trial.json")
        notes.counted["trials"] += 1
        try:
            if not file.exists():
                _unfinished(plan, store, trial, notes)
                continue
            found = store.read_json("trials", trial.name, "trial.json")
            for what in (*_otherwise(plan, trial, found), *_checkpoints(store, trial, found, sums)):
                notes.wrong(file, what, "delete it and run again, which trains the trial anew")
            if (
                sound
                and not trial.model.hosted
                and found["data_sha256"] != learnt(trial.persona.name, trial.settings.dose)
            ):
                what = "learnt from other conversations than chats.arrow and rewrites/ hold now"
                notes.wrong(file, what, "put the old ones back, or run in another folder")
        except WarmthError as error:
            notes.raised(file, error)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            notes.wrong(file, f"not what a trial leaves ({error!r})", "delete it and run again")


def _unfinished(plan: Plan, store: Store, trial: Trial, notes: Notes) -> None:
    place = ("trials", trial.name)
    if stopped := trials.stopped(plan, store, trial):
        notes.add("noted", place, f"stopped by the scheduler: {stopped}", "it is meant to be so, and never asked")
    elif why := trials.failure(store, trial):
        notes.missing((*place, "failed.json"), f"could not be trained: {why}", "mend that; `warmth run` tries it again")
    else:
        notes.missing(place, "not trained yet")


def _otherwise(plan: Plan, trial: Trial, found: Mapping[str, Any]) -> list[str]:
    """In what a trial on file is another one than the trial that is planned under its name."""
    settings = type(trial.settings).model_validate(found["settings"])
    persona = type(trial.persona).model_validate(found["persona"])
    told = {
        "name": (found["name"], trial.name),
        "model": (found["model"]["name"], trial.model.name),
        "model_identity": (found["model_identity"], models.identity(trial.model)),
        "persona": (persona, trial.persona),
        "data_digest": (found["data_digest"], plan.data_digest(trial.persona)),
        "seed": (found["seed"], trial.seed),
        "settings": (settings, trial.settings),
    }
    return [
        f"says {what} {there}, where the plan has {planned}"
        for what, (there, planned) in told.items()
        if there != planned
    ]


def _checkpoints(store: Store, trial: Trial, found: Mapping[str, Any], sums: Mapping[str, str]) -> list[str]:
    """What is not right about the checkpoints that a trial on file names."""
    there = {float(kept["epoch"]): kept for kept in found["checkpoints"]}
    lacking = [f"{epoch:g}" for epoch in trial.checkpoints if epoch not in there]
    lines = [f"no checkpoint at epoch {', '.join(lacking)}"] if lacking else []
    for epoch, kept in () if trial.model.hosted else there.items():
        own = engine_folders.named(trial.subject(epoch), kept["sha256"])
        if kept["adapter"] != own or (own in sums and not _is(sums[own], kept["sha256"])):
            lines.append(f"names the adapter {kept['adapter']} at epoch {epoch:g}, and another digest of it")
        elif not trials.whole(store, kept):
            lines.append(f"the adapter {kept['adapter']} is gone from adapters/")
    return lines


def _is(found: str, told: str) -> bool:
    """Whether a digest is the one that is told; bytes that are not those of their name are noted already."""
    return found == told or found[:12] != told[:12]


# ------------------------------------------------------------------ attestation
def certificates(store: Store, notes: Notes) -> dict[str, dict[str, Any]]:
    """Every certificate that is whole, by its name: what is in it hangs together, and it is of who it says."""
    found = {}
    for name in store.names("certificates"):
        file = store.path("certificates", name)
        notes.counted["certificates"] += 1
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            faults = _at_odds(told, file.stem)
        except (OSError, ValueError):
            continue  # noted among the JSON files
        except (LookupError, TypeError, AttributeError) as error:
            faults, told = [f"not what an examination leaves ({error!r})"], {}
        for what in faults:
            notes.wrong(file, what, "delete it and the replies that name it, and run again")
        if not faults:
            found[file.stem] = told
    _failed(store, found, notes)
    return found


def _at_odds(told: Mapping[str, Any], name: str) -> list[str]:
    """What in a certificate contradicts its name, or itself."""
    fields = {field.name for field in dataclasses.fields(attest_files.Certificate)}
    if lacking := sorted(fields - set(told)):
        return [f"has no {', '.join(lacking)}"]
    finding = Finding(**told["finding"])
    matches = [Match(**each) for each in (told["finding"]["alone"], told["finding"]["beside"]) if each]
    due = next((each for each in VERDICTS if each in {match.verdict for match in matches}), finding.verdict)
    lines = {
        f"says that it is {told['id']}": told["id"] != name,
        "was never given: it says of no examination when": not told["examined"],
        f"is of {told['served']}, and of weights {told['adapter']}": told["adapter"] is not None
        and not told["served"].endswith(f"-{told['adapter']}"),
        f"says {told['verdict']}, where its figures say {due}": {told["verdict"], finding.verdict} != {due},
    }
    return [line for line, holds in lines.items() if holds]


def _failed(store: Store, certificates: Mapping[str, Mapping[str, Any]], notes: Notes) -> None:
    """Subjects that are there and failed the last time: nothing that they said since counts."""
    last = {each["served"]: each for each in sorted(certificates.values(), key=lambda each: each["examined"][-1])}
    for served, told in last.items():
        if told["verdict"] == "failed" and (told["adapter"] is None or store.has("adapters", served)):
            what = f"{served} is not served as it is: {told['finding']['fault']}"
            notes.wrong(("certificates", f"{told['id']}.json"), what, ANEW)


def references(store: Store, notes: Notes) -> None:
    """Is every reference whole: as many values as places that are scored?"""
    for name in store.names("references"):
        file = store.path("references", name)
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            places = sum(len(each["scored"]) for each in told["canaries"])
            whole = all(len(values) == places for values in (told["base"], told["adapter"] or told["base"]))
            inside = all(set(each["scored"]) <= set(range(len(each["tokens"]))) for each in told["canaries"])
            if told["name"] == file.stem and whole and inside:
                continue
        except (OSError, ValueError):
            continue  # noted among the JSON files
        except (LookupError, TypeError, AttributeError):
            pass
        notes.wrong(file, "not what a reference is: its values and their places differ", "delete it and run again")
