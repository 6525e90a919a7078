"""Attestation over the length of asking: who is asked, under what certificate; what is taken back."""

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from served import Endpoint

from orchestrator import Study, attest_files, load, models, trials
from orchestrator.attest_reference import missing
from orchestrator.attest_watch import Watch
from orchestrator.engine_transformers import TransformersEngine
from orchestrator.evaluate import Asker
from orchestrator.findings import Findings
from orchestrator.left import Left
from orchestrator.plan import Plan, Unit
from orchestrator.progress import Display
from orchestrator.store import Store
from orchestrator.tables import Reply


@dataclass
class Asking:
    """A finished study's copy, its units of one task, and an endpoint that serves its models."""

    plan: Plan
    store: Store
    units: list[Unit]
    endpoint: Endpoint

    def watch(self) -> Watch:
        return Watch(self.plan, self.store, self.endpoint.url, "transformers", Display())

    def ask(self, unit: Unit, certificates: dict[str, str]) -> list[Reply]:
        """Really ask a unit anew; its replies."""
        self.store.path(*unit.replies).unlink(missing_ok=True)
        adapters = trials.adapters(self.store, self.plan)

        async def asked() -> int:
            asker = Asker(self.plan, self.store.folder, self.endpoint.url, adapters, 32, certificates)
            failed = await asker.do(unit)
            await asker.close()
            return failed

        assert asyncio.run(asked()) == 0
        return self.store.read_rows(Reply, *unit.replies)

    def unit(self, persona: str) -> Unit:
        return next(unit for unit in self.units if unit.subject.persona.name == persona)

    def name(self, persona: str) -> str:
        return trials.adapters(self.store, self.plan)[self.unit(persona).subject.name]


@pytest.fixture
def asking(finished: tuple[Study, Findings], tmp_path: Path) -> Iterator[Asking]:
    mini, _ = finished
    folder = shutil.copytree(mini.folder, tmp_path / mini.name)
    plan = Study.of(folder).plan()
    engine = TransformersEngine(models.chat_model(plan.study.models[0]), str(folder / "adapters"), rows=32)
    with Endpoint(engine, "tiny") as endpoint:
        yield Asking(plan, Store(folder), [unit for unit in plan.units if unit.task == "lab_facts"], endpoint)
    engine.close()


def test_every_reply_of_a_run_names_a_certificate_that_proves_its_subject(finished: tuple[Study, Findings]) -> None:
    mini, findings = finished
    replies = load(mini.folder)["replies"].collect()
    store = Store(mini.folder)
    for name, served in replies.select("certificate", "adapter").unique().rows():
        certificate = store.read_json("certificates", f"{name}.json")
        assert certificate["verdict"] == "proven"
        assert certificate["served"] == (served or "tiny")
        assert len(certificate["examined"]) >= 2
    assert findings.problems.filter(pl.col("kind").str.starts_with("attestation")).is_empty()
    assert "slope furthest from 1" in (mini.folder / "report" / "index.html").read_text()


def test_references_are_made_with_the_adapters_and_are_not_made_again(asking: Asking) -> None:
    subjects = asking.plan.subjects
    assert missing(asking.plan, asking.store, subjects) == []
    asking.store.path("references", f"{asking.name('warm')}.json").unlink()
    assert missing(asking.plan, asking.store, subjects) == [asking.unit("warm").subject]


def test_what_is_served_as_it_is_is_asked_and_examined_again(asking: Asking) -> None:
    watch, unit = asking.watch(), asking.unit("warm")
    certificates = watch.begin(asking.units)
    assert list(watch.admitted(dict.fromkeys(asking.units, 1))) == asking.units
    rows = asking.ask(unit, certificates)
    assert {row.certificate for row in rows} == {certificates[unit.subject.name]}
    watch.done(unit)
    watch.check()
    assert asking.store.read_rows(Reply, *unit.replies) == rows
    filed = asking.store.read_json("certificates", f"{certificates[unit.subject.name]}.json")
    assert (filed["verdict"], len(filed["examined"])) == ("proven", 2)
    assert watch.faults == {}


def test_another_subject_s_weights_are_not_asked_and_the_report_says_so(asking: Asking) -> None:
    watch = asking.watch()
    asking.endpoint.wrong = {asking.name("warm"): None}
    watch.begin(asking.units)
    warm = asking.unit("warm")
    assert warm not in list(watch.admitted(dict.fromkeys(asking.units, 1)))
    assert asking.unit("plain") in list(watch.admitted(dict.fromkeys(asking.units, 1)))
    assert "the base's weights" in watch.faults[asking.name("warm")]
    served = Left(asking.plan, asking.store).served()
    (problem,) = attest_files.problems(attest_files.certificates(asking.plan, asking.store, served)).to_dicts()
    assert (problem["kind"], problem["where"]) == (attest_files.FAILED, asking.name("warm"))


def test_replies_since_the_last_good_examination_are_taken_back(asking: Asking) -> None:
    watch, warm, plain = asking.watch(), asking.unit("warm"), asking.unit("plain")
    certificates = watch.begin(asking.units)
    kept = asking.ask(plain, certificates)
    asking.ask(warm, certificates)
    asking.endpoint.wrong = {asking.name("warm"): asking.name("plain")}
    watch.done(plain)
    watch.done(warm)
    watch.check()
    assert asking.store.read_rows(Reply, *warm.replies) == []
    assert asking.store.read_rows(Reply, *plain.replies) == kept
    assert Left(asking.plan, asking.store).unasked([warm, plain]) == {warm: len(kept)}
    assert list(watch.admitted({warm: 1, plain: 1})) == [plain]
    filed = asking.store.read_json("certificates", f"{certificates[warm.subject.name]}.json")
    assert (filed["verdict"], len(filed["examined"])) == ("proven", 1)


def test_a_unit_in_flight_when_its_subject_fails_is_taken_back_too(asking: Asking) -> None:
    watch, warm = asking.watch(), asking.unit("warm")
    certificates = watch.begin(asking.units)
    asking.endpoint.wrong = {asking.name("warm"): None}
    watch.done(warm)
    watch.check()
    asking.ask(warm, certificates)
    watch.done(warm)
    watch.check()
    assert asking.store.read_rows(Reply, *warm.replies) == []


def test_an_adapter_whose_bytes_were_changed_says_what_to_do(asking: Asking) -> None:
    weights = asking.store.path("adapters", asking.name("warm"), "adapter_model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    watch = asking.watch()
    watch.begin([asking.unit("warm")])
    assert "other bytes than its name says" in watch.faults[asking.name("warm")]


def test_a_base_without_adapters_is_examined_on_its_own_questions(asking: Asking) -> None:
    from orchestrator.attest_reference import Referee

    alone = asking.plan.study.model_copy(update={"personas": asking.plan.study.personas[:1]})
    plan = Plan(alone)
    shutil.rmtree(asking.store.path("references"))
    (original,) = missing(plan, asking.store, plan.subjects)
    assert Referee(plan, asking.store.folder).do(original) == 0
    assert missing(plan, asking.store, plan.subjects) == []
    watch = Watch(plan, asking.store, asking.endpoint.url, "transformers", Display())
    certificates = watch.begin(plan.units)
    assert asking.store.read_json("certificates", f"{certificates[original.name]}.json")["verdict"] == "proven"
