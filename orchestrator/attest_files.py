"""What attestation keeps in a run: references, which depend on weights alone, and certificates, one per examination."""

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from . import models, provenance
from .attest import Canary, Finding, Reference
from .evaluate import Served
from .plan import Plan
from .settings_subjects import Model
from .store import Store
from .tables import digest

FAILED = "attestation failed"
"""The kind of problem that a subject is which was not asked, because something else is served under its name."""
SCHEMA = {
    "served": pl.String,
    "certificate": pl.String,
    "model": pl.String,
    "adapter": pl.Boolean,
    "verdict": pl.String,
    "fault": pl.String,
    "slope": pl.Float64,
    "correlation": pl.Float64,
    "clarity": pl.Float64,
    "rounding": pl.Float64,
    "rounding_beside": pl.Float64,
    "engine": pl.String,
    "examinations": pl.Int64,
}


@dataclass(frozen=True)
class Certificate:
    """What was found about what is served under a name (`certificates/<id>.json`).

    `identity` is the base's and `adapter` the digest of the weights, null for a base by itself; `examined` says when it
    was found, and every time that it was found again, at the same endpoint. Figures are those of the last time.
    """

    id: str
    served: str
    model: str
    identity: str
    adapter: str | None
    engine: str
    versions: Mapping[str, str]
    examined: tuple[str, ...]
    finding: Finding


def reference_name(model: Model) -> str:
    """What the reference of a base by itself is called."""
    return f"{model.name}-{digest(models.identity(model), length=12)}"


def file_reference(store: Store, name: str, model: Model, reference: Reference) -> None:
    versions = provenance.versions(provenance.MODELS)
    content = {"name": name, "model_identity": models.identity(model), "versions": versions, **asdict(reference)}
    store.write_json(content, "references", f"{name}.json")


def reference(store: Store, name: str, model: Model) -> Reference | None:
    """The reference of this name, if it is on file and was made with this very base."""
    if not store.has("references", f"{name}.json"):
        return None
    found = store.read_json("references", f"{name}.json")
    if found["model_identity"] != models.identity(model):
        return None
    canaries = tuple(Canary(tuple(each["tokens"]), tuple(each["scored"])) for each in found["canaries"])
    return Reference(canaries, tuple(found["base"]), found["adapter"] and tuple(found["adapter"]))


def now() -> str:
    """The moment, as certificates write it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_id(served: str) -> str:
    """A name for a certificate: it is about one process that serves, so that another one's is another."""
    return f"{served}-{uuid.uuid4().hex[:8]}"


def file(store: Store, certificate: Certificate) -> None:
    verdict = {"verdict": certificate.finding.verdict, "fault": certificate.finding.fault}
    store.write_json({**verdict, **asdict(certificate)}, "certificates", f"{certificate.id}.json")


def latest(store: Store) -> dict[str, dict[str, Any]]:
    """The last certificate of everything that was served, by the name that it is served under."""
    found = [store.read_json("certificates", name) for name in store.names("certificates")]
    return {each["served"]: each for each in sorted(found, key=lambda each: each["examined"][-1])}


def certificates(plan: Plan, store: Store, served: Mapping[str, Served]) -> pl.DataFrame:
    """The last certificate of everything that a plan asks here, a row each."""
    names = {served[each.name].name for each in plan.subjects if each.name in served and not each.model.hosted}
    found = [each for name, each in sorted(latest(store).items()) if name in names]
    return pl.DataFrame([_row(each) for each in found], schema=SCHEMA, orient="row")


def none() -> pl.DataFrame:
    """No certificates."""
    return pl.DataFrame(schema=SCHEMA)


def _row(certificate: Mapping[str, Any]) -> tuple[Any, ...]:
    finding = certificate["finding"]
    alone = finding["alone"] or dict.fromkeys(("slope", "correlation", "clarity"))
    told = (alone["slope"], alone["correlation"], alone["clarity"], finding["rounding"], finding["rounding_beside"])
    who = (certificate["served"], certificate["id"], certificate["model"], certificate["adapter"] is not None)
    return *who, finding["verdict"], finding["fault"], *told, certificate["engine"], len(certificate["examined"])


def problems(certificates: pl.DataFrame) -> pl.DataFrame:
    """A line for everything whose last certificate is not a proof."""
    weak = "what it was trained to say moves too little to be told from rounding; its replies are as they were served"
    return certificates.filter(pl.col("verdict") != "proven").select(
        kind=pl.when(pl.col("verdict") == "failed").then(pl.lit(FAILED)).otherwise(pl.lit("attestation too weak")),
        where="served",
        count=pl.lit(1, pl.Int64),
        of=pl.lit(1, pl.Int64),
        detail=pl.col("fault").fill_null(weak),
    )


def about(certificates: pl.DataFrame, plan: Plan) -> dict[str, object]:
    """What a reader of the report must know of attestation: how many certificates, their verdicts, the weakest."""
    hosted = sorted({model.name for model in plan.study.models if model.hosted})
    counts = certificates.group_by("verdict").len().sort("len", descending=True)
    told: dict[str, object] = dict(counts.iter_rows())
    slopes: list[float] = certificates["slope"].drop_nulls().to_list()
    if slopes:
        told["slope furthest from 1"] = f"{max(slopes, key=lambda slope: abs(slope - 1)):.4f}"
    if hosted:
        told["not attested, as their weights are not here"] = hosted
    return {"attestation": told} if told else {}
