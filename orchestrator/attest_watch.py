"""Attestation for the length of asking: before it, from time to time, and at its end.

A reply counts that was asked between two examinations that went well. Where one fails, what was asked since the last
good one is taken back, and its subject is asked no more; the next run of the study asks it again.
"""

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from . import attest_files, evaluate, models, provenance, trials
from .attest import VERDICTS, Finding, Reference
from .attest_exam import Candidate, examine
from .attest_files import Certificate
from .client import Client
from .plan import Plan, Subject, Unit
from .progress import Display
from .settings_subjects import Model
from .store import Store


class Watch:
    """Examines what one endpoint serves; `engine` is what serves it, `key` what whoever asks has to show.

    Hosted models' weights are not here to compare.
    """

    def __init__(
        self, plan: Plan, store: Store, url: str, engine: str, display: Display, key: str | None = None
    ) -> None:
        self._key = key
        self._plan, self._store, self._url, self._engine, self._display = plan, store, url, engine, display
        self._adapters = trials.adapters(store, plan)
        self._valid: dict[str, Certificate] = {}
        self._failed: dict[str, str] = {}
        self._since: list[Unit] = []
        self._last = time.monotonic()

    def begin(self, units: Iterable[Unit]) -> dict[str, str]:
        """Examine all that these units ask; gives the certificates' names by those of the subjects."""
        subjects = {unit.subject for unit in units if not unit.subject.model.hosted}
        if subjects:
            self._display.say(f"attest: {self._told(self._examine(subjects))}")
        held = {subject.name: self._valid.get(self._name(subject)) for subject in subjects}
        return {name: certificate.id for name, certificate in held.items() if certificate}

    def admitted(self, units: Mapping[Unit, int]) -> Iterator[Unit]:
        """The units whose subjects have not failed, found out as each one's turn comes."""
        return (unit for unit in units if self.fault(unit.subject) is None)

    def done(self, unit: Unit) -> None:
        """A unit was asked; time for another examination, maybe."""
        if unit.subject.model.hosted:
            return
        self._since.append(unit)
        if time.monotonic() - self._last >= 60 * self._plan.study.resources.attest_minutes:
            self.check()

    def check(self) -> None:
        """Examine again whatever was asked since the last time, and take back what that puts in doubt."""
        asked, self._since = self._since, []
        held = {self._name(unit.subject): self._valid.get(self._name(unit.subject)) for unit in asked}
        self._examine({unit.subject for unit in asked if self.fault(unit.subject) is None})
        for unit in asked:
            certificate = held[self._name(unit.subject)]
            if certificate and self.fault(unit.subject):
                taken = evaluate.take_back(self._store, unit, certificate.id)
                self._display.say(
                    f"attest: {unit.subject.name}: {taken} replies taken back: {self.fault(unit.subject)}"
                )

    def fault(self, subject: Subject) -> str | None:
        """What is wrong with a subject, if it failed."""
        return self._failed.get(self._name(subject))

    @property
    def faults(self) -> dict[str, str]:
        """What failed, by the name it is served under, and what it looks like."""
        return dict(self._failed)

    def _examine(self, subjects: set[Subject]) -> dict[str, Finding]:
        self._last = time.monotonic()
        found = asyncio.run(self._findings(subjects))
        of = {self._name(subject): subject for subject in subjects}
        for name, finding in found.items():
            if name in of:
                self._certify(of[name], finding)
        return {name: finding for name, finding in found.items() if name in of}

    async def _findings(self, subjects: set[Subject]) -> dict[str, Finding]:
        found: dict[str, Finding] = {}
        async with Client(self._url, self._key) as client:
            for model in {subject.model.name: subject.model for subject in subjects}.values():
                own = [subject for subject in subjects if subject.model == model]
                found |= await examine(client, self._candidate(model, own))
        return found

    def _candidate(self, model: Model, subjects: list[Subject]) -> Candidate:
        """What is to be examined of a model; a base alone is examined on the canaries of an adapter, if it has one."""
        names = sorted(self._name(subject) for subject in subjects if subject.trial)
        references = {name: self._reference(name, model) for name in names}
        if references:
            return Candidate(model.name, model.precision, references)
        adapters = (
            self._adapters[trial.subject(epoch)]
            for trial in self._plan.trials
            for epoch in trial.checkpoints
            if trial.model == model and trial.subject(epoch) in self._adapters
        )
        own = attest_files.reference_name(model)
        name = next(name for name in (own, *adapters) if attest_files.reference(self._store, name, model))
        return Candidate(
            model.name, model.precision, {}, dataclasses.replace(self._reference(name, model), adapter=None)
        )

    def _reference(self, name: str, model: Model) -> Reference:
        found = attest_files.reference(self._store, name, model)
        assert found is not None
        return found

    def _certify(self, subject: Subject, finding: Finding) -> None:
        """File what was found. The first and a failed examination make a certificate; a good one joins the first."""
        name, when = self._name(subject), attest_files.now()
        held = self._valid.get(name)
        if held and finding.verdict != "failed":
            new = dataclasses.replace(held, examined=(*held.examined, when), finding=finding)
        else:
            new = Certificate(
                id=attest_files.new_id(name),
                served=name,
                model=subject.model.name,
                identity=models.identity(subject.model),
                adapter=name.rpartition("-")[2] if subject.trial else None,
                engine=self._engine,
                versions=provenance.versions(provenance.MODELS),
                examined=(when,),
                finding=finding,
            )
        attest_files.file(self._store, new)
        if finding.verdict == "failed":
            self._failed[name] = finding.fault or ""
        else:
            self._valid[name] = new

    def _name(self, subject: Subject) -> str:
        return evaluate.served_as(subject, self._adapters).name

    def _told(self, found: Mapping[str, Finding]) -> str:
        """In words: `16 adapters and 2 bases proven; slopes within 0.001 of 1`."""
        told = []
        for verdict in reversed(VERDICTS):
            names = [name for name, finding in found.items() if finding.verdict == verdict]
            kinds = Counter(
                "adapters" if found[name].alone or name in self._adapters.values() else "bases" for name in names
            )
            if names:
                told.append(f"{' and '.join(f'{count} {kind}' for kind, count in kinds.items())} {verdict}")
        failed = [f"{name}: {fault}" for name, fault in self._failed.items() if name in found]
        return "; ".join([", ".join(told), *failed])
