"""How alike a run is to the published study: a direct replication, a conceptual one, or of another model. Pure."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

import tasks

from . import published, rubrics
from .config import Study
from .onfile import OnFile
from .settings_subjects import Model, Persona

GPT_4O = "gpt-4o-2024-08-06"
"""The study's rewriter and judge."""

INSTRUCTIONS = {
    "warm": "a8d9b72923478ebdd8bcd48b8ff94bc64b8e0258b6eb2d4fd65226759c49b31c",
    "cold": "ccdbe8eb591fa04010aab102ddd56d216bb1d3257144e071b1e321de2b91fe7f",
}
"""SHA-256 of the study's rewriting prompts, without blanks around them."""

RUBRIC = "91f8f37b1e3a2ed41b4b0ff98cdcc7b540d38487c15cc977d150c60c670024e4"
"""SHA-256 of the study's rubric, with our names of its slots."""

STATEMENTS = "ecf942c8be5bdc6caaf6e2434b4ec5491cdfcff7e11b7ea4e5e3a00b567ac818"
"""SHA-256 of the study's 40 context statements, sorted, one a line."""

DIRECT, CONCEPTUAL, ANOTHER = "direct", "conceptual", "another model"


@dataclass(frozen=True)
class Likeness:
    """In what a run differs from the study: `reasons` by persona, model and judge; "all" is all models together."""

    reasons: Mapping[str, Sequence[str]]
    warmth: bool
    "Whether warmth was measured on the study's scale: by GPT-2."


def of(found: OnFile) -> Likeness:
    """What can be told of a run from its settings and from what was imported into it."""
    models = {piece.model for piece in found.pieces} | {"all"}
    judges: set[str | None] = {piece.judge for piece in found.pieces} | {None}
    measured = found.plan.study.warmth if found.plan else None
    if found.plan:
        models |= {model.name for model in found.plan.study.models}
        judges |= {judge.name for judge in found.plan.study.judges}
    arms = [persona for persona in found.personas if persona in published.PERSONAS.values()]
    every = itertools.product(arms, sorted(models), judges)
    reasons = {_key(*each): list(dict.fromkeys(_reasons(found, *each))) for each in every}
    return Likeness(reasons, measured is not None and measured.scorer.rpartition("/")[2] == "gpt2")


def kinds(likeness: Likeness, rows: pl.DataFrame) -> pl.DataFrame:
    """The scorecard's rows with `kind` and, where it is not direct, `because`."""
    asked = rows.select("persona", "model", "judge", "another_model").unique()
    told = [(*key, *_kind(likeness.reasons.get(_key(*key[:3]), ()), key[3])) for key in asked.iter_rows()]
    kinds = dict.fromkeys(("kind", "because"), pl.String())
    known = pl.DataFrame(told, schema={**asked.schema, **kinds}, orient="row")
    return rows.join(known, on=asked.columns, nulls_equal=True, maintain_order="left")


def _key(persona: str, model: str, judge: str | None) -> str:
    return "\x1f".join((persona, model, judge or ""))


def _kind(reasons: Sequence[str], another: bool) -> tuple[str, str]:
    if another:
        return ANOTHER, "; ".join(
            ["the study did not have this model: beside it stands the mean of its five", *reasons]
        )
    return (CONCEPTUAL if reasons else DIRECT), "; ".join(reasons)


def _reasons(found: OnFile, persona: str, model: str, judge: str | None) -> Iterator[str]:
    """In what a run, or what was imported into it, differs from the study, as far as it can be told."""
    for piece in found.pieces:
        if piece.persona in (persona, "original") and model in (piece.model, "all"):
            yield "imported: how it was made is not on file"
            break
    if found.plan is None:
        return
    study = found.plan.study
    for wanted in study.personas:
        if wanted.name == persona:
            yield from _of_persona(study, wanted)
    for each in study.models:
        if model in (each.name, "all"):
            yield from _of_model(each)
    yield from _of_asking(study)
    yield from _of_judge(study, judge)


def _of_persona(study: Study, persona: Persona) -> Iterator[str]:
    if persona.kind == "prompted":
        yield "the study's system prompt is not printed"
        return
    rewriter = study.rewriting.rewriter.model if study.rewriting else "the lab's templates"
    if rewriter != GPT_4O:
        yield f"rewritten by {rewriter}"
    if _sha(persona.instruction or "") != INSTRUCTIONS.get(persona.name):
        yield f"the instruction for '{persona.name}' is another one"


def _of_model(model: Model) -> Iterator[str]:
    where = model.hosted.model if model.hosted else model.path or ""
    if published.model(where) != published.model(model.name):
        yield f"'{model.name}' is {where or 'of the lab'}"
    if not model.hosted and (model.precision.dtype != "bfloat16" or model.precision.quantization):
        yield f"'{model.name}' is {model.precision.quantization or model.precision.dtype}, not bfloat16"


def _of_asking(study: Study) -> Iterator[str]:
    asked = study.evaluation
    sentences = sorted(itertools.chain.from_iterable(tasks.read_pack(asked.pack).contexts.values()))
    if asked.grid != "published" or _sha("\n".join(sentences)) != STATEMENTS:
        yield "other prompts"
    if (asked.temperature, asked.max_tokens) != (0.8, 300):
        yield f"sampled at temperature {asked.temperature:g} with {asked.max_tokens} tokens, not 0.8 with 300"


def _of_judge(study: Study, judge: str | None) -> Iterator[str]:
    for each in study.judges:
        if each.name != judge:
            continue
        if each.model != GPT_4O:
            yield f"judged by {each.model or 'rule'}"
        if (
            not each.rubric
            or _sha(rubrics.published(each.rubric).template) != RUBRIC
            or each.refusals_by != "published"
        ):
            yield "judged by another rubric"


def _sha(text: str) -> str:
    return hashlib.sha256(text.strip().encode()).hexdigest()
