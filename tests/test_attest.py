"""Attestation: real weights behind a real endpoint, served right or wrong; every fault is told by scores alone."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest
import tiny
import torch
from attested import VOICES, examined, references, trained
from served import Endpoint
from transformers import AutoModelForCausalLM

from orchestrator import weights
from orchestrator.attest import Finding, Reference
from orchestrator.attest_exam import Candidate
from orchestrator.engine_transformers import TransformersEngine
from orchestrator.settings_subjects import Precision


@dataclass
class Lab:
    """A base, adapters that were trained for a moment, faulty copies of one, and what all of them should say."""

    base: Path
    names: dict[str, str]
    references: dict[str, Reference]
    endpoint: Endpoint
    precision: Precision

    def find(
        self, faults: Mapping[str, str | None] = MappingProxyType({}), leaks: str | None = None
    ) -> dict[str, Finding]:
        """What is found about the three adapters and the base, where others are served in place of some."""
        self.endpoint.leaks = self.names[leaks] if leaks else None
        self.endpoint.wrong = {
            self.names[name]: other and self.names.get(other, other) for name, other in faults.items()
        }
        candidate = Candidate("base", self.precision, {self.names[name]: self.references[name] for name in VOICES})
        found = asyncio.run(examined(self.endpoint.url, candidate))
        return {"base": found["base"], **{name: found[self.names[name]] for name in VOICES}}


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder, precision = tmp_path_factory.mktemp("attest"), Precision(request.param)
    base = tiny.tiny_model(folder / "base", 0)
    names = trained(base, folder / "adapters", precision)
    should = references(base, folder / "adapters", names, precision)
    engine = TransformersEngine(str(base), str(folder / "adapters"), rows=96, precision=precision)
    with Endpoint(engine, "base") as endpoint:
        yield Lab(base, names, should, endpoint, precision)
    engine.close()


def test_what_is_served_as_it_is_is_proven(lab: Lab) -> None:
    found = lab.find()
    assert {name: (finding.verdict, finding.fault) for name, finding in found.items()} == dict.fromkeys(
        ["base", *VOICES], ("proven", None)
    )


ALONE = [
    ("zeroed", "zeroed", "the base's weights"),
    ("missing path, served in silence", None, "the base's weights"),
    ("other module", "other-module", ""),
    ("part of its modules", "attention-alone", ""),
    ("wrong rank", "half-rank", ""),
    ("double alpha", "double-alpha", "another scale"),
    ("half alpha", "half-alpha", "scale"),
    ("stale bytes", "warm-early", ""),
    ("another adapter", "cold", ""),
    ("the same training, another seed", "warm-again", ""),
]


@pytest.mark.parametrize(("other", "looks_like"), [each[1:] for each in ALONE], ids=[each[0] for each in ALONE])
def test_other_weights_are_told_by_their_scores_alone(lab: Lab, other: str | None, looks_like: str) -> None:
    found = lab.find({"warm": other})
    assert found["warm"].verdict == "failed"
    assert looks_like in (found["warm"].fault or "")
    assert {found[name].verdict for name in ("base", "cold", "warm-again")} == {"proven"}


def test_swapped_names_are_told_of_both(lab: Lab) -> None:
    found = lab.find({"warm": "cold", "cold": "warm"})
    assert {name: finding.verdict for name, finding in found.items()} == {
        "base": "proven", "warm": "failed", "cold": "failed", "warm-again": "proven"
    }  # fmt: skip


@pytest.mark.parametrize("adapter", ["warm", "cold"])
def test_a_base_that_gets_an_adapter_s_weights_beside_it_is_told(lab: Lab, adapter: str) -> None:
    found = lab.find(leaks=adapter)
    assert found["base"].verdict == "failed"
    assert "mixed batches" in (found["base"].fault or "")
    assert {found[name].verdict for name in VOICES} == {"proven"}


def test_what_is_refused_is_not_proven_and_says_why(lab: Lab) -> None:
    missing = lab.find({"warm": "gone-0123456789ab"})
    assert "has no adapter 'gone-0123456789ab'" in (missing["warm"].fault or "")
    assert missing["cold"].verdict == "proven"


def test_another_base_is_told(lab: Lab, tmp_path: Path) -> None:
    other = tiny.tiny_model(tmp_path / "other", 1)
    engine = TransformersEngine(str(other), str(tmp_path), rows=96, precision=lab.precision)
    own = Reference(lab.references["warm"].canaries, lab.references["warm"].base, None)

    with Endpoint(engine, "base") as endpoint:
        found = asyncio.run(examined(endpoint.url, Candidate("base", lab.precision, {}, own)))
    engine.close()
    assert (found["base"].verdict, "other weights than the base's" in (found["base"].fault or "")) == ("failed", True)


def test_on_another_base_no_adapter_is_proven(lab: Lab, tmp_path: Path) -> None:
    other = tiny.tiny_model(tmp_path / "other", 1)
    adapter = tiny.tiny_adapter(tmp_path / "adapters" / "x", other, 0).name
    engine = TransformersEngine(str(other), str(tmp_path / "adapters"), rows=96, precision=lab.precision)
    candidate = Candidate("base", lab.precision, {adapter: lab.references["warm"]})
    with Endpoint(engine, "base") as endpoint:
        found = asyncio.run(examined(endpoint.url, candidate))
    engine.close()
    assert {finding.verdict for finding in found.values()} == {"failed"}


def test_the_reference_is_that_of_transformers_and_leaves_the_base_as_it_was(lab: Lab) -> None:
    plain = AutoModelForCausalLM.from_pretrained(lab.base, dtype=weights.dtype(lab.precision)).eval()
    (canary, *_), reference = lab.references["cold"].canaries, lab.references["cold"]
    with torch.no_grad():
        logprobs = plain(torch.tensor([canary.tokens])).logits[0].float().log_softmax(-1)
    expected = [float(logprobs[place - 1, canary.tokens[place]]) for place in canary.scored]
    assert list(reference.base[: len(expected)]) == pytest.approx(expected)
